"""Back-off: it grows, it is bounded, and it ends."""

from hypothesis import given
from hypothesis import strategies as st

from sp.domain.retry import RetryPolicy

POLICY = RetryPolicy(first_delay_ms=1000, max_delay_ms=60_000, max_attempts=10, deadline_ms=3_600_000)


def test_without_jitter_the_delay_doubles_until_its_bound() -> None:
    assert [POLICY.delay_ms(n, 0.0) for n in range(1, 9)] == [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_jitter_takes_at_most_half_away(attempts: int, chance: float) -> None:
    full = POLICY.delay_ms(attempts, 0.0)
    assert full / 2 <= POLICY.delay_ms(attempts, chance) <= full


def test_it_is_given_up_after_the_last_attempt() -> None:
    assert POLICY.next_attempt_at_ms(9, 0, 1000, 0.0) is not None
    assert POLICY.next_attempt_at_ms(10, 0, 1000, 0.0) is None


def test_it_is_given_up_when_the_next_attempt_would_come_after_the_deadline() -> None:
    assert POLICY.next_attempt_at_ms(1, 0, 3_599_000 - 1, 0.0) == 3_599_999
    assert POLICY.next_attempt_at_ms(1, 0, 3_599_000, 0.0) is None
