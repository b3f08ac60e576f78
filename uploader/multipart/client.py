"""Multipart uploads as the gateway sees them: the Uploader's second interface."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, Protocol

import grpc

from proto import multipart_pb2 as pb
from proto.multipart_pb2_grpc import MultipartStub
from sp.domain.ids import UploadId
from sp.domain.jobs import PutOrder
from sp.domain.multipart import Completion, Part, Upload, UploadOrder, UploadsPage, UploadsQuery
from sp.runtime.chunks import Piece, coalesced
from sp.runtime.neighbour import neighbour
from sp.runtime.parts import Parts
from sp.wire import multipart as wire
from sp.wire.jobs import put_order_pb

CALL_TIMEOUT_S: Final = 10.0
PART_TIMEOUT_S: Final = 24 * 3600.0
"""A part lasts as long as its body: what bounds it is the gateway's demand for progress, not its length."""

COMPLETE_TIMEOUT_S: Final = 3600.0
"""For the largest object: all of it is read and written once. A completion goes on though its caller gives it up."""


@dataclass(frozen=True, slots=True)
class PartDigests:
    """What is known of a part once its body has ended, all of it true. md5: 16 bytes; checksums: x-amz-checksum-*"""

    md5: bytes
    checksums: dict[str, str] = field(default_factory=dict)


PartEnding = Callable[[], PartDigests]
"""Asked once a body has ended."""


class Multipart(Protocol):
    async def create(self, order: UploadOrder) -> Upload:
        """A new upload. InvalidRequest for names no database takes."""

    async def find(self, upload_id: UploadId) -> Upload:
        """In whatever state. NoSuchUpload."""

    async def put_part(self, upload_id: UploadId, number: int, body: AsyncIterator[Piece], ending: PartEnding) -> Part:
        """Store one part; it replaces the one of the same number. Acknowledged only when `body` ends by itself; what
        `body` raises comes out again here, and the part that was there before stays. NoSuchUpload, UploadCompleting,
        UploadMoved, ObjectTooLarge, Overloaded, StoreFull."""

    async def parts(self, upload_id: UploadId, after: int, limit: int) -> list[Part]:
        """Those that are stored, by number, behind number `after`; without their pieces' checksums."""

    async def page(self, query: UploadsQuery) -> UploadsPage:
        """Uploads that have not ended, by name and id, without headers and tags."""

    async def complete(self, upload_id: UploadId, order: PutOrder, asked: Completion) -> Upload:
        """Make the listed parts the object of `order`; the upload, COMPLETED. Once begun it goes on though the caller
        is gone; asked again meanwhile it waits for that, and asked again afterwards it answers the same.

        What is wrong with the list (InvalidPart, InvalidPartOrder, PartTooSmall, PayloadSizeMismatch,
        PayloadDigestMismatch) and what is wrong with the put (see Uploader.put) leaves the upload as it was.
        NoSuchUpload, also when it is aborted meanwhile.
        """

    async def abort(self, upload_id: UploadId) -> None:
        """Its parts are garbage. NoSuchUpload when it has ended."""


class MultipartClient:
    """A Multipart in another process."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = MultipartStub(channel)

    async def create(self, order: UploadOrder) -> Upload:
        return wire.upload(await self._stub.Create(wire.upload_order_pb(order)))

    async def find(self, upload_id: UploadId) -> Upload:
        return wire.upload(await self._stub.Find(pb.UploadKey(id=upload_id)))

    async def put_part(self, upload_id: UploadId, number: int, body: AsyncIterator[Piece], ending: PartEnding) -> Part:
        """See Multipart.put_part. A body that raises leaves the stream without its commit, which gives the part up."""
        call = self._stub.PutPart(timeout=PART_TIMEOUT_S)
        try:
            await call.write(pb.PartFrame(open=pb.PartOpen(upload_id=upload_id, number=number)))
            async with aclosing(coalesced(body)) as chunks:
                async for chunk in chunks:
                    await call.write(pb.PartFrame(chunk=chunk))
            digests = ending()
            await call.write(pb.PartFrame(commit=pb.PartCommit(md5=digests.md5, checksums=digests.checksums)))
            await call.done_writing()
            reply = await call
        except asyncio.InvalidStateError:  # the far side ended the call while we were writing: its status says why
            reply = await call
        finally:
            call.cancel()  # nothing left to cancel once the reply is there
        return wire.part(reply)

    async def parts(self, upload_id: UploadId, after: int, limit: int) -> list[Part]:
        reply = await self._stub.ListParts(pb.ListPartsRequest(upload_id=upload_id, after=after, limit=limit))
        return list(map(wire.part, reply.parts))

    async def page(self, query: UploadsQuery) -> UploadsPage:
        return wire.page(await self._stub.ListUploads(wire.query_pb(query)))

    async def complete(self, upload_id: UploadId, order: PutOrder, asked: Completion) -> Upload:
        request = pb.CompleteRequest(
            upload_id=upload_id,
            order=put_order_pb(order),
            parts=wire.completed_parts_pb(asked),
            checksums=asked.checksums,
            payload_size=asked.payload_size,
        )
        return wire.upload(await self._stub.Complete(request, timeout=COMPLETE_TIMEOUT_S))

    async def abort(self, upload_id: UploadId) -> None:
        await self._stub.Abort(pb.UploadKey(id=upload_id))


async def connect(parts: Parts) -> Multipart:
    """The one of this SP: in this process, else a client of the Uploader at its endpoint."""
    return await neighbour(parts, "multipart", parts.common.endpoint.uploader, MultipartClient, CALL_TIMEOUT_S)
