"""The Receiver over gRPC: for other providers. Bulk messages bypass the generated classes (sp.wire.bulk)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final

import grpc

from proto import receiver_pb2 as pb
from proto import scrub_pb2
from proto.receiver_pb2_grpc import OwnReceiverServicer, add_OwnReceiverServicer_to_server
from receiver.client import CHUNK_BYTES, MAX_SMALL_GROUPS, Receipt
from receiver.frames import ChunkFrame, EndFrame, Frame, Held, OfferFrame, PieceFrame
from receiver.service import ReceiverService
from sp.domain.errors import InvalidRequest, SpError
from sp.domain.ids import SegmentIndex
from sp.runtime.batches import answered
from sp.runtime.errors import detail_of
from sp.runtime.rpc import Serving
from sp.wire import common as wire
from sp.wire import scrub
from sp.wire.bulk import bytes_message, payload_of

SERVICE: Final = "greenfield_sp.receiver.v1.Receiver"
OWN_SERVICE: Final = "greenfield_sp.receiver.v1.OwnReceiver"
MAX_MESSAGE_BYTES: Final = CHUNK_BYTES + 16 * 1024
"""A chunk and its frame; an offer has at most 4 KiB. Small groups that share a call have no more."""

_CHUNK_FIELD: Final = pb.ReplicateFrame.CHUNK_FIELD_NUMBER
_PIECE_CHUNK_FIELD: Final = pb.PieceFrame.CHUNK_FIELD_NUMBER


class ReceiverRpc:
    def __init__(self, receiver: ReceiverService) -> None:
        self._receiver = receiver

    async def Replicate(
        self, request_iterator: AsyncIterator[ChunkFrame | pb.ReplicateFrame], context: Any
    ) -> AsyncIterator[pb.ReplicateReply]:
        async with aclosing(self._receiver.replicate(_frames(request_iterator))) as replies:
            async for reply in replies:
                yield _reply_pb(reply)

    async def ReplicateSmall(self, request: pb.ReplicateSmallRequest, context: Any) -> pb.ReplicateSmallReply:
        async def one(group: pb.SmallGroup) -> Receipt:
            return await self._receiver.replicate_small(wire.offer(group.open.offer), group.open.signature, group.piece)

        answers = await answered(request.groups, MAX_SMALL_GROUPS, one)
        return pb.ReplicateSmallReply(answers=map(_small_answer_pb, answers))

    async def GetPiece(self, request: pb.GetPieceRequest, context: Any) -> AsyncIterator[bytes]:
        async with aclosing(self._receiver.get_piece(wire.piece_request(request.request), request.signature)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def GetChecksums(self, request: pb.GetPieceRequest, context: Any) -> pb.PieceChecksums:
        checksums = await self._receiver.checksums(wire.piece_request(request.request), request.signature)
        return pb.PieceChecksums(checksums=checksums)


class OwnReceiverRpc(OwnReceiverServicer):
    """On the internal endpoint only: who calls there is this provider."""

    def __init__(self, receiver: ReceiverService) -> None:
        self._receiver = receiver

    async def Scrub(self, request: scrub_pb2.ScrubRequest, context: Any) -> AsyncIterator[scrub_pb2.ScrubFrame]:
        async for each in self._receiver.scrub(scrub.order(request)):
            yield scrub.frame_pb(each)

    async def Challenge(
        self, request: scrub_pb2.ChallengeRequest, context: Any
    ) -> AsyncIterator[scrub_pb2.ChallengeFrame]:
        for frame in scrub.answer_pb(await self._receiver.challenge(*scrub.asked(request))):
            yield frame


def served_inside(receiver: ReceiverService) -> Serving:
    return Serving(add_OwnReceiverServicer_to_server, OwnReceiverRpc(receiver), OWN_SERVICE)


def served(receiver: ReceiverService) -> Serving:
    return Serving(_add, ReceiverRpc(receiver), SERVICE)


def _add(servicer: ReceiverRpc, server: grpc.aio.Server) -> None:
    """As the generated function does, with our own codecs for the two messages that carry payload."""
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Replicate": grpc.stream_stream_rpc_method_handler(
            servicer.Replicate,
            request_deserializer=_parsed,
            response_serializer=pb.ReplicateReply.SerializeToString,
        ),
        "ReplicateSmall": grpc.unary_unary_rpc_method_handler(
            servicer.ReplicateSmall,
            request_deserializer=pb.ReplicateSmallRequest.FromString,
            response_serializer=pb.ReplicateSmallReply.SerializeToString,
        ),
        "GetPiece": grpc.unary_stream_rpc_method_handler(
            servicer.GetPiece,
            request_deserializer=pb.GetPieceRequest.FromString,
            response_serializer=lambda chunk: bytes_message(_PIECE_CHUNK_FIELD, chunk),
        ),
        "GetChecksums": grpc.unary_unary_rpc_method_handler(
            servicer.GetChecksums,
            request_deserializer=pb.GetPieceRequest.FromString,
            response_serializer=pb.PieceChecksums.SerializeToString,
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))


def _parsed(message: bytes) -> ChunkFrame | pb.ReplicateFrame:
    """A chunk's payload stays where it lies."""
    payload = payload_of(message, _CHUNK_FIELD)
    return pb.ReplicateFrame.FromString(message) if payload is None else ChunkFrame(payload)


async def _frames(messages: AsyncIterator[ChunkFrame | pb.ReplicateFrame]) -> AsyncIterator[Frame]:
    async for message in messages:
        yield message if isinstance(message, ChunkFrame) else _frame(message)


def _frame(message: pb.ReplicateFrame) -> Frame:
    kind = message.WhichOneof("frame")
    if kind is None:
        raise InvalidRequest("a frame without content")
    return _FRAMES[kind](getattr(message, kind))


_FRAMES: Final[dict[str, Callable[[Any], Frame]]] = {
    "open": lambda opening: OfferFrame(wire.offer(opening.offer), opening.signature),
    "piece": lambda header: PieceFrame(SegmentIndex(header.segment), header.size),
    "chunk": lambda payload: ChunkFrame(payload),
    "end": lambda end: EndFrame(),
}


def _reply_pb(reply: Held | Receipt) -> pb.ReplicateReply:
    if isinstance(reply, Receipt):
        return pb.ReplicateReply(receipt=_receipt_pb(reply))
    pieces = [pb.HeldPiece(segment=segment, checksum=checksum) for segment, checksum in reply.pieces.items()]
    return pb.ReplicateReply(held=pb.Held(pieces=pieces))


def _receipt_pb(receipt: Receipt) -> pb.Receipt:
    return pb.Receipt(integrity_hash=receipt.integrity_hash, signature=receipt.signature)


def _small_answer_pb(answer: Receipt | SpError) -> pb.SmallAnswer:
    if isinstance(answer, SpError):
        return pb.SmallAnswer(error=detail_of(answer))
    return pb.SmallAnswer(receipt=_receipt_pb(answer))
