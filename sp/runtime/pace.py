"""Slow, patient reading: so many bytes a second at most, and only while nobody else waits for the processor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sp.runtime.clock import Clock

LOOK_S: Final = 0.05
PATIENCE_S: Final = 5.0
"""Longest wait for an idle moment: on a machine that is never idle the work still goes on, slowly."""


class Pace:
    """For one piece of background work.

    bytes_per_s: 0 is as fast as it goes; busy: whether there is work that this should wait for
    """

    def __init__(self, bytes_per_s: int, clock: Clock, busy: Callable[[], bool]) -> None:
        self._bytes_per_s = bytes_per_s
        self._clock = clock
        self._busy = busy
        self._free_at_s = clock.monotonic_s()

    async def take(self, size_bytes: int) -> None:
        """Wait until so many bytes may be read."""
        await self._idle()
        if not self._bytes_per_s:
            return
        wait_s = self._free_at_s - self._clock.monotonic_s()
        if wait_s > 0:
            await self._clock.sleep(wait_s)
        self._free_at_s = max(self._free_at_s, self._clock.monotonic_s()) + size_bytes / self._bytes_per_s

    async def _idle(self) -> None:
        waited_s = 0.0
        while self._busy() and waited_s < PATIENCE_S:
            await self._clock.sleep(LOOK_S)
            waited_s += LOOK_S


def unpaced(clock: Clock) -> Pace:
    """As fast as it goes: for what an operator waits for."""
    return Pace(0, clock, lambda: False)
