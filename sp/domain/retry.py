"""When a failed step is tried again, and when it is given up: pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off with jitter, bounded in count and in time.

    first_delay_ms doubles per attempt up to max_delay_ms; jitter takes a random part of up to a half away.
    max_attempts: of one job's step; deadline_ms: age of the job past which it is given up.
    """

    first_delay_ms: int = 1_000
    max_delay_ms: int = 300_000
    max_attempts: int = 40
    deadline_ms: int = 86_400_000

    def delay_ms(self, attempts: int, chance: float) -> int:
        """How long to wait after `attempts` failures (from 1). chance: uniform in [0, 1)."""
        assert attempts >= 1
        assert 0 <= chance < 1
        full = min(self.max_delay_ms, self.first_delay_ms << min(attempts - 1, 40))
        return max(1, full - int(full * chance / 2))

    def next_attempt_at_ms(self, attempts: int, created_at_ms: int, now_ms: int, chance: float) -> int | None:
        """When to try again, or None when the job is to be given up."""
        if attempts >= self.max_attempts:
            return None
        at = now_ms + self.delay_ms(attempts, chance)
        return at if at < created_at_ms + self.deadline_ms else None
