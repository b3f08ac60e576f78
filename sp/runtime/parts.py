"""What one process opens once and shares between the services in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from random import Random, SystemRandom
from types import TracebackType
from typing import Any, TypeVar, cast

from sp.runtime.chores import Chore, Chores
from sp.runtime.clock import Clock, ManualClock, SystemClock
from sp.runtime.config import ConfigFile, common
from sp.runtime.pool import CpuPool
from sp.runtime.ready import Readiness
from sp.runtime.tasks import Tasks

T = TypeVar("T")


class Parts:
    """An async context manager; everything opened or spawned here ends with it, in reverse order.

    file, common: the configuration
    pool:         threads for blocking work
    clock:        time
    random:       chance: the system's, so fit for nonces; in tests a seeded one
    tasks:        owner of the process's own tasks; when one fails, `stopping` is set and leaving raises its error
    ready:        readiness checks of the services
    stopping:     set when the process is to end
    addresses:    where the services listen, by a name for people: written into the log and the ready file
    """

    def __init__(
        self,
        file: ConfigFile,
        *,
        clock: Clock | None = None,
        random: Random | None = None,
        manual_chores: bool = False,
    ) -> None:
        self.file = file
        self.common = common(file)
        self.clock: Clock = clock or SystemClock()
        self.random: Random = random or SystemRandom()
        self.pool = CpuPool(self.common.sp.cpu_threads, self.common.sp.background_threads)
        self.stopping = asyncio.Event()
        self.tasks = Tasks(on_failure=self.stopping.set)
        self.ready = Readiness()
        self.addresses: dict[str, str] = {}
        self._manual_chores = manual_chores
        self._all_chores: list[Chores] = []
        self._local: dict[str, object] = {}
        self._opened: dict[str, _Opened] = {}
        self._closing = False

    @classmethod
    def for_test(
        cls,
        dir: Path,
        sections: Mapping[str, Mapping[str, object]] | None = None,
        *,
        clock: Clock | None = None,
        seed: int = 0,
        manual_chores: bool = True,
    ) -> Parts:
        """Parts without a process: configuration from a dict, time that stands still (a ManualClock) unless a clock is
        given, seeded chance, and chores that run when `settle` is called."""
        file = ConfigFile.from_mapping(sections or {}, dir)
        seeded = Random(seed)  # noqa: S311 - a test that can be repeated
        return cls(file, clock=clock or ManualClock(), random=seeded, manual_chores=manual_chores)

    # --- what is shared

    async def once(self, key: str, open: Callable[[], AbstractAsyncContextManager[T]]) -> T:
        """What `open` yields: opened at the first use of this key, closed when the parts end, the last first.

        Concurrent callers share one opening, which goes on though one of them is cancelled. If it fails, it fails for
        all of them, and the next call tries again. Opened and closed in one task, so `open` may use task groups.
        """
        if self._closing:
            raise RuntimeError(f"{key}: opened after the end")
        opened = self._opened.get(key)
        if opened is None or opened.failed:
            self._opened.pop(key, None)
            opened = self._opened[key] = _Opened(key, open)
        return cast(T, await asyncio.shield(opened.value))

    def local(self, service: str) -> object | None:
        """The service's instance, if it runs in this process."""
        return self._local.get(service)

    def publish(self, service: str, instance: object) -> None:
        """From now on `local` finds it."""
        assert service not in self._local, f"{service} runs twice in one process"
        self._local[service] = instance

    def listens(self, name: str, address: str) -> None:
        """Say where a service listens, with the port in fact bound."""
        self.addresses[name] = address

    # --- what runs

    def spawn(self, coro: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """`tasks.spawn`."""
        return self.tasks.spawn(coro, name)

    def chores(self, *chores: Chore) -> Chores:
        """A service's chores, to be entered by it: `async with parts.chores(Chore(...), ...) as chores`."""
        made = Chores(chores, self.clock, self.random, manual=self._manual_chores)
        self._all_chores.append(made)
        return made

    async def settle(self) -> int:
        """Tests: tick all chores of all services here until nothing moves; how many ticks did something."""
        total = 0
        while moved := sum([await chores.settle() for chores in self._all_chores]):
            total += moved
        return total

    async def __aenter__(self) -> Parts:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self.stopping.set()
        await self.tasks.close()
        try:
            await self._close_opened()
        finally:
            await self.pool.__aexit__()
        if self.tasks.failure is not None and error is None:
            raise self.tasks.failure

    async def _close_opened(self) -> None:
        failures: list[Exception] = []
        for opened in sorted(self._opened.values(), key=lambda opened: opened.order, reverse=True):
            try:
                await opened.close()
            except Exception as error:  # noqa: BLE001 - raised below, after the others have been closed too
                failures.append(error)
        if failures:
            raise ExceptionGroup("closing parts", failures)


class _Opened:
    """One shared thing, held open by a task of its own."""

    _counter = 0

    def __init__(self, key: str, open: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        self.order = 0
        self.value: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._close = asyncio.Event()
        self._holding = asyncio.create_task(self._hold(open), name=f"open {key}")

    @property
    def failed(self) -> bool:
        return self.value.done() and (self.value.cancelled() or self.value.exception() is not None)

    async def _hold(self, open: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        try:
            async with open() as value:
                _Opened._counter += 1
                self.order = _Opened._counter  # by completion: what this one opened within itself outlives it
                self.value.set_result(value)
                await self._close.wait()
        except BaseException as error:
            if self.value.done():
                raise  # while closing: `close` hands it on
            if isinstance(error, Exception):
                self.value.set_exception(error)
            else:
                self.value.cancel()
                raise

    async def close(self) -> None:
        self._close.set()
        if not self.value.done():
            self._holding.cancel()
        await asyncio.wait([self._holding])
        if not self._holding.cancelled() and (error := self._holding.exception()) is not None:
            raise error
