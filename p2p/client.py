"""The P2P node as the other services of its provider see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import grpc

from proto import p2p_pb2 as pb
from proto.p2p_pb2_grpc import P2PPeerStub, P2PStub
from sp.domain.addresses import parse_address
from sp.domain.approvals import ApprovalRequest, ObjectRef, SignedApproval
from sp.domain.errors import MethodUnknown, SpError
from sp.domain.ids import Address, Signature
from sp.runtime import log
from sp.runtime.batches import Batches, OldPeers, answer_of
from sp.runtime.channels import Channels
from sp.runtime.clock import Clock
from sp.runtime.neighbour import neighbour
from sp.runtime.parts import Parts
from sp.wire import common as wire

CALL_TIMEOUT_S = 25.0
"""Longest wait for the P2P node: more than one round of asking takes, and two where one waits for another's."""

_ASK_APPROVALS: Final = "/greenfield_sp.p2p.v1.P2PPeer/AskApprovals"

MAX_QUESTIONS: Final = 16
"""In one AskApprovals call."""

MAX_QUESTION_BYTES: Final = 4 * 1024
"""Of one question: its names have at most 1087 bytes, everything else less than 512."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """One provider's approval, its signature already verified. free_bytes: its own word, for placement."""

    approval: SignedApproval
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Approvals:
    """What a round of asking brought: who agreed, and why the others did not (provider, reason)."""

    accepted: tuple[Accepted, ...]
    refused: tuple[tuple[Address, str], ...]


@dataclass(frozen=True, slots=True)
class Peer:
    """Another provider as this one sees it. ping_us: round trip in microseconds; frozen_until_ms: 0 = not frozen."""

    operator: Address
    moniker: str
    p2p_endpoint: str
    in_service: bool
    reachable: bool
    ping_us: int
    height: int
    free_bytes: int
    accepting: bool
    frozen_until_ms: int
    failures: int
    last_error: str
    approvals_given: int
    approvals_refused: int
    version: str


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """What a provider tells of itself when pinged. height: of the newest block it has seen; free_bytes: for pieces;
    accepting: takes new objects."""

    operator: Address
    height: int
    free_bytes: int
    accepting: bool
    version: str


class P2P(Protocol):
    async def get_approvals(
        self, wanted: ObjectRef, needed: int, spares: int, exclude: frozenset[Address]
    ) -> Approvals:
        """Ask every other provider in service (but the excluded and frozen ones) to keep a column of `wanted`, until
        needed + spares agreed or the deadline passed. TooFewApprovals with the refusals when fewer than `needed` did;
        TooFewReachable at once when so few are left to ask.
        One question per object at a time: a second caller joins the first one's round."""

    async def list_peers(self, ping: bool) -> list[Peer]:
        """All other registered providers; ping: ask each now."""

    async def report_peer(self, operator: Address, error: str | None) -> None:
        """How a provider did: an error freezes it for a while (longer each time), None clears it."""


class OtherPeers(Protocol):
    """The P2P nodes of all other providers, by endpoint. Whatever they answer is unverified."""

    async def ask(self, endpoint: str, request: ApprovalRequest, signature: Signature) -> Accepted:
        """ApprovalRefused, or whatever else the far side raised; ServiceUnavailable, DeadlineExceeded."""

    async def ping(self, endpoint: str) -> PeerStatus:
        """ServiceUnavailable, DeadlineExceeded."""


class GrpcPeers:
    """OtherPeers over gRPC; every call has the channels' deadline. Questions that wait for the same provider at the
    same time share a call, unless it is one that does not know such calls."""

    def __init__(self, channels: Channels, clock: Clock) -> None:
        self._channels = channels
        self._old = OldPeers(clock)
        self._batches: Batches[pb.AskApprovalRequest, Accepted] = Batches(
            "approvals",
            self._ask_many,
            most=MAX_QUESTIONS,
            most_bytes=MAX_QUESTIONS * MAX_QUESTION_BYTES,
            size_of=pb.AskApprovalRequest.ByteSize,
        )

    async def ask(self, endpoint: str, request: ApprovalRequest, signature: Signature) -> Accepted:
        message = pb.AskApprovalRequest(request=wire.approval_request_pb(request), signature=signature)
        if not self._old.known(endpoint):
            message.request_id, message.job_id = log.current("request_id") or "", log.current("job_id") or ""
            try:
                return await self._batches.ask(endpoint, message)
            except MethodUnknown:
                self._old.add(endpoint)
        async with self._channels.channel(endpoint) as channel:
            reply = await P2PPeerStub(channel).AskApproval(message)
        return _accepted(reply)

    async def _ask_many(self, endpoint: str, questions: Sequence[pb.AskApprovalRequest]) -> list[Accepted | SpError]:
        async with self._channels.channel(endpoint) as channel:
            method = channel.unary_unary(
                _ASK_APPROVALS,
                request_serializer=pb.AskApprovalsRequest.SerializeToString,
                response_deserializer=pb.AskApprovalsReply.FromString,
            )
            reply: pb.AskApprovalsReply = await method(pb.AskApprovalsRequest(questions=questions))
        return [answer_of(each, "reply", _accepted, endpoint) for each in reply.answers]

    async def ping(self, endpoint: str) -> PeerStatus:
        async with self._channels.channel(endpoint) as channel:
            reply = await P2PPeerStub(channel).Ping(pb.PingRequest())
        operator = parse_address(reply.operator)
        return PeerStatus(operator, reply.height, reply.free_bytes, reply.accepting, reply.version[:64])


class P2PClient:
    """The P2P node of this provider in another process."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = P2PStub(channel)

    async def get_approvals(
        self, wanted: ObjectRef, needed: int, spares: int, exclude: frozenset[Address]
    ) -> Approvals:
        request = pb.GetApprovalsRequest(
            object=wire.object_ref_pb(wanted), needed=needed, spares=spares, exclude=sorted(exclude)
        )
        reply = await self._stub.GetApprovals(request)
        return Approvals(
            tuple(Accepted(wire.signed_approval(a.approval), a.free_bytes) for a in reply.accepted),
            tuple((parse_address(r.provider), r.reason) for r in reply.refused),
        )

    async def list_peers(self, ping: bool) -> list[Peer]:
        reply = await self._stub.ListPeers(pb.ListPeersRequest(ping=ping))
        return [_peer(peer) for peer in reply.peers]

    async def report_peer(self, operator: Address, error: str | None) -> None:
        request = pb.ReportPeerRequest(operator=operator, ok=error is None, error=(error or "")[:1024])
        await self._stub.ReportPeer(request)


async def connect(parts: Parts) -> P2P:
    """The P2P node in this process, or a client of the one at its configured endpoint (channel shared and kept)."""
    return await neighbour(parts, "p2p", parts.common.endpoint.p2p, P2PClient, CALL_TIMEOUT_S)


def _accepted(reply: pb.AskApprovalReply) -> Accepted:
    return Accepted(wire.signed_approval(reply.approval), reply.free_bytes)


def _peer(message: pb.Peer) -> Peer:
    return Peer(
        operator=parse_address(message.operator),
        moniker=message.moniker,
        p2p_endpoint=message.p2p_endpoint,
        in_service=message.in_service,
        reachable=message.reachable,
        ping_us=message.ping_us,
        height=message.height,
        free_bytes=message.free_bytes,
        accepting=message.accepting,
        frozen_until_ms=message.frozen_until_ms,
        failures=message.failures,
        last_error=message.last_error,
        approvals_given=message.approvals_given,
        approvals_refused=message.approvals_refused,
        version=message.version,
    )
