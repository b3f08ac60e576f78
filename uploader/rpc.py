"""The Uploader service on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from proto import uploader_pb2 as pb
from proto.uploader_pb2_grpc import UploaderServicer, add_UploaderServicer_to_server
from sp.domain.addresses import parse_address
from sp.domain.errors import InvalidRequest
from sp.runtime.rpc import Serving
from sp.wire.jobs import kept_headers, put_order
from uploader.client import Part, PutReceipt, Uploader

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
        trailing: dict[str, str] = {}
        body = payload(frames, trailing)
        return _receipt_pb(await self._uploader.put(put_order(opening.open), body, lambda: trailing))

    async def PutPartAt(self, request_iterator: AsyncIterator[pb.PartFrame], context: Any) -> pb.PartReceipt:
        frames = aiter(request_iterator)
        opening = await anext(frames, pb.PartFrame())
        if opening.WhichOneof("frame") != "open":
            raise InvalidRequest("a part begins with its opening frame")
        head = opening.open
        part = Part(head.offset, head.complete, head.size if head.HasField("size") else None)
        receipt = await self._uploader.put_part_at(put_order(head.order), part, payload(frames))
        put = None if receipt.put is None else _receipt_pb(receipt.put)
        return pb.PartReceipt(offset=receipt.offset, put=put)

    async def ResumeOffset(self, request: pb.ResumeOffsetRequest, context: Any) -> pb.ResumeOffsetReply:
        account = parse_address(request.account)
        return pb.ResumeOffsetReply(
            offset=await self._uploader.resume_offset(request.bucket, request.object_name, account)
        )


def _receipt_pb(receipt: PutReceipt) -> pb.PutReceipt:
    return pb.PutReceipt(
        job_id=receipt.job_id,
        payload_size=receipt.payload_size,
        root=receipt.root,
        stored_at_ms=receipt.stored_at_ms,
    )


async def payload(
    frames: AsyncIterator[pb.PutFrame] | AsyncIterator[pb.PartFrame], trailing: dict[str, str] | None = None
) -> AsyncIterator[bytes]:
    """The chunks up to the commit. A stream that ends before it is an upload that its sender aborted.

    trailing: gets the headers that come with the commit
    """
    async for frame in frames:
        match frame.WhichOneof("frame"):
            case "chunk":
                yield frame.chunk
            case "commit":
                if trailing is not None:
                    trailing |= kept_headers(frame.commit.headers)
                return
            case other:
                raise InvalidRequest(f"unexpected frame in a put: {other}")
    raise InvalidRequest("the stream ended without its commit")
