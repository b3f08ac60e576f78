"""The TaskNode service on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from proto import common_pb2
from proto import tasknode_pb2 as pb
from proto.tasknode_pb2_grpc import TaskNodeServicer, add_TaskNodeServicer_to_server
from sp.domain.addresses import parse_address
from sp.domain.ids import JobId
from sp.domain.ledger import Visibility
from sp.runtime.rpc import Serving
from sp.wire import jobs as wire
from tasknode.client import JobDetail, SwapInStatus, TaskNode

SERVICE = "greenfield_sp.tasknode.v1.TaskNode"


def served(tasknode: TaskNode) -> Serving:
    return Serving(add_TaskNodeServicer_to_server, TaskNodeRpc(tasknode), SERVICE)


class TaskNodeRpc(TaskNodeServicer):
    def __init__(self, tasknode: TaskNode) -> None:
        self._tasknode = tasknode

    async def Notify(self, request: pb.NotifyRequest, context: Any) -> common_pb2.Empty:
        await self._tasknode.notify(JobId(request.job_id))
        return common_pb2.Empty()

    async def DeleteObject(self, request: pb.DeleteObjectRequest, context: Any) -> common_pb2.Empty:
        account = parse_address(request.account)
        only = JobId(request.only_job_id) if request.only_job_id else None
        await self._tasknode.delete_object(request.bucket, request.object_name, account, request.request_id, only)
        return common_pb2.Empty()

    async def ListJobs(self, request: pb.ListJobsRequest, context: Any) -> pb.ListJobsReply:
        jobs, counts = await self._tasknode.list_jobs(wire.job_filter(request))
        return pb.ListJobsReply(jobs=map(wire.job_pb, jobs), counts={int(s): n for s, n in counts.items()})

    async def GetJob(self, request: pb.GetJobRequest, context: Any) -> pb.JobDetail:
        return detail_pb(await self._find(request))

    async def WatchJob(self, request: pb.GetJobRequest, context: Any) -> AsyncIterator[pb.JobDetail]:
        found = await self._find(request)
        async for detail in self._tasknode.watch_job(found.job.id):
            yield detail_pb(detail)

    async def RetryJob(self, request: pb.RetryJobRequest, context: Any) -> pb.Job:
        return wire.job_pb(await self._tasknode.retry_job(JobId(request.job_id)))

    async def SetTags(self, request: pb.SetTagsRequest, context: Any) -> common_pb2.Empty:
        await self._tasknode.set_tags(JobId(request.job_id), dict(request.tags))
        return common_pb2.Empty()

    async def SetVisibility(self, request: pb.SetVisibilityRequest, context: Any) -> pb.SetVisibilityReply:
        changed = await self._tasknode.set_visibility(JobId(request.job_id), Visibility(request.visibility))
        return pb.SetVisibilityReply(changed=changed)

    async def ListSwapIns(self, request: pb.ListSwapInsRequest, context: Any) -> pb.ListSwapInsReply:
        listed, counts = await self._tasknode.list_swap_ins(request.limit)
        return pb.ListSwapInsReply(swap_ins=map(swap_in_pb, listed), counts={str(who): n for who, n in counts.items()})

    async def _find(self, request: pb.GetJobRequest) -> JobDetail:
        if request.job_id:
            return await self._tasknode.get_job(JobId(request.job_id))
        return await self._tasknode.get_job_of(request.bucket, request.object_name)


def swap_in_pb(value: SwapInStatus) -> pb.SwapIn:
    return pb.SwapIn(
        job_id=value.job_id,
        bucket=value.bucket,
        object_name=value.object_name,
        redundancy_index=value.redundancy_index,
        target=value.target,
        successor=value.successor or "",
        attempts=value.attempts,
        next_attempt_at_ms=value.next_attempt_at_ms,
        error=value.error,
        created_at_ms=value.created_at_ms,
    )


def detail_pb(value: JobDetail) -> pb.JobDetail:
    return pb.JobDetail(
        job=wire.job_pb(value.job),
        secondaries=map(wire.secondary_pb, value.secondaries),
        history=map(wire.history_row_pb, value.history),
    )
