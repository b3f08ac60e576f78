"""Telling the task node that there is work: one call at a time, which puts that end meanwhile share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Self

from sp.domain.errors import SpError
from sp.domain.ids import JobId
from sp.runtime.clock import Clock
from sp.runtime.log import get_logger
from sp.runtime.tasks import Tasks
from tasknode.client import TaskNode

log = get_logger(__name__)

PAUSE_S: Final = 0.02
"""Between two calls: hints of that time share the next."""


class Hints:
    """Only hints: the job row is the queue, so a deaf task node costs time and nothing else."""

    def __init__(self, tasknode: TaskNode, clock: Clock, timeout_s: float) -> None:
        self._tasknode = tasknode
        self._clock = clock
        self._timeout_s = timeout_s
        self._job_id: JobId | None = None
        self._told = asyncio.Event()

    def tell(self, job_id: JobId) -> None:
        """A put is done. Returns at once; nobody waits for the task node."""
        self._job_id = job_id
        self._told.set()

    @asynccontextmanager
    async def passed_on(self) -> AsyncIterator[Self]:
        """Until exit."""
        tasks = Tasks()
        tasks.spawn(self._pass_on(), "hints for the task node")
        try:
            yield self
        finally:
            await tasks.close()

    async def _pass_on(self) -> None:
        while True:
            await self._told.wait()
            self._told.clear()
            job_id, self._job_id = self._job_id, None
            assert job_id is not None
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._tasknode.notify(job_id)
            except (SpError, TimeoutError) as error:
                log.warning("task node not notified", job_id=job_id, error=str(error) or type(error).__name__)
            await self._clock.sleep(PAUSE_S)
