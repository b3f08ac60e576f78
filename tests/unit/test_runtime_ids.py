from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sp.runtime.clock import ManualClock
from sp.runtime.ids import EPOCH_2020_MS, JobIds, RequestIds


@given(st.lists(st.integers(-(10**6), 10**6), max_size=30), st.integers())
def test_job_ids_ascend_though_the_clock_goes_back(steps_ms: list[int], seed: int) -> None:
    class Wandering(ManualClock):
        at_ms = EPOCH_2020_MS + 10**9

        def now_ms(self) -> int:
            return self.at_ms

    clock = Wandering()
    ids = JobIds(clock, Random(seed))
    last = 0
    for step_ms in steps_ms:
        clock.at_ms += step_ms
        made = ids.next()
        assert last < made < 1 << 63
        last = made


def test_a_job_id_tells_its_millisecond() -> None:
    clock = ManualClock(now_ms=1_780_000_000_123)
    assert JobIds(clock, Random(1)).next() >> 21 == 1_780_000_000_123 - EPOCH_2020_MS


def test_job_ids_of_two_processes_in_one_millisecond_differ() -> None:
    clock = ManualClock()
    assert JobIds(clock, Random(1)).next() != JobIds(clock, Random(2)).next()


def test_a_clock_outside_the_ids_range_is_refused() -> None:
    with pytest.raises(AssertionError):
        JobIds(ManualClock(now_ms=EPOCH_2020_MS - 1), Random(1)).next()


def test_request_ids_are_32_hex_digits_and_differ() -> None:
    ids = RequestIds(Random(1))
    made = {ids.next() for _ in range(100)}
    assert len(made) == 100
    assert all(len(one) == 32 and int(one, 16) >= 0 for one in made)
