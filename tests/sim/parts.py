"""What a simulated process shares between its services: as in production, but without threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from random import Random
from typing import ParamSpec, TypeVar

from sp.runtime.chores import Chore, Chores
from sp.runtime.clock import Clock
from sp.runtime.config import ConfigFile
from sp.runtime.parts import Parts
from sp.runtime.pool import CpuPool

P = ParamSpec("P")
T = TypeVar("T")

SLOWEST_CHORE_S = 40.0
"""No chore ticks more often by itself: simulated hours would be nothing but idle ticks. Waking works as ever."""


class InlineExecutor(Executor):
    """Runs what is submitted, at once."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - handed to whoever asks the future
            future.set_exception(error)
        return future


class InlinePool(CpuPool):
    """A CPU pool without threads: the work is done before the caller goes on, or after others had a turn.

    chance: decides which
    """

    def __init__(self, chance: Random) -> None:
        super().__init__(1)
        self.executor = InlineExecutor()
        self._chance = chance

    def busy(self) -> bool:
        return False

    async def run(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self._chance.random() < 0.3:
            await asyncio.sleep(0)
        return fn(*args, **kwargs)


class SimParts(Parts):
    def __init__(self, file: ConfigFile, clock: Clock, chance: Random) -> None:
        super().__init__(file, clock=clock, random=chance)
        self.pool = InlinePool(chance)

    def chores(self, *chores: Chore) -> Chores:
        slower = [replace(chore, interval_s=max(chore.interval_s, SLOWEST_CHORE_S)) for chore in chores]
        return super().chores(*slower)
