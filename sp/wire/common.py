"""Approvals, offers and the other messages that several services share."""

from __future__ import annotations

from proto import common_pb2 as pb
from sp.domain.addresses import parse_address
from sp.domain.approvals import Approval, ApprovalRequest, ObjectRef, Offer, PieceRequest, ReceiptDoc, SignedApproval
from sp.domain.errors import InvalidRequest
from sp.domain.ids import Checksum, ObjectId, RedundancyIndex
from sp.domain.params import StorageParams

MAX_CHUNKS = 32
"""Most data chunks, and most parity chunks, that a message may ask for."""


def checksum(raw: bytes) -> Checksum:
    if len(raw) != 32:
        raise InvalidRequest(f"a checksum has 32 bytes, not {len(raw)}")
    return Checksum(raw)


def params(message: pb.StorageParams) -> StorageParams:
    if not (
        message.max_segment_size and 1 <= message.data_chunks <= MAX_CHUNKS and message.parity_chunks <= MAX_CHUNKS
    ):
        raise InvalidRequest("storage parameters out of bounds")
    return StorageParams(
        message.max_segment_size,
        message.data_chunks,
        message.parity_chunks,
        message.max_payload_size,
        message.min_charge_size,
    )


def params_pb(value: StorageParams) -> pb.StorageParams:
    return pb.StorageParams(
        max_segment_size=value.max_segment_size,
        data_chunks=value.data_chunks,
        parity_chunks=value.parity_chunks,
        max_payload_size=value.max_payload_size,
        min_charge_size=value.min_charge_size,
    )


def object_ref(message: pb.ObjectRef) -> ObjectRef:
    if not message.object_id or not message.bucket or not message.object_name:
        raise InvalidRequest("an object reference needs id, bucket and name")
    return ObjectRef(
        ObjectId(message.object_id),
        message.version,
        message.bucket,
        message.object_name,
        message.payload_size,
        params(message.params),
    )


def object_ref_pb(value: ObjectRef) -> pb.ObjectRef:
    return pb.ObjectRef(
        object_id=value.object_id,
        version=value.version,
        bucket=value.bucket,
        object_name=value.object_name,
        payload_size=value.payload_size,
        params=params_pb(value.params),
    )


def approval_request(message: pb.ApprovalRequest) -> ApprovalRequest:
    return ApprovalRequest(object_ref(message.object), parse_address(message.asker), message.asked_at_s, message.nonce)


def approval_request_pb(value: ApprovalRequest) -> pb.ApprovalRequest:
    return pb.ApprovalRequest(
        object=object_ref_pb(value.object), asker=value.asker, asked_at_s=value.asked_at_s, nonce=value.nonce
    )


def approval(message: pb.Approval) -> Approval:
    return Approval(
        object_ref(message.object),
        parse_address(message.asker),
        parse_address(message.approver),
        message.expires_at_s,
        message.expires_height,
    )


def approval_pb(value: Approval) -> pb.Approval:
    return pb.Approval(
        object=object_ref_pb(value.object),
        asker=value.asker,
        approver=value.approver,
        expires_at_s=value.expires_at_s,
        expires_height=value.expires_height,
    )


def signed_approval(message: pb.SignedApproval) -> SignedApproval:
    return SignedApproval(approval(message.approval), message.signature)


def signed_approval_pb(value: SignedApproval) -> pb.SignedApproval:
    return pb.SignedApproval(approval=approval_pb(value.approval), signature=value.signature)


def offer(message: pb.Offer) -> Offer:
    return Offer(signed_approval(message.approval), RedundancyIndex(message.redundancy_index), message.offered_at_s)


def offer_pb(value: Offer) -> pb.Offer:
    return pb.Offer(
        approval=signed_approval_pb(value.approval),
        redundancy_index=value.redundancy_index,
        offered_at_s=value.offered_at_s,
    )


def piece_request(message: pb.PieceRequest) -> PieceRequest:
    return PieceRequest(
        ObjectId(message.object_id),
        message.version,
        message.segment,
        RedundancyIndex(message.redundancy_index),
        parse_address(message.asker),
        parse_address(message.holder),
        message.asked_at_s,
    )


def piece_request_pb(value: PieceRequest) -> pb.PieceRequest:
    return pb.PieceRequest(
        object_id=value.object_id,
        version=value.version,
        segment=value.segment,
        redundancy_index=value.redundancy_index,
        asker=value.asker,
        holder=value.holder,
        asked_at_s=value.asked_at_s,
    )


def receipt_doc(message: pb.ReceiptDoc) -> ReceiptDoc:
    return ReceiptDoc(parse_address(message.sp_operator), ObjectId(message.object_id), checksum(message.checksum))


def receipt_doc_pb(value: ReceiptDoc) -> pb.ReceiptDoc:
    return pb.ReceiptDoc(sp_operator=value.sp_operator, object_id=value.object_id, checksum=value.checksum)
