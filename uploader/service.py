"""Take objects in: cut, hashed, durable, recorded.

Owns:  segments on their way in, and jobs up to UPLOAD_OBJECT_DONE or UPLOAD_OBJECT_ERROR.
Never: talks to other providers or the chain, acknowledges what is not durable.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from piecestore.store import PieceStore
from sp.domain.ids import Address, JobId
from sp.domain.integrity import integrity_hash
from sp.domain.jobs import Job, PutOrder, StoredPayload
from sp.runtime.admission import Admission
from sp.runtime.chunks import Piece
from sp.runtime.clock import Clock
from sp.runtime.leases import kept_lease
from sp.runtime.log import bound
from sp.runtime.work import working
from spdb.jobs import Jobs
from spdb.resumables import Resumables
from uploader.backlog import Backlog
from uploader.client import Part, PartReceipt, PutReceipt, Trailing
from uploader.config import UploaderConfig
from uploader.failing import recorded
from uploader.resumable import ResumableUploads
from uploader.segments import SegmentCutter
from uploader.sizes import check_complete, check_root, check_size
from uploader.small import is_small, put_small

Finish = Callable[[Job, StoredPayload], Awaitable[Job]]
"""Acknowledges a put whose segments are durable, in one transaction."""


@dataclass(frozen=True, slots=True)
class UploaderService:
    """The Uploader (uploader.client has the contract).

    tell: the task node, that a put is done; actor: this process, as jobs' history names it
    """

    pieces: PieceStore
    jobs: Jobs
    tell: Callable[[JobId], None]
    clock: Clock
    config: UploaderConfig
    admission: Admission
    backlog: Backlog
    actor: str
    resumables: Resumables

    async def put(self, order: PutOrder, body: AsyncIterator[Piece], trailing: Trailing = dict) -> PutReceipt:
        """Store one object; see uploader.client.Uploader.put."""

        async def finish(job: Job, stored: StoredPayload) -> Job:
            return await self.jobs.finish_upload(job, stored, self.actor, order.precondition)

        self.backlog.check()
        with working(owner=order.account):
            async with self.admission.admitted(order.payload_size):
                if is_small(order, self.config.small_object_bytes):
                    return await self._put_small(order, body, trailing)
                return await self.put_and(finish, order, body, trailing)

    async def put_and(
        self, finish: Finish, order: PutOrder, body: AsyncIterator[Piece], trailing: Trailing = dict
    ) -> PutReceipt:
        """As `put`, for who is admitted already. finish: does what Jobs.finish_upload does, and what must be true from
        that moment on"""
        if order.payload_size is not None:
            check_size(order, order.payload_size)
        job = await self.jobs.begin_upload(order, self.actor, self.config.lease_ms)
        with bound(job_id=job.id):
            try:
                job = await self._store(job, finish, order, body, trailing)
            except BaseException as failure:
                await recorded(failure, lambda reason: self.jobs.fail_upload(job.id, reason, self.actor))
                raise
            self.tell(job.id)
        return _receipt(job)

    async def _put_small(self, order: PutOrder, body: AsyncIterator[Piece], trailing: Trailing) -> PutReceipt:
        job = await put_small(self.jobs, order, body, trailing, self.actor)
        self.tell(job.id)
        return _receipt(job)

    async def put_part_at(self, order: PutOrder, part: Part, body: AsyncIterator[Piece]) -> PartReceipt:
        """One part of an object that comes in several requests; see uploader.client.Uploader.put_part_at."""
        self.backlog.check()
        return await self._resumable_uploads().put(order, part, body)

    async def resume_offset(self, bucket: str, object_name: str, account: Address) -> int | None:
        """Where the next part begins; see uploader.client.Uploader.resume_offset."""
        return await self._resumable_uploads().offset(bucket, object_name, account)

    def _resumable_uploads(self) -> ResumableUploads:
        return ResumableUploads(
            self.pieces, self.resumables, self.clock, self.admission, self.config.lease_ms, self.actor, self.tell
        )

    async def _store(
        self, job: Job, finish: Finish, order: PutOrder, body: AsyncIterator[Piece], trailing: Trailing
    ) -> Job:
        lease_ms = self.config.lease_ms

        async def renew() -> bool:
            return await self.jobs.renew_lease(job.id, self.actor, lease_ms)

        async with (
            kept_lease(job.id, renew, lease_ms, self.clock),
            SegmentCutter(self.pieces, job.id, order.params.max_segment_size) as cutter,
        ):
            async for chunk in body:
                check_size(order, cutter.payload_size + len(chunk))
                await cutter.feed(chunk)
            check_complete(order, cutter.payload_size)
            checksums = await cutter.end()
            root = integrity_hash(checksums)
            check_root(order, root)
            return await finish(job, StoredPayload(cutter.payload_size, root, checksums, trailing()))


def _receipt(job: Job) -> PutReceipt:
    assert job.payload_size is not None
    assert job.root is not None
    return PutReceipt(job.id, job.payload_size, job.root, job.updated_at_ms)
