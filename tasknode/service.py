"""Everything of a put after its 200: secondaries, replication, seal; deletions; what operators ask about jobs.

Owns:  jobs from UPLOAD_OBJECT_DONE to their end, by lease; deletion intents.
Never: talks to users, sees a private key, keeps a job in memory only.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from sp.domain.errors import NoSuchObject, PreconditionFailed
from sp.domain.ids import Address, JobId
from sp.domain.jobs import Job, JobFilter
from sp.domain.ledger import Visibility
from sp.domain.lifecycle import FINAL, JobState
from sp.domain.swaps import SwapIn
from sp.runtime.chores import Chores
from spdb.jobs import Jobs
from spdb.objects import Objects
from spdb.swap_ins import SwapIns
from tasknode.client import JobDetail, SwapInStatus
from tasknode.worker import Worker

WATCH_INTERVAL_S = 0.5
"""How often a watched job is read again when nobody in this process moves it (another service may)."""


MAX_LISTED = 1000

CONSISTENT_READS = 5
"""How often a job is read again because it moved between the reading of its row and of its history."""


@dataclass(slots=True)
class JobChanges:
    """Tells watchers in this process that a job moved."""

    _events: defaultdict[JobId, list[asyncio.Event]] = field(default_factory=lambda: defaultdict(list))

    def changed(self, job: Job) -> None:
        for event in self._events.get(job.id, ()):
            event.set()

    async def wait(self, job_id: JobId, timeout_s: float) -> None:
        """Until the job moves, or the time is over."""
        event = asyncio.Event()
        self._events[job_id].append(event)
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        except TimeoutError:
            return
        finally:
            self._events[job_id].remove(event)
            if not self._events[job_id]:
                del self._events[job_id]


@dataclass(frozen=True, slots=True)
class TaskNodeService:
    jobs: Jobs
    objects: Objects
    swap_ins: SwapIns
    worker: Worker
    changes: JobChanges
    chores: Chores
    actor: str

    async def notify(self, job_id: JobId) -> None:
        """The job row is the queue: which job it is does not matter."""
        self.worker.wake()

    async def delete_object(
        self, bucket: str, object_name: str, account: Address, request_id: str, only: JobId | None = None
    ) -> None:
        if await self.objects.remove(bucket, object_name, account, self.actor, request_id, only):
            self.chores.wake()
        elif only is not None:
            raise PreconditionFailed("If-Match")

    async def list_jobs(self, wanted: JobFilter) -> tuple[list[Job], dict[JobState, int]]:
        return await self.jobs.list(wanted), await self.jobs.counts()

    async def get_job(self, job_id: JobId) -> JobDetail:
        job = await self.jobs.get(job_id)
        for _ in range(CONSISTENT_READS):
            secondaries, history = await self.jobs.secondaries(job_id), await self.jobs.history(job_id)
            again = await self.jobs.get(job_id)
            if again.row_version == job.row_version:
                break
            job = again
        return JobDetail(again, tuple(secondaries), tuple(history))

    async def get_job_of(self, bucket: str, object_name: str) -> JobDetail:
        job = await self.jobs.newest_of(bucket, object_name)
        if job is None:
            raise NoSuchObject(bucket, object_name)
        return await self.get_job(job.id)

    async def watch_job(self, job_id: JobId) -> AsyncIterator[JobDetail]:
        seen = -1
        while True:
            detail = await self.get_job(job_id)
            if len(detail.history) != seen:
                seen = len(detail.history)
                yield detail
            if detail.job.state in FINAL or detail.job.given_up:
                return
            await self.changes.wait(job_id, WATCH_INTERVAL_S)

    async def retry_job(self, job_id: JobId) -> Job:
        job = await self.jobs.retry_now(job_id)
        self.worker.wake()
        return job

    async def set_tags(self, job_id: JobId, tags: dict[str, str]) -> None:
        await self.jobs.set_tags(job_id, tags)

    async def set_visibility(self, job_id: JobId, visibility: Visibility) -> bool:
        return await self.jobs.set_visibility(job_id, visibility)

    async def list_swap_ins(self, limit: int) -> tuple[list[SwapInStatus], dict[Address, int]]:
        waiting = await self.swap_ins.waiting(max(1, min(limit, MAX_LISTED)))
        return [_status(swap) for swap in waiting], await self.swap_ins.counts()


def _status(swap: SwapIn) -> SwapInStatus:
    return SwapInStatus(
        swap.job.id,
        swap.job.bucket,
        swap.job.object_name,
        swap.redundancy_index,
        swap.target,
        swap.successor,
        swap.attempts,
        swap.next_attempt_at_ms,
        swap.error,
        swap.created_at_ms,
    )
