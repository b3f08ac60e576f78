"""The TaskNode as the other services and the operator's tools see it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Protocol

import grpc

from proto import tasknode_pb2 as pb
from proto.tasknode_pb2_grpc import TaskNodeStub
from sp.domain.ids import Address, JobId, RedundancyIndex
from sp.domain.jobs import HistoryRow, Job, JobFilter, Secondary
from sp.domain.ledger import Visibility
from sp.domain.lifecycle import JobState
from sp.runtime.neighbour import neighbour
from sp.runtime.parts import Parts
from sp.wire import jobs as wire

CALL_TIMEOUT_S: Final = 10.0
WATCH_TIMEOUT_S: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class JobDetail:
    """A job with its secondaries (failed ones too, in order of choice) and its history in order."""

    job: Job
    secondaries: tuple[Secondary, ...]
    history: tuple[HistoryRow, ...]


@dataclass(frozen=True, slots=True)
class SwapInStatus:
    """A column that another provider is to take over. target: who leaves; successor: None while nobody has agreed
    attempts: failures so far, error: the last of them; times in unix ms"""

    job_id: JobId
    bucket: str
    object_name: str
    redundancy_index: RedundancyIndex
    target: Address
    successor: Address | None
    attempts: int
    next_attempt_at_ms: int
    error: str
    created_at_ms: int


class TaskNode(Protocol):
    async def notify(self, job_id: JobId) -> None:
        """A put is done: a hint that makes the work start now. Returns at once; the job row is the queue."""

    async def delete_object(
        self, bucket: str, object_name: str, account: Address, request_id: str, only: JobId | None = None
    ) -> None:
        """Unlink a name: gone for readers of this SP when it returns, and durably to be deleted on chain and, after
        that, from every provider's store. Success when there is no such object.

        only: of this put alone; PreconditionFailed when the name means another one, or nothing
        """

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

    async def set_tags(self, job_id: JobId, tags: dict[str, str]) -> None:
        """The whole tag set of an object, by the put that brought its content. NoSuchJob."""

    async def set_visibility(self, job_id: JobId, visibility: Visibility) -> bool:
        """How an object is to be created on chain; False when it is there, or being created, already. NoSuchJob."""

    async def list_swap_ins(self, limit: int) -> tuple[list[SwapInStatus], dict[Address, int]]:
        """Columns of this primary's sealed objects that others are to take over from providers that leave, the oldest
        first; and how many are still with whom."""


class TaskNodeClient:
    """A TaskNode in another process."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = TaskNodeStub(channel)

    async def notify(self, job_id: JobId) -> None:
        await self._stub.Notify(pb.NotifyRequest(job_id=job_id))

    async def delete_object(
        self, bucket: str, object_name: str, account: Address, request_id: str, only: JobId | None = None
    ) -> None:
        await self._stub.DeleteObject(
            pb.DeleteObjectRequest(
                bucket=bucket, object_name=object_name, account=account, request_id=request_id, only_job_id=only or 0
            )
        )

    async def list_jobs(self, wanted: JobFilter) -> tuple[list[Job], dict[JobState, int]]:
        reply = await self._stub.ListJobs(wire.job_filter_pb(wanted))
        return [wire.job(j) for j in reply.jobs], {JobState(state): count for state, count in reply.counts.items()}

    async def get_job(self, job_id: JobId) -> JobDetail:
        return detail(await self._stub.GetJob(pb.GetJobRequest(job_id=job_id)))

    async def get_job_of(self, bucket: str, object_name: str) -> JobDetail:
        return detail(await self._stub.GetJob(pb.GetJobRequest(bucket=bucket, object_name=object_name)))

    async def watch_job(self, job_id: JobId) -> AsyncIterator[JobDetail]:
        call = self._stub.WatchJob(pb.GetJobRequest(job_id=job_id), timeout=WATCH_TIMEOUT_S)
        try:
            async for message in call:
                yield detail(message)
        finally:
            call.cancel()  # nothing left to cancel once it has ended

    async def retry_job(self, job_id: JobId) -> Job:
        return wire.job(await self._stub.RetryJob(pb.RetryJobRequest(job_id=job_id)))

    async def set_tags(self, job_id: JobId, tags: dict[str, str]) -> None:
        await self._stub.SetTags(pb.SetTagsRequest(job_id=job_id, tags=tags))

    async def set_visibility(self, job_id: JobId, visibility: Visibility) -> bool:
        request = pb.SetVisibilityRequest(job_id=job_id, visibility=visibility)
        return (await self._stub.SetVisibility(request)).changed

    async def list_swap_ins(self, limit: int) -> tuple[list[SwapInStatus], dict[Address, int]]:
        reply = await self._stub.ListSwapIns(pb.ListSwapInsRequest(limit=limit))
        return [_swap_in(each) for each in reply.swap_ins], {Address(who): n for who, n in reply.counts.items()}


def _swap_in(message: pb.SwapIn) -> SwapInStatus:
    return SwapInStatus(
        JobId(message.job_id),
        message.bucket,
        message.object_name,
        RedundancyIndex(message.redundancy_index),
        Address(message.target),
        Address(message.successor) if message.successor else None,
        message.attempts,
        message.next_attempt_at_ms,
        message.error,
        message.created_at_ms,
    )


def detail(message: pb.JobDetail) -> JobDetail:
    return JobDetail(
        wire.job(message.job),
        tuple(map(wire.secondary, message.secondaries)),
        tuple(map(wire.history_row, message.history)),
    )


async def connect(parts: Parts) -> TaskNode:
    """The TaskNode of this SP: the one in this process, else a client of the one at its endpoint."""
    return await neighbour(parts, "tasknode", parts.common.endpoint.tasknode, TaskNodeClient, CALL_TIMEOUT_S)
