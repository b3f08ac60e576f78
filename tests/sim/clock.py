"""A process's clock in the simulation: the loop's time, and a wall clock that may be wrong."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tests.sim.loop import SimLoop

EPOCH_MS = 1_700_000_000_000


@dataclass(slots=True)
class WallClock:
    """The true time of the whole simulation. ahead_ms: by how much it was moved on at once, as over a weekend."""

    loop: SimLoop
    ahead_ms: int = 0

    def now_ms(self) -> int:
        return EPOCH_MS + self.ahead_ms + round(self.loop.time() * 1000)


@dataclass(slots=True)
class SimClock:
    """sp.runtime.clock.Clock of one machine. wrong_by_ms: how far its wall clock is from the truth."""

    wall: WallClock
    wrong_by_ms: int = 0

    def now_ms(self) -> int:
        return self.wall.now_ms() + self.wrong_by_ms

    def monotonic_s(self) -> float:
        return self.wall.loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
