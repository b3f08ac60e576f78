"""Another provider's Receiver, as the task node and the downloader call it across the network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, Protocol

import grpc

from proto import receiver_pb2 as pb
from proto.receiver_pb2_grpc import OwnReceiverStub
from receiver.gathering import Gatherer, Holders, Pieces, Wanted, column_sets
from receiver.proofs import ProvenColumns, Prover
from sp.domain.approvals import Offer, PieceRequest
from sp.domain.challenges import Challenge
from sp.domain.errors import MethodUnknown, NoSuchObjectId, ServiceUnavailable, SpError
from sp.domain.findings import Finding, ScrubOrder, Tally
from sp.domain.ids import Checksum, ObjectId, RedundancyIndex, SegmentIndex, Signature
from sp.runtime import log
from sp.runtime.batches import Batches, OldPeers, answer_of
from sp.runtime.channels import Channels
from sp.runtime.chunks import CHUNK_BYTES
from sp.runtime.clock import Clock
from sp.runtime.neighbour import neighbour
from sp.runtime.parts import Parts
from sp.runtime.rpc import dial
from sp.wire import common as wire
from sp.wire import scrub
from sp.wire.bulk import bytes_message, payload_of

__all__ = [
    "CHUNK_BYTES",
    "MAX_SMALL_GROUPS",
    "SMALL_PIECE_BYTES",
    "Gatherer",
    "GroupSender",
    "GrpcReceivers",
    "Holders",
    "OwnReceiver",
    "Pieces",
    "ProvenColumns",
    "Prover",
    "Receipt",
    "Receivers",
    "Wanted",
    "column_sets",
    "connect",
    "open_receivers",
]

MAX_CHANNELS: Final = 256
SCRUB_TIMEOUT_S: Final = 24 * 3600.0
CHALLENGE_TIMEOUT_S: Final = 120.0
CALL_TIMEOUT_S: Final = 30.0
"""Of calls that bring no deadline of their own; both of a Receiver's stream and bring one."""

SMALL_PIECE_BYTES: Final = 256 * 1024
"""Largest piece that travels whole, in a call that others may share."""

MAX_SMALL_GROUPS: Final = 16
"""In one such call."""

_MAX_SMALL_BYTES: Final = CHUNK_BYTES
_REPLICATE_SMALL: Final = "/greenfield_sp.receiver.v1.Receiver/ReplicateSmall"
_REPLICATE: Final = "/greenfield_sp.receiver.v1.Receiver/Replicate"
_GET_PIECE: Final = "/greenfield_sp.receiver.v1.Receiver/GetPiece"
_GET_CHECKSUMS: Final = "/greenfield_sp.receiver.v1.Receiver/GetChecksums"
_CHUNK_FIELD: Final = pb.ReplicateFrame.CHUNK_FIELD_NUMBER
_PIECE_CHUNK_FIELD: Final = pb.PieceFrame.CHUNK_FIELD_NUMBER


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a secondary says it holds, signed. Not yet verified: that is the caller's duty."""

    integrity_hash: Checksum
    signature: Signature


class GroupSender(Protocol):
    """One replicate data group on its way to one secondary: an open Replicate stream.

    Every method raises SecondaryFailed-worthy errors as they are (SignatureError, ServiceUnavailable, ...).
    """

    @property
    def held(self) -> dict[SegmentIndex, Checksum]:
        """Pieces the secondary already has, with the checksums it claims: those that match need not be sent again."""

    async def send_piece(self, segment: SegmentIndex, piece: bytes | bytearray | memoryview) -> None:
        """Stream one piece, in ascending order of segments. Waits while the secondary is slow (flow control)."""

    async def finish(self) -> Receipt:
        """Say that all pieces are sent; the secondary's receipt."""


class Receivers(Protocol):
    """The Receivers of all other providers, by endpoint. Channels are kept and shared."""

    def replicate(
        self, endpoint: str, offer: Offer, signature: Signature, timeout_s: float
    ) -> AbstractAsyncContextManager[GroupSender]:
        """Open a Replicate stream; entering waits for the answer to the offer. timeout_s bounds the whole stream.
        Leaving without `finish` cancels it."""

    async def replicate_small(
        self, endpoint: str, offer: Offer, signature: Signature, piece: bytes | bytearray | memoryview, timeout_s: float
    ) -> Receipt:
        """A group of one piece of at most SMALL_PIECE_BYTES: what `replicate`, `send_piece` and `finish` do. timeout_s:
        for a stream, where it takes one."""

    def get_piece(
        self, endpoint: str, request: PieceRequest, signature: Signature, timeout_s: float
    ) -> AsyncIterator[bytes]:
        """The piece's bytes in chunks, unverified: the caller checks them. PieceNotFound, SignatureError, ..."""

    async def get_checksums(
        self, endpoint: str, request: PieceRequest, signature: Signature, timeout_s: float
    ) -> tuple[Checksum, ...]:
        """Of all pieces of the request's column, unverified. PieceNotFound, SignatureError, ..."""


class GrpcReceivers:
    """Receivers over gRPC. Small groups that wait for the same provider at the same time share a call."""

    def __init__(self, channels: Channels, clock: Clock) -> None:
        self._channels = channels
        self._old = OldPeers(clock)
        self._batches: Batches[pb.SmallGroup, Receipt] = Batches(
            "small groups",
            self._replicate_many,
            most=MAX_SMALL_GROUPS,
            most_bytes=_MAX_SMALL_BYTES,
            size_of=pb.SmallGroup.ByteSize,
        )

    @asynccontextmanager
    async def replicate(
        self, endpoint: str, offer: Offer, signature: Signature, timeout_s: float
    ) -> AsyncIterator[GroupSender]:
        opening = pb.ReplicateFrame(open=pb.OfferOpen(offer=wire.offer_pb(offer), signature=signature))
        async with self._channels.channel(endpoint) as channel:
            method = channel.stream_stream(
                _REPLICATE, request_serializer=_frame_bytes, response_deserializer=pb.ReplicateReply.FromString
            )
            call = method(timeout=timeout_s)
            try:
                await call.write(opening)
                held = (await _reply(call, endpoint)).held
                yield _Sender(call, endpoint, {SegmentIndex(p.segment): wire.checksum(p.checksum) for p in held.pieces})
            finally:
                call.cancel()  # no effect once the receipt and the end of the call have come

    async def replicate_small(
        self, endpoint: str, offer: Offer, signature: Signature, piece: bytes | bytearray | memoryview, timeout_s: float
    ) -> Receipt:
        """By a stream where the far side does not know such calls, or does not see the object on chain yet: on a stream
        it waits for it."""
        if not self._old.known(endpoint):
            opening = pb.OfferOpen(offer=wire.offer_pb(offer), signature=signature)
            ids = {name: log.current(name) or "" for name in ("request_id", "job_id")}
            try:
                return await self._batches.ask(endpoint, pb.SmallGroup(open=opening, piece=bytes(piece), **ids))
            except MethodUnknown:
                self._old.add(endpoint)
            except NoSuchObjectId:
                pass  # not yet: asked again below, patiently
        async with self.replicate(endpoint, offer, signature, timeout_s) as sender:
            await sender.send_piece(SegmentIndex(0), piece)
            return await sender.finish()

    async def _replicate_many(self, endpoint: str, groups: Sequence[pb.SmallGroup]) -> list[Receipt | SpError]:
        async with self._channels.channel(endpoint) as channel:
            method = channel.unary_unary(
                _REPLICATE_SMALL,
                request_serializer=pb.ReplicateSmallRequest.SerializeToString,
                response_deserializer=pb.ReplicateSmallReply.FromString,
            )
            reply: pb.ReplicateSmallReply = await method(pb.ReplicateSmallRequest(groups=groups))
        return [answer_of(each, "receipt", _receipt, endpoint) for each in reply.answers]

    async def get_piece(
        self, endpoint: str, request: PieceRequest, signature: Signature, timeout_s: float
    ) -> AsyncIterator[bytes]:
        message = pb.GetPieceRequest(request=wire.piece_request_pb(request), signature=signature)
        async with self._channels.channel(endpoint) as channel:
            method = channel.unary_stream(
                _GET_PIECE,
                request_serializer=pb.GetPieceRequest.SerializeToString,
                response_deserializer=_piece_chunk,
            )
            async for chunk in method(message, timeout=timeout_s):
                yield chunk

    async def get_checksums(
        self, endpoint: str, request: PieceRequest, signature: Signature, timeout_s: float
    ) -> tuple[Checksum, ...]:
        message = pb.GetPieceRequest(request=wire.piece_request_pb(request), signature=signature)
        async with self._channels.channel(endpoint) as channel:
            method = channel.unary_unary(
                _GET_CHECKSUMS,
                request_serializer=pb.GetPieceRequest.SerializeToString,
                response_deserializer=pb.PieceChecksums.FromString,
            )
            reply: pb.PieceChecksums = await method(message, timeout=timeout_s)
        return tuple(map(wire.checksum, reply.checksums))


class _Sender:
    """GroupSender: writes wait for the far side's flow control; its errors come out of the next write or read."""

    def __init__(self, call: Any, endpoint: str, held: dict[SegmentIndex, Checksum]) -> None:
        self._call = call
        self._endpoint = endpoint
        self._held = held

    @property
    def held(self) -> dict[SegmentIndex, Checksum]:
        return self._held

    async def send_piece(self, segment: SegmentIndex, piece: bytes | bytearray | memoryview) -> None:
        header = pb.PieceHeader(segment=segment, size=memoryview(piece).nbytes)
        await self._call.write(pb.ReplicateFrame(piece=header))
        whole = memoryview(piece)
        for start in range(0, len(whole), CHUNK_BYTES):
            await self._call.write(whole[start : start + CHUNK_BYTES])  # copied as it is serialised, before this waits

    async def finish(self) -> Receipt:
        await self._call.write(pb.ReplicateFrame(end=pb.GroupEnd()))
        await self._call.done_writing()
        receipt = (await _reply(self._call, self._endpoint)).receipt
        await self._call.code()  # the far side has ended the call as well
        return _receipt(receipt)


class OwnReceiver(Protocol):
    """This provider's own Receiver, as its other services and its operator see it. Strangers cannot call this."""

    def scrub(self, order: ScrubOrder) -> AsyncIterator[Finding | Tally]:
        """Check, and repair, the pieces held for others. Findings as they are made, of more than one object only those
        that are not well; tallies now and then and at the end. NoSuchObject, Overloaded."""

    async def challenge(self, object_id: ObjectId, index: RedundancyIndex, segment: SegmentIndex) -> Challenge:
        """Proof that this provider has one piece of an object as the chain knows it. NoSuchObjectId, PieceNotFound,
        TooFewPieces."""


class OwnReceiverClient:
    """An OwnReceiver in another process."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = OwnReceiverStub(channel)

    async def scrub(self, order: ScrubOrder) -> AsyncIterator[Finding | Tally]:
        call = self._stub.Scrub(scrub.order_pb(order), timeout=SCRUB_TIMEOUT_S)
        try:
            async for frame in call:
                yield scrub.frame(frame)
        finally:
            call.cancel()  # nothing left to cancel once it has ended

    async def challenge(self, object_id: ObjectId, index: RedundancyIndex, segment: SegmentIndex) -> Challenge:
        request = scrub.challenge_pb(object_id, index, segment)
        return await scrub.answer(request, self._stub.Challenge(request, timeout=CHALLENGE_TIMEOUT_S))


async def connect(parts: Parts) -> OwnReceiver:
    """The Receiver of this SP: the one in this process, else a client of the one at its internal endpoint."""
    return await neighbour(parts, "receiver", parts.common.endpoint.receiver, OwnReceiverClient, CALL_TIMEOUT_S)


async def open_receivers(parts: Parts) -> Receivers:
    """The Receivers of all other providers; their channels are shared by the services of this process."""
    channels = await parts.once(
        "channels to receivers",
        lambda: Channels(lambda endpoint: dial(endpoint, timeout_s=CALL_TIMEOUT_S), parts.clock, limit=MAX_CHANNELS),
    )
    return await parts.once("receivers", lambda: nullcontext(GrpcReceivers(channels, parts.clock)))


def _receipt(message: pb.Receipt) -> Receipt:
    return Receipt(wire.checksum(message.integrity_hash), Signature(message.signature))


def _frame_bytes(frame: pb.ReplicateFrame | memoryview) -> bytes:
    """A chunk is passed as a view of its bytes."""
    return bytes_message(_CHUNK_FIELD, frame) if isinstance(frame, memoryview) else frame.SerializeToString()


def _piece_chunk(message: bytes) -> bytes:
    payload = payload_of(message, _PIECE_CHUNK_FIELD)
    return bytes(payload) if payload is not None else pb.PieceFrame.FromString(message).chunk


async def _reply(call: Any, endpoint: str) -> pb.ReplicateReply:
    reply = await call.read()
    if reply is grpc.aio.EOF:
        raise ServiceUnavailable(f"Receiver at {endpoint}", "ended the stream without an answer")
    assert isinstance(reply, pb.ReplicateReply)
    return reply
