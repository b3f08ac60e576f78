"""An owner for tasks that live as long as a process, a service or a test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from sp.runtime.log import get_logger

T = TypeVar("T")

log = get_logger(__name__)


class Tasks:
    """Spawns tasks, and cancels and awaits all of them at `close`.

    Nobody awaits a spawned task's result, so nothing may go wrong in it: its first unexpected exception is logged with
    its trace, kept in `failure`, and told to `on_failure`.
    """

    def __init__(self, on_failure: Callable[[], None] | None = None) -> None:
        self.failure: BaseException | None = None
        self._on_failure = on_failure
        self._running: set[asyncio.Task[Any]] = set()
        self._closing = False

    def spawn(self, coro: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run it in a task of its own. It may end, or be cancelled, at any time; it must not raise."""
        if self._closing:
            coro.close()
            raise RuntimeError(f"{name}: spawned after the end")
        task = asyncio.get_running_loop().create_task(coro, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        log.error("task failed", task=task.get_name(), exc_info=error)
        if self.failure is None:
            self.failure = error
            if self._on_failure is not None:
                self._on_failure()

    async def close(self) -> None:
        """Cancel all and wait until each has ended."""
        self._closing = True
        while self._running:
            ending = list(self._running)
            for task in ending:
                task.cancel()
            await asyncio.wait(ending)
            await asyncio.sleep(0)  # their done callbacks run
