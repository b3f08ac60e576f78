"""Following a job to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from cli.errors import NotSealed
from sp.domain.ids import JobId
from sp.domain.jobs import HistoryRow, Job
from sp.domain.lifecycle import FINAL, JobState

if TYPE_CHECKING:
    from tasknode.client import JobDetail, TaskNode


async def follow(tasknode: TaskNode, job_id: JobId) -> AsyncIterator[tuple[JobDetail, tuple[HistoryRow, ...]]]:
    """The job now and at every change, each time with the history rows that are new, until it is final or given up."""
    seen = 0
    async for detail in tasknode.watch_job(job_id):
        yield detail, detail.history[seen:]
        seen = len(detail.history)
        if is_over(detail.job):
            return


def is_over(job: Job) -> bool:
    return job.given_up or job.state in FINAL


def is_sealed(job: Job) -> bool:
    return job.state is JobState.SEAL_OBJECT_DONE


def require_sealed(job: Job) -> None:
    if not is_sealed(job):
        raise NotSealed(job.state.name, job.error)
