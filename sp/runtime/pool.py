"""A bounded pool of threads for hashing, erasure coding, signing batches and file I/O."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, Final, ParamSpec, TypeVar

from sp.runtime.metrics import gauge

P = ParamSpec("P")
T = TypeVar("T")

QUEUED_PER_THREAD: Final = 4
"""Work handed to the executor beyond what its threads are doing: enough that none idles between two pieces of work."""

WAITING: Final = gauge("sp_cpu_pool_waiting", "Calls that wait for a slot in the CPU pool")
RUNNING: Final = gauge("sp_cpu_pool_running", "Calls queued or running in the CPU pool's threads")


class _Counting(ThreadPoolExecutor):
    """Knows how many calls are queued or running, also those that stores hand to it directly."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads, thread_name_prefix="cpu")
        self.pending = 0
        self._counting = threading.Lock()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future = super().submit(fn, *args, **kwargs)
        with self._counting:
            self.pending += 1
        future.add_done_callback(self._done)
        return future

    def _done(self, _: Future[Any]) -> None:
        with self._counting:
            self.pending -= 1


class CpuPool:
    """Threads for blocking work. Use as an async context manager: leaving waits for the threads."""

    def __init__(self, threads: int = 4) -> None:
        assert threads >= 1
        self._threads = threads
        self._counting = _Counting(threads)
        self.executor: Executor = self._counting
        self._slots = asyncio.Semaphore(threads * (1 + QUEUED_PER_THREAD))

    def busy(self) -> bool:
        """Whether a call handed in now would have to wait: background work then makes way."""
        return self._counting.pending >= self._threads

    async def run(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of fn(*args), computed in a thread. Waits while the queue is full.

        When `run` returns or raises, `fn` is not running: a cancelled caller waits for a call that has begun, so the
        buffers and files it uses may be reused or closed afterwards. A call that has not begun is dropped.
        """
        with WAITING.track_inprogress():
            await self._slots.acquire()
        future = self._submitted(fn, *args, **kwargs)
        waiting = asyncio.wrap_future(future)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            if not future.cancel():
                await _finished(waiting)
            raise

    def _submitted(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()  # the request id, for what the thread logs
        try:
            future = self.executor.submit(lambda: context.run(fn, *args, **kwargs))
        except BaseException:
            self._slots.release()
            raise
        RUNNING.inc()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._release))
        return future

    def _release(self) -> None:
        RUNNING.dec()
        self._slots.release()

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
