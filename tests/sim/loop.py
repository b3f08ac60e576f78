"""An event loop whose time is virtual: when nothing is ready it jumps to the next timer. No threads, no sockets.

Every callback belongs to an *owner*, the simulated process in whose context it was scheduled. A killed owner's
callbacks never run again: that is what kill -9 means, no `finally` and no `except` runs. A frozen owner's callbacks
wait until it thaws. Tasks and futures are hashed by a counter of the loop's own, since sets of them (asyncio.wait, task
groups) would otherwise be walked in the order of memory addresses.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any, TypeVar, TypeVarTuple, cast

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MAX_STEPS_WITHOUT_TIME = 200_000


@dataclass(eq=False)
class Owner:
    """One simulated process: one life of a provider, the chain, a client.

    parked:   its callbacks while it is frozen, and those it will never run once it is dead
    dies_at:  the number of steps after which it is killed, whatever it is doing
    network:  what it is connected to (tests.sim.network)
    power_lost: its machine went with it, so that nobody resets its connections
    """

    name: str
    alive: bool = True
    frozen: bool = False
    steps: int = 0
    dies_at: int | None = None
    network: Any = None
    power_lost: bool = False
    on_death: Callable[[Owner], None] | None = None
    parked: deque[asyncio.Handle] = field(default_factory=deque)

    def __repr__(self) -> str:
        return self.name


OWNER: ContextVar[Owner | None] = ContextVar("owner", default=None)


def owner() -> Owner:
    """The simulated process that runs now."""
    found = OWNER.get()
    assert found is not None, "not inside the simulation"
    return found


def context_of(process: Owner) -> Context:
    context = copy_context()
    context.run(OWNER.set, process)
    return context


class _Numbers:
    """Counts tasks and futures of the loop that was made last."""

    def __init__(self) -> None:
        self.last = 0

    def next(self) -> int:
        self.last += 1
        return self.last


_NUMBERS = _Numbers()


class SimTask(asyncio.Task[T]):
    _number: int

    def __new__(cls, *given: Any, **named: Any) -> SimTask[T]:
        made: SimTask[T] = super().__new__(cls)
        made._number = _NUMBERS.next()  # before __init__, which puts the task into a set
        return made

    def __hash__(self) -> int:
        return self._number


class SimFuture(asyncio.Future[T]):
    _number: int

    def __new__(cls, *given: Any, **named: Any) -> SimFuture[T]:
        made: SimFuture[T] = super().__new__(cls)
        made._number = _NUMBERS.next()
        return made

    def __hash__(self) -> int:
        return self._number


class Quiescent(Exception):
    """Nothing is ready and no timer is set: everything waits for something that nobody will do."""


class SimLoop(asyncio.BaseEventLoop):
    """Runs callbacks in the order in which they were scheduled, timers of one moment in the order they were set."""

    _ready: deque[asyncio.Handle]  # BaseEventLoop's own queue

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.steps = 0
        self.failures: list[str] = []
        self.draining = False
        self._timer_count = 0
        _NUMBERS.last = 0
        self._steps_at_this_time = 0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self.set_task_factory(cast(Any, self._task))
        self.set_exception_handler(self._note_failure)

    # --- what asyncio asks of a loop

    def time(self) -> float:
        return self.now_s

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._timer_count += 1
        heapq.heappush(self._timers, (when, self._timer_count, timer))
        return timer

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now_s + delay, callback, *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        return SimFuture(loop=self)

    def run_in_executor(  # type: ignore[override]  # typeshed's awaitable is narrower in BaseEventLoop's stub
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """At once and here: a thread's order is nobody's to replay."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - handed to whoever awaits it
            future.set_exception(error)
        return future

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are dropped when their time comes."""

    def _write_to_self(self) -> None:
        """There is no other thread to wake this one."""

    def _process_events(self, event_list: object) -> None:
        """There are no sockets."""

    def _task(self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, T], **named: Any) -> SimTask[T]:
        return SimTask(coro, loop=loop, **named)

    def _run_once(self) -> None:
        self._pop_due()
        if not self._ready:
            self._jump()
            self._pop_due()
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if not handle._cancelled:
                self._run(handle)

    # --- time and processes

    def spawn(self, process: Owner, coro: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """A task of that process."""
        return self.create_task(coro, name=name, context=context_of(process))

    def kill(self, process: Owner) -> None:
        """At once: nothing of it runs any more."""
        if process.alive:
            process.alive = False
            if process.on_death is not None:
                process.on_death(process)

    def thaw(self, process: Owner) -> None:
        process.frozen = False
        if process.alive:
            self._ready.extend(process.parked)
            process.parked.clear()

    def revive(self, process: Owner) -> None:
        """For the end of the simulation: let the dead unwind, so that no coroutine is left half-way."""
        process.alive, process.dies_at = True, None
        self.thaw(process)

    def _jump(self) -> None:
        while self._timers and self._timers[0][2]._cancelled:
            heapq.heappop(self._timers)
        if not self._timers:
            raise Quiescent
        if self._timers[0][0] > self.now_s:
            self.now_s = self._timers[0][0]
            self._steps_at_this_time = 0

    def _pop_due(self) -> None:
        while self._timers and self._timers[0][0] <= self.now_s:
            timer = heapq.heappop(self._timers)[2]
            if not timer._cancelled:
                self._ready.append(timer)

    def _run(self, handle: asyncio.Handle) -> None:
        process: Owner | None = handle._context.get(OWNER)  # type: ignore[attr-defined]  # not in typeshed
        if process is None:
            handle._run()
            return
        if not process.alive or process.frozen:
            process.parked.append(handle)
            return
        self.steps += 1
        process.steps += 1
        self._steps_at_this_time += 1
        if self._steps_at_this_time > MAX_STEPS_WITHOUT_TIME:
            raise AssertionError(f"{process} runs on without ever waiting: {handle!r}")
        handle._run()
        if process.dies_at is not None and process.steps >= process.dies_at:
            self.kill(process)

    def _note_failure(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not self.draining:
            self.failures.append(f"{context.get('message')} {context.get('exception')!r} {context.get('task')!r}")
