"""Messages of other providers and of whoever sends transactions, and documents that are signed for others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from google.protobuf.message import DecodeError, Message

from gateway.errors_http import greenfield_answer, s3_answer
from gateway.greenfield.approvals import bucket_document, decoded, object_document
from p2p.client import Accepted
from p2p.client import _accepted as read_accepted
from p2p.policy import Facts, Rules, approval_for, check_sizes, objection, refusal
from proto import p2p_pb2, receiver_pb2
from receiver.client import Receipt
from receiver.client import _receipt as read_receipt
from receiver.frames import OfferFrame
from receiver.offers import check_content, check_offer, check_offer_sizes, check_piece_request
from receiver.receiving import Column
from receiver.rpc import _frame, _parsed
from sp.crypto.hashing import keccak256
from sp.domain.addresses import parse_address, signer_of
from sp.domain.approvals import Offer
from sp.domain.contents import content_of
from sp.domain.errors import SpError
from sp.domain.ids import ObjectId, SegmentIndex
from sp.runtime.batches import answer_of
from sp.runtime.errors import detail_of, error_from_detail, status_of
from sp.runtime.incoming import fit_ids
from sp.wire import common as wire
from sp.wire import create_approvals
from sp.wire.bulk import bytes_message
from sp.wire.transactions import parse_signed_tx, parse_tx_body, tx_body_bytes
from tests.fuzz.guard import attempt, refusing
from tests.unit.gateway_world import BOB, OPERATOR, provider
from tests.unit.ledger_double import NOW_S, LedgerDouble

M = TypeVar("M", bound=Message)

PEER: Final = provider(BOB, "http://peer")
LEDGER: Final = LedgerDouble(providers={BOB: PEER})
LEDGER.add_bucket("photos", BOB)
LEDGER.add_object(ObjectId(42), "photos", "cat.jpg", 4000, ())
BUCKET: Final = LEDGER.buckets["photos"]
FOUND: Final = LEDGER.objects[ObjectId(42)]
RULES: Final = Rules(0, 0, frozenset(), frozenset())


def _of(kind: type[M], raw: bytes) -> M | None:
    """None for what gRPC itself turns away."""
    try:
        return kind.FromString(raw)
    except DecodeError:
        return None


def question(raw: bytes) -> None:
    """AskApproval, as p2p.answering goes through it; and every question of AskApprovals."""
    _question(_of(p2p_pb2.AskApprovalRequest, raw))
    many = _of(p2p_pb2.AskApprovalsRequest, raw)
    for each in many.questions if many else ():
        fit_ids(each.request_id, each.job_id)
        _question(each)


def _question(message: p2p_pb2.AskApprovalRequest | None) -> None:
    request = message and attempt(lambda: wire.approval_request(message.request))
    if message is None or request is None:
        return
    with refusing():
        check_sizes(request, message.signature)
        signer_of(keccak256(request.sign_bytes()), message.signature)
        content = content_of(FOUND, request.object.version)
        for found in (None, FOUND):
            refusal(request, RULES, Facts("", 1 << 40, LEDGER.params, BUCKET, found, content if found else None))
        approval = approval_for(request, OPERATOR, NOW_S, 10, 3600)
        assert wire.approval(wire.approval_pb(approval)) == approval
        assert objection(approval, request, provider(OPERATOR, "http://me"), NOW_S, 10) == ""


def answer(raw: bytes) -> None:
    """What a peer answers to our question."""
    message = _of(p2p_pb2.AskApprovalReply, raw)
    if message is not None:
        with refusing():
            signed = wire.signed_approval(message.approval)
            signer_of(keccak256(signed.approval.sign_bytes()), signed.signature)
    many = _of(p2p_pb2.AskApprovalsReply, raw)
    for each in many.answers if many else ():
        assert isinstance(answer_of(each, "reply", read_accepted, "a peer"), Accepted | SpError)
    ping = _of(p2p_pb2.PingReply, raw)
    if ping is not None:
        with refusing():
            parse_address(ping.operator)


def frame(raw: bytes) -> None:
    """One message on a Replicate stream, and everything that is checked of an offer before a byte is taken."""
    try:
        parsed = _parsed(raw)
    except DecodeError:
        return
    read = attempt(lambda: _frame(parsed)) if isinstance(parsed, receiver_pb2.ReplicateFrame) else parsed
    if isinstance(read, OfferFrame):
        _offer(read.offer, read.signature)


def small_groups(raw: bytes) -> None:
    """ReplicateSmall: each group as the first message of a stream, and its piece."""
    message = _of(receiver_pb2.ReplicateSmallRequest, raw)
    for group in message.groups if message else ():
        fit_ids(group.request_id, group.job_id)
        offer = attempt(lambda group=group: wire.offer(group.open.offer))  # type: ignore[misc]
        if offer is not None:
            _offer(offer, group.open.signature)
            with refusing():
                check_offer_sizes(offer, group.open.signature)
                Column(offer.approval.approval.object, offer.redundancy_index).piece_bytes(SegmentIndex(0))


def _offer(offer: Offer, signature: bytes) -> None:
    with refusing():
        check_offer_sizes(offer, signature)
        for sender in (None, PEER):
            with refusing():
                check_offer(
                    offer, signature, sender=sender, me=OPERATOR, my_approval_key=OPERATOR, now_s=NOW_S, height=10
                )
        content = content_of(FOUND, offer.approval.approval.object.version)
        if content is not None:
            check_content(offer, OPERATOR, FOUND, content, BUCKET, LEDGER.params, LEDGER.providers)


def piece_request(raw: bytes) -> None:
    message = _of(receiver_pb2.GetPieceRequest, raw)
    if message is None:
        return
    with refusing():
        request = wire.piece_request(message.request)
        check_piece_request(request, message.signature, asker=PEER, me=OPERATOR, now_s=NOW_S)


def replies(raw: bytes) -> None:
    """What a secondary answers on a Replicate stream."""
    many = _of(receiver_pb2.ReplicateSmallReply, raw)
    for each in many.answers if many else ():
        assert isinstance(answer_of(each, "receipt", read_receipt, "a peer"), Receipt | SpError)
    message = _of(receiver_pb2.ReplicateReply, raw)
    if message is not None:
        with refusing():
            for held in message.held.pieces:
                wire.checksum(held.checksum)
        with refusing():
            wire.checksum(message.receipt.integrity_hash)
            signer_of(bytes(32), message.receipt.signature)


def error_detail(raw: bytes) -> None:
    """The error that a far side says it raised: shown to users in both dialects, and passed on."""
    error = error_from_detail(raw)
    if error is not None:
        status_of(error)
        s3_answer(error)
        greenfield_answer(error)
        again = error_from_detail(detail_of(error))
        assert again is None or type(again) is type(error)


def transaction(raw: bytes) -> None:
    signed = attempt(lambda: parse_signed_tx(raw))
    for body in (raw, signed.body if signed else b""):
        parsed = attempt(lambda body=body: parse_tx_body(body))  # type: ignore[misc]
        if parsed is not None:
            assert parse_tx_body(tx_body_bytes(parsed)) == parsed


def bulk(raw: bytes) -> None:
    """Our own reading of the bulk messages agrees with protobuf's."""
    try:
        parsed = _parsed(raw)
    except DecodeError:
        return
    if not isinstance(parsed, receiver_pb2.ReplicateFrame):
        assert receiver_pb2.ReplicateFrame.FromString(raw).chunk == parsed.payload
        assert _parsed(bytes_message(receiver_pb2.ReplicateFrame.CHUNK_FIELD_NUMBER, parsed.payload)) is not None


_KINDS: Final[tuple[Callable[[bytes], None], ...]] = (
    question, answer, frame, piece_request, replies, error_detail, transaction, bulk, small_groups,
)  # fmt: skip


def messages(raw: bytes) -> None:
    """The first byte says whose message the rest is."""
    if raw:
        _KINDS[raw[0] % len(_KINDS)](raw[1:])


def sign_docs(raw: bytes) -> None:
    """get-approval: messages that clients want approved, through the Signer's wire, to the bytes that are signed."""
    message = attempt(lambda: decoded(raw.hex()))
    if message is None:
        return
    with refusing():
        bucket = bucket_document(message, 100)
        _check_signable(bucket, create_approvals.bucket_approval_pb, create_approvals.bucket_approval)
    with refusing():
        made = object_document(message, 100, OPERATOR)
        _check_signable(made, create_approvals.object_approval_pb, create_approvals.object_approval)


def _check_signable(document: Any, to_wire: Callable[[Any], Any], of_wire: Callable[[Any], Any]) -> None:
    again = of_wire(to_wire(document))
    assert again == document
    assert again.sign_bytes() == document.sign_bytes()
