"""Take due jobs by lease and carry them, a bounded number at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from sp.domain.errors import JobMoved, SpError
from sp.domain.ids import JobId
from sp.domain.jobs import Job
from sp.runtime.clock import Clock, wait_set
from sp.runtime.leases import kept_lease
from sp.runtime.log import bound, get_logger
from sp.runtime.work import Work, working
from spdb.jobs import Jobs
from tasknode.config import TaskNodeConfig
from tasknode.pipeline import Pipeline
from tasknode.places import Places

log = get_logger(__name__)


@dataclass(slots=True)
class Worker:
    """The loop of one task node process. Any number of them may share a database: the lease in the row decides."""

    jobs: Jobs
    pipeline: Pipeline
    clock: Clock
    config: TaskNodeConfig
    actor: str
    _running: dict[JobId, tuple[Job, asyncio.Task[None]]] = field(default_factory=dict)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _more_due: bool = False
    _places: Places = field(init=False)

    def __post_init__(self) -> None:
        self._places = Places(self.config.max_jobs, self.config.max_waiting_jobs, self._freed)

    def wake(self) -> None:
        """There may be work: look now."""
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._woken.clear()
            wait_s = await self._take_due()
            await wait_set(self._woken, wait_s, self.clock)

    async def stop(self, running: asyncio.Task[None]) -> None:
        """End `run` and cancel every job under way; their leases are given back, so that the next start goes on."""
        running.cancel()
        await asyncio.wait([running])
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def drop(self, bucket: str, object_name: str) -> None:
        """Stop carrying jobs of a name, if this process does: it was deleted. Nobody takes them up again meanwhile."""
        for job, task in list(self._running.values()):
            if (job.bucket, job.object_name) == (bucket, object_name):
                task.cancel()
                await asyncio.wait([task])

    async def _take_due(self) -> float:
        """Start what is due; how long to wait for the next look, in seconds."""
        try:
            free = self._places.free
            taken = await self.jobs.take(self.actor, self.config.lease_ms, free) if free else []
            self._more_due = len(taken) == free
            for job in taken:
                await self._start(job)
            due_ms = None if self._more_due else await self.jobs.next_due_ms()
        except SpError as error:
            log.warning("job table not read", error=str(error))
            return self.config.poll_interval_s
        if due_ms is None:  # nothing is due, or a place that becomes free wakes us
            return self.config.poll_interval_s
        # a due job that was not taken is another's or waits for its turn: no busy loop over it
        return min(self.config.poll_interval_s, max(0.05, (due_ms - self.clock.now_ms()) / 1000))

    def _freed(self) -> None:
        if self._more_due:
            self.wake()

    async def _start(self, job: Job) -> None:
        """Carry a job that was taken. If our own lease of it ran out because it could not be renewed, it is being
        carried: that ends first, and ending gives the job back, to be taken anew."""
        if job.id in self._running:
            _, earlier = self._running[job.id]
            earlier.cancel()
            await asyncio.wait([earlier])
            return
        task = asyncio.create_task(self._carry(job), name=f"job {job.id}")
        self._running[job.id] = (job, task)

    async def _carry(self, job: Job) -> None:
        async def renew() -> bool:
            return await self.jobs.renew_lease(job.id, self.actor, self.config.lease_ms)

        try:
            share = working(Work.REPLICATION, job.account, str(job.id))
            with self._places.taken(), bound(job_id=job.id, request_id=job.request_id), share:
                async with kept_lease(job.id, renew, self.config.lease_ms, self.clock):
                    await self.pipeline.carry(job)
        except JobMoved:
            log.info("job moved by another", job_id=job.id)
        except asyncio.CancelledError:
            await self._release(job)
            raise
        except SpError as error:
            log.warning("job left to its lease", job_id=job.id, error=str(error))
        except Exception:
            log.exception("job crashed; it is taken again when its lease ends", job_id=job.id)
        finally:
            del self._running[job.id]
            self.wake()

    async def _release(self, job: Job) -> None:
        releasing = asyncio.ensure_future(self.jobs.release(job))
        await asyncio.wait([releasing])
        if error := releasing.exception():
            log.warning("lease not given back", job_id=job.id, error=str(error))
