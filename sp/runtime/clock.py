"""Time, passed in: the real one, and one that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
import time
from typing import Protocol


class Clock(Protocol):
    def now_ms(self) -> int:
        """Unix time in milliseconds. May jump: for what is written down, never for measuring a span."""

    def monotonic_s(self) -> float:
        """Seconds from some start, never going back: for spans and deadlines within this process."""

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ManualClock:
    """Stands still until `advance`. Sleepers wake in the order of their times."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._start_ms = now_ms
        self._passed_s = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = 0
        self._awaited: list[tuple[int, asyncio.Future[None]]] = []

    def now_ms(self) -> int:
        return self._start_ms + round(self._passed_s * 1000)

    def monotonic_s(self) -> float:
        return self._passed_s

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wakes: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._order += 1
        heapq.heappush(self._sleepers, (self._passed_s + seconds, self._order, wakes))
        for count, reached in self._awaited:
            if self.sleeping >= count and not reached.done():
                reached.set_result(None)
        await wakes

    def advance(self, seconds: float) -> None:
        """Let time pass. Those who are due run at the caller's next await."""
        assert seconds >= 0
        self._passed_s += seconds
        while self._sleepers and self._sleepers[0][0] <= self._passed_s:
            wakes = heapq.heappop(self._sleepers)[2]
            if not wakes.done():
                wakes.set_result(None)

    @property
    def sleeping(self) -> int:
        """How many are asleep now."""
        return sum(not wakes.done() for _, _, wakes in self._sleepers)

    async def until_sleeping(self, count: int = 1) -> None:
        """Wait, without time, until as many tasks have reached their sleep: then `advance` can wake them."""
        if self.sleeping >= count:
            return
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._awaited.append((count, reached))
        await reached
        self._awaited.remove((count, reached))


async def wait_set(event: asyncio.Event, timeout_s: float, clock: Clock) -> bool:
    """Wait for the event, at most `timeout_s` of the clock's time. Whether it is set."""
    if event.is_set():
        return True
    racers = [asyncio.create_task(event.wait()), asyncio.create_task(clock.sleep(timeout_s))]
    try:
        await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for racer in racers:
            racer.cancel()
        await asyncio.gather(*racers, return_exceptions=True)
    return event.is_set()
