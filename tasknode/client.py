"""The TaskNode as the other services and the operator's tools see it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from sp.domain.ids import Address, JobId
from sp.domain.jobs import HistoryRow, Job, JobFilter, Secondary
from sp.domain.lifecycle import JobState


@dataclass(frozen=True, slots=True)
class JobDetail:
    """A job with its secondaries (failed ones too, in order of choice) and its history in order."""

    job: Job
    secondaries: tuple[Secondary, ...]
    history: tuple[HistoryRow, ...]


class TaskNode(Protocol):
    async def notify(self, job_id: JobId) -> None:
        """A put is done: a hint that makes the work start now. Returns at once; the job row is the queue."""

    async def delete_object(self, bucket: str, object_name: str, account: Address, request_id: str) -> None:
        """Unlink a name: gone for readers of this SP when it returns, and durably to be deleted on chain and, after
        that, from every provider's store. Success when there is no such object."""

    async def list_jobs(self, wanted: JobFilter) -> tuple[list[Job], dict[JobState, int]]:
        """One page of jobs, newest first, and how many jobs there are by state."""

    async def get_job(self, job_id: JobId) -> JobDetail:
        """NoSuchJob."""

    async def get_job_of(self, bucket: str, object_name: str) -> JobDetail:
        """The newest job of a name. NoSuchObject."""

    def watch_job(self, job_id: JobId) -> AsyncIterator[JobDetail]:
        """The job now and again at every change, until it is final or given up."""

    async def retry_job(self, job_id: JobId) -> Job:
        """Let a failed, waiting or given-up job go on now. IllegalMove for one that is final."""
