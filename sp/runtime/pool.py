"""A bounded, fairly shared pool of threads for hashing, erasure coding, signing batches and file I/O."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Final, ParamSpec, TypeVar

from sp.runtime.fair import FairExecutor
from sp.runtime.metrics import gauge
from sp.runtime.work import Work, current_share

P = ParamSpec("P")
T = TypeVar("T")

QUEUED_PER_THREAD: Final = 4
"""Work handed to the executor beyond what its threads are doing: enough that none idles between two pieces of work."""

WAITING: Final = gauge("sp_cpu_pool_waiting", "Calls that wait for a slot in the CPU pool")
RUNNING: Final = gauge("sp_cpu_pool_running", "Calls queued or running in the CPU pool's threads")


class CpuPool:
    """Threads for blocking work. Use as an async context manager: leaving waits for the threads.

    background_threads: of these, as many at most do background work at the same time; 0: all but one
    """

    def __init__(self, threads: int = 4, background_threads: int = 0) -> None:
        assert threads >= 1
        self._threads = threads
        self._fair = FairExecutor(threads, min(threads, background_threads or max(1, threads - 1)))
        self.executor: Executor = self._fair
        bound = threads * (1 + QUEUED_PER_THREAD)
        self._slots = {work: asyncio.Semaphore(bound) for work in Work}

    def busy(self) -> bool:
        """Whether a call handed in now would have to wait: background work then makes way."""
        return self._fair.pending >= self._threads

    async def run(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of fn(*args), computed in a thread. Waits while the queue is full.

        When `run` returns or raises, `fn` is not running: a cancelled caller waits for a call that has begun, so the
        buffers and files it uses may be reused or closed afterwards. A call that has not begun is dropped.
        """
        slots = self._slots[current_share().work]
        if slots.locked():
            with WAITING.track_inprogress():
                await slots.acquire()
        else:
            await slots.acquire()
        try:
            RUNNING.inc()
            future = self._submitted(fn, *args, **kwargs)
            waiting = asyncio.wrap_future(future)
            try:
                return await asyncio.shield(waiting)
            except asyncio.CancelledError:
                if not future.cancel():
                    await _finished(waiting)
                raise
        finally:
            RUNNING.dec()
            slots.release()

    def _submitted(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        context = contextvars.copy_context()  # the request id, for what the thread logs
        return self.executor.submit(lambda: context.run(fn, *args, **kwargs))

    async def __aenter__(self) -> CpuPool:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.executor.shutdown, wait=True, cancel_futures=True)


async def _finished(waiting: asyncio.Future[T]) -> None:
    """Wait until it is done, also through further cancellations: the caller raises the first one afterwards."""
    while not waiting.done():
        try:
            await asyncio.wait([waiting])
        except asyncio.CancelledError:
            continue
    if not waiting.cancelled():
        waiting.exception()  # retrieved: nobody is left to hear it
