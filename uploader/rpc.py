"""The Uploader service on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from proto import uploader_pb2 as pb
from proto.uploader_pb2_grpc import UploaderServicer, add_UploaderServicer_to_server
from sp.domain.errors import InvalidRequest
from sp.runtime.rpc import Serving
from sp.wire.jobs import put_order
from uploader.client import Uploader

SERVICE = "greenfield_sp.uploader.v1.Uploader"


def served(uploader: Uploader) -> Serving:
    return Serving(add_UploaderServicer_to_server, UploaderRpc(uploader), SERVICE)


class UploaderRpc(UploaderServicer):
    def __init__(self, uploader: Uploader) -> None:
        self._uploader = uploader

    async def Put(self, request_iterator: AsyncIterator[pb.PutFrame], context: Any) -> pb.PutReceipt:
        frames = aiter(request_iterator)
        opening = await anext(frames, pb.PutFrame())
        if opening.WhichOneof("frame") != "open":
            raise InvalidRequest("a put begins with its opening frame")
        receipt = await self._uploader.put(put_order(opening.open), payload(frames))
        return pb.PutReceipt(
            job_id=receipt.job_id,
            payload_size=receipt.payload_size,
            root=receipt.root,
            stored_at_ms=receipt.stored_at_ms,
        )


async def payload(frames: AsyncIterator[pb.PutFrame]) -> AsyncIterator[bytes]:
    """The chunks up to the commit. A stream that ends before it is an upload that its sender aborted."""
    async for frame in frames:
        match frame.WhichOneof("frame"):
            case "chunk":
                yield frame.chunk
            case "commit":
                return
            case other:
                raise InvalidRequest(f"unexpected frame in a put: {other}")
    raise InvalidRequest("the stream ended without its commit")
