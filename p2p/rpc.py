"""The P2P node over gRPC: P2P for its own provider, P2PPeer for the others, on two listeners."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from p2p.client import MAX_QUESTION_BYTES, MAX_QUESTIONS, P2P
from p2p.service import P2PService
from proto import common_pb2
from proto import p2p_pb2 as pb
from proto.p2p_pb2_grpc import (
    P2PPeerServicer,
    P2PServicer,
    add_P2PPeerServicer_to_server,
    add_P2PServicer_to_server,
)
from sp.domain.addresses import parse_address
from sp.domain.errors import SpError
from sp.runtime.batches import answered
from sp.runtime.errors import detail_of
from sp.runtime.rpc import Serving
from sp.wire import common as wire

PEER_MESSAGE_BYTES: Final = MAX_QUESTIONS * (MAX_QUESTION_BYTES + 1024)
"""Largest message of a stranger, and to one: an answer may be the detail of an error."""


class P2PRpc(P2PServicer):
    def __init__(self, node: P2P) -> None:
        self._node = node

    async def GetApprovals(self, request: pb.GetApprovalsRequest, context: Any) -> pb.GetApprovalsReply:
        wanted, exclude = wire.object_ref(request.object), frozenset(map(parse_address, request.exclude))
        approvals = await self._node.get_approvals(wanted, request.needed, request.spares, exclude)
        return pb.GetApprovalsReply(
            accepted=[
                pb.Accepted(approval=wire.signed_approval_pb(a.approval), free_bytes=a.free_bytes)
                for a in approvals.accepted
            ],
            refused=[pb.Refused(provider=provider, reason=reason) for provider, reason in approvals.refused],
        )

    async def ListPeers(self, request: pb.ListPeersRequest, context: Any) -> pb.ListPeersReply:
        peers = await self._node.list_peers(request.ping)
        return pb.ListPeersReply(peers=[pb.Peer(**asdict(peer)) for peer in peers])

    async def ReportPeer(self, request: pb.ReportPeerRequest, context: Any) -> common_pb2.Empty:
        await self._node.report_peer(parse_address(request.operator), None if request.ok else request.error)
        return common_pb2.Empty()


class P2PPeerRpc(P2PPeerServicer):
    def __init__(self, node: P2PService) -> None:
        self._node = node

    async def AskApproval(self, request: pb.AskApprovalRequest, context: Any) -> pb.AskApprovalReply:
        approval, free_bytes = await self._node.answer(wire.approval_request(request.request), request.signature)
        return pb.AskApprovalReply(approval=wire.signed_approval_pb(approval), free_bytes=free_bytes)

    async def AskApprovals(self, request: pb.AskApprovalsRequest, context: Any) -> pb.AskApprovalsReply:
        answers = await answered(request.questions, MAX_QUESTIONS, lambda each: self.AskApproval(each, context))
        return pb.AskApprovalsReply(answers=map(_answer_pb, answers))

    async def Ping(self, request: pb.PingRequest, context: Any) -> pb.PingReply:
        status = await self._node.status()
        return pb.PingReply(
            operator=status.operator,
            height=status.height,
            free_bytes=status.free_bytes,
            accepting=status.accepting,
            version=status.version,
        )


def _answer_pb(answer: pb.AskApprovalReply | SpError) -> pb.ApprovalAnswer:
    if isinstance(answer, SpError):
        return pb.ApprovalAnswer(error=detail_of(answer))
    return pb.ApprovalAnswer(reply=answer)


def served(node: P2P) -> Serving:
    """For this provider's own services."""
    return Serving(add_P2PServicer_to_server, P2PRpc(node), "greenfield_sp.p2p.v1.P2P")


def served_to_peers(node: P2PService) -> Serving:
    """For other providers."""
    return Serving(add_P2PPeerServicer_to_server, P2PPeerRpc(node), "greenfield_sp.p2p.v1.P2PPeer")
