"""Background work of a service: each chore ticks in a task of its own, when woken or when its interval has passed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from sp.runtime.clock import Clock, wait_set
from sp.runtime.errors import sp_error_in
from sp.runtime.log import get_logger
from sp.runtime.metrics import counter, histogram
from sp.runtime.tasks import Tasks
from sp.runtime.work import Work, working

FIRST_BACK_OFF_S: Final = 0.5
MAX_BACK_OFF_S: Final = 60.0

SETTLE_ROUNDS_MAX: Final = 10_000

TICKS: Final = counter("sp_chore_ticks_total", "Ticks of background chores", ["chore", "outcome"])
SECONDS: Final = histogram("sp_chore_seconds", "How long a tick took", ["chore"])

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Chore:
    """tick: does one bounded piece of work, idempotent since it may be cancelled anywhere and run again; True: it did
    something, so run it again at once. Its errors are logged and counted, and it backs off: 0.5 s, doubled up to 60 s.
    """

    name: str
    interval_s: float
    tick: Callable[[], Awaitable[bool]]

    def __post_init__(self) -> None:
        assert self.interval_s > 0


class Chores:
    """Runs chores while entered: `async with Chores([...], clock, random) as chores`. Usually made by `Parts.chores`.

    manual: nothing runs by itself; tests call `settle`.
    """

    def __init__(self, chores: Sequence[Chore], clock: Clock, random: Random, *, manual: bool = False) -> None:
        self._chores = {chore.name: chore for chore in chores}
        assert len(self._chores) == len(chores), "two chores of one name"
        self._clock = clock
        self._random = random
        self._manual = manual
        self._woken = {name: asyncio.Event() for name in self._chores}
        self._tasks = Tasks()
        self._entered = False

    async def __aenter__(self) -> Chores:
        self._entered = True
        if not self._manual:
            for chore in self._chores.values():
                self._tasks.spawn(self._repeat(chore), f"chore {chore.name}")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._entered = False
        await self._tasks.close()

    def wake(self, name: str | None = None) -> None:
        """There is something to do for this chore (or all): tick now, or right after the tick or back-off under way.

        Cheap, from the event loop's thread only. In manual mode `settle` ticks all of them anyway.
        """
        for woken in self._woken.values() if name is None else [self._woken[name]]:
            woken.set()

    async def settle(self) -> int:
        """Manual mode: tick every chore in turn until none has anything to do; how many ticks did something.

        An SpError counts as nothing done, as it would in production until the next interval. Anything else comes out.
        Chores that have not been entered, or have been left, do nothing.
        """
        assert self._manual, "these chores run by themselves"
        moved_ticks = 0
        if not self._entered:
            return 0
        for _ in range(SETTLE_ROUNDS_MAX):
            moved = [await self._settle_tick(chore) for chore in self._chores.values()]
            if not any(moved):
                return moved_ticks
            moved_ticks += sum(moved)
        raise AssertionError(f"chores that never settle: {', '.join(self._chores)}")

    async def _settle_tick(self, chore: Chore) -> bool:
        try:
            return await self._tick(chore)
        except Exception as error:
            self._failed(chore, error)
            if sp_error_in(error) is None:
                raise
            return False

    async def _repeat(self, chore: Chore) -> None:
        woken = self._woken[chore.name]
        failures = 0
        while True:
            woken.clear()
            try:
                moved = await self._tick(chore)
            except Exception as error:  # noqa: BLE001 - one failed tick must not end the chore: logged, counted, retried
                self._failed(chore, error)
                failures += 1
                await self._clock.sleep(self._back_off_s(failures))
                continue
            failures = 0
            if moved:
                await asyncio.sleep(0)  # a tick that never waits must not starve the others
            else:
                await wait_set(woken, chore.interval_s, self._clock)

    async def _tick(self, chore: Chore) -> bool:
        started = time.perf_counter()
        with working(Work.UPKEEP, owner="", flow=chore.name):
            moved = await chore.tick()
        SECONDS.labels(chore.name).observe(time.perf_counter() - started)
        TICKS.labels(chore.name, "moved" if moved else "idle").inc()
        return moved

    def _failed(self, chore: Chore, failure: Exception) -> None:
        TICKS.labels(chore.name, "failed").inc()
        error = sp_error_in(failure)
        if error is not None:
            log.warning("chore failed", chore=chore.name, error=type(error).__name__, reason=str(error))
        else:
            log.error("chore failed", chore=chore.name, exc_info=failure)

    def _back_off_s(self, failures: int) -> float:
        """Between half and all of the doubled time, so that many processes do not come back at once."""
        full: float = min(MAX_BACK_OFF_S, FIRST_BACK_OFF_S * 2 ** min(failures - 1, 10))
        return full * (1 - self._random.random() / 2)
