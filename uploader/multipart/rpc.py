"""The Multipart service on the wire."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from proto import common_pb2 as common
from proto import multipart_pb2 as pb
from proto.multipart_pb2_grpc import MultipartServicer, add_MultipartServicer_to_server
from sp.domain.errors import InvalidRequest
from sp.domain.ids import UploadId
from sp.runtime.rpc import Serving
from sp.wire import multipart as wire
from sp.wire.jobs import kept_headers, put_order
from uploader.multipart.client import Multipart, PartDigests

SERVICE = "greenfield_sp.multipart.v1.Multipart"


def served(multipart: Multipart) -> Serving:
    return Serving(add_MultipartServicer_to_server, MultipartRpc(multipart), SERVICE)


class MultipartRpc(MultipartServicer):
    def __init__(self, multipart: Multipart) -> None:
        self._multipart = multipart

    async def Create(self, request: pb.UploadOrder, context: Any) -> pb.Upload:
        return wire.upload_pb(await self._multipart.create(wire.upload_order(request)))

    async def Find(self, request: pb.UploadKey, context: Any) -> pb.Upload:
        return wire.upload_pb(await self._multipart.find(UploadId(request.id)))

    async def PutPart(self, request_iterator: AsyncIterator[pb.PartFrame], context: Any) -> pb.Part:
        frames = aiter(request_iterator)
        opening = await anext(frames, pb.PartFrame())
        if opening.WhichOneof("frame") != "open":
            raise InvalidRequest("a part begins with its opening frame")
        body = _Body(frames)
        async with aclosing(body.chunks()) as chunks:
            part = await self._multipart.put_part(
                UploadId(opening.open.upload_id), opening.open.number, chunks, body.ending
            )
        return wire.part_pb(part)

    async def ListParts(self, request: pb.ListPartsRequest, context: Any) -> pb.ListPartsReply:
        limit = min(request.limit, wire.MAX_LISTED)
        parts = await self._multipart.parts(UploadId(request.upload_id), request.after, limit)
        return pb.ListPartsReply(parts=map(wire.part_pb, parts))

    async def ListUploads(self, request: pb.ListUploadsRequest, context: Any) -> pb.ListUploadsReply:
        return wire.page_pb(await self._multipart.page(wire.query(request)))

    async def Complete(self, request: pb.CompleteRequest, context: Any) -> pb.Upload:
        order, asked = put_order(request.order), wire.completion(request)
        return wire.upload_pb(await self._multipart.complete(UploadId(request.upload_id), order, asked))

    async def Abort(self, request: pb.UploadKey, context: Any) -> common.Empty:
        await self._multipart.abort(UploadId(request.id))
        return common.Empty()


class _Body:
    """The frames of a part behind its opening."""

    def __init__(self, frames: AsyncIterator[pb.PartFrame]) -> None:
        self._frames = frames
        self._commit = pb.PartCommit()

    def ending(self) -> PartDigests:
        if len(self._commit.md5) != 16:
            raise InvalidRequest("a part ends with its MD5")
        return PartDigests(self._commit.md5, kept_headers(self._commit.checksums))

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Up to the commit. A stream that ends before it is a part that its sender gave up."""
        async for frame in self._frames:
            match frame.WhichOneof("frame"):
                case "chunk":
                    yield frame.chunk
                case "commit":
                    self._commit = frame.commit
                    return
                case other:
                    raise InvalidRequest(f"unexpected frame in a part: {other}")
        raise InvalidRequest("the stream ended without its commit")
