"""The Uploader as the gateway sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Protocol

import grpc

from proto import uploader_pb2 as pb
from proto.uploader_pb2_grpc import UploaderStub
from sp.domain.ids import Address, Checksum, JobId
from sp.domain.jobs import PutOrder
from sp.runtime.chunks import Piece, coalesced
from sp.runtime.neighbour import neighbour
from sp.runtime.parts import Parts
from sp.wire.jobs import put_order_pb

CALL_TIMEOUT_S: Final = 10.0
PUT_TIMEOUT_S: Final = 24 * 3600.0
"""A put lasts as long as its body: what bounds it is the gateway's demand for progress, not its length."""


@dataclass(frozen=True, slots=True)
class PutReceipt:
    """An acknowledged put: every segment is durable, the job is recorded. stored_at_ms: unix ms."""

    job_id: JobId
    payload_size: int
    root: Checksum
    stored_at_ms: int


@dataclass(frozen=True, slots=True)
class Part:
    """Where a part of a resumable upload begins (bytes), whether it is the last, and how long its body says it is."""

    offset: int
    complete: bool
    size: int | None


@dataclass(frozen=True, slots=True)
class PartReceipt:
    """An acknowledged part. offset: bytes that are durable now; put: of the whole object, after its last part"""

    offset: int
    put: PutReceipt | None


Trailing = Callable[[], dict[str, str]]
"""Asked once a body has ended: headers to keep with the object that were not known before."""


class Uploader(Protocol):
    async def put(self, order: PutOrder, body: AsyncIterator[Piece], trailing: Trailing = dict) -> PutReceipt:
        """Store the object. The put is committed only when `body` ends by itself; an exception raised by `body` (the
        client went away, a digest did not match) aborts it, leaves nothing behind that is not collected, and comes out
        again here. PayloadSizeMismatch, IntegrityMismatch, ObjectTooLarge, UploadInProgress, ObjectNotCreated,
        Overloaded, StoreFull; PreconditionFailed, ConditionalRequestConflict when the order has a precondition."""

    async def put_part_at(self, order: PutOrder, part: Part, body: AsyncIterator[Piece]) -> PartReceipt:
        """Store the next part of an object; the first one, at offset 0, begins the upload. `body` as in `put`: a part
        that is cut off leaves the upload where it stood. OffsetRefused when it stands elsewhere, PartNotAligned when
        the part is not the last and no whole number of segments; otherwise as `put`. An IntegrityMismatch ends the
        upload. Its parts come from one account, and wait for the next one for `resumable_keep_ms`."""

    async def resume_offset(self, bucket: str, object_name: str, account: Address) -> int | None:
        """Where the next part of the account's upload must begin, or None when there is no such upload."""


class UploaderClient:
    """An Uploader in another process."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = UploaderStub(channel)

    async def put(self, order: PutOrder, body: AsyncIterator[Piece], trailing: Trailing = dict) -> PutReceipt:
        """See Uploader.put. A body that raises leaves the stream without its commit, which aborts the upload there."""
        call = self._stub.Put(timeout=PUT_TIMEOUT_S)
        try:
            await call.write(pb.PutFrame(open=put_order_pb(order)))
            async with aclosing(coalesced(body)) as chunks:
                async for chunk in chunks:
                    await call.write(pb.PutFrame(chunk=chunk))
            await call.write(pb.PutFrame(commit=pb.PutCommit(headers=trailing())))
            await call.done_writing()
            reply = await call
        except asyncio.InvalidStateError:  # the far side ended the call while we were writing: its status says why
            reply = await call
        finally:
            call.cancel()  # nothing left to cancel once the reply is there
        return _receipt(reply)

    async def put_part_at(self, order: PutOrder, part: Part, body: AsyncIterator[Piece]) -> PartReceipt:
        call = self._stub.PutPartAt(timeout=PUT_TIMEOUT_S)
        opening = pb.PartOpen(order=put_order_pb(order), offset=part.offset, complete=part.complete, size=part.size)
        try:
            await call.write(pb.PartFrame(open=opening))
            async with aclosing(coalesced(body)) as chunks:
                async for chunk in chunks:
                    await call.write(pb.PartFrame(chunk=chunk))
            await call.write(pb.PartFrame(commit=pb.PutCommit()))
            await call.done_writing()
            reply = await call
        except asyncio.InvalidStateError:  # as in `put`
            reply = await call
        finally:
            call.cancel()  # nothing left to cancel once the reply is there
        return PartReceipt(reply.offset, _receipt(reply.put) if reply.HasField("put") else None)

    async def resume_offset(self, bucket: str, object_name: str, account: Address) -> int | None:
        request = pb.ResumeOffsetRequest(bucket=bucket, object_name=object_name, account=account)
        reply = await self._stub.ResumeOffset(request)
        return reply.offset if reply.HasField("offset") else None


def _receipt(message: pb.PutReceipt) -> PutReceipt:
    return PutReceipt(JobId(message.job_id), message.payload_size, Checksum(message.root), message.stored_at_ms)


async def connect(parts: Parts) -> Uploader:
    """The Uploader of this SP: the one in this process, else a client of the one at its endpoint."""
    return await neighbour(parts, "uploader", parts.common.endpoint.uploader, UploaderClient, CALL_TIMEOUT_S)
