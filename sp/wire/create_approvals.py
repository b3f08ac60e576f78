"""Approvals of creations, to the Signer and back."""

from __future__ import annotations

from proto import signer_pb2 as pb
from sp.domain.addresses import parse_address
from sp.domain.create_approvals import CreateBucketApproval, CreateObjectApproval
from sp.domain.ledger import RedundancyType, Visibility
from sp.wire.common import checksum


def bucket_approval(message: pb.CreateBucketApproval) -> CreateBucketApproval:
    return CreateBucketApproval(
        creator=message.creator,
        bucket=message.bucket,
        visibility=Visibility(message.visibility),
        payment_address=message.payment_address,
        primary_sp=parse_address(message.primary_sp),
        charged_read_quota=message.charged_read_quota,
        expired_height=message.expired_height,
        family_id=message.family_id,
    )


def bucket_approval_pb(value: CreateBucketApproval) -> pb.CreateBucketApproval:
    return pb.CreateBucketApproval(
        creator=value.creator,
        bucket=value.bucket,
        visibility=value.visibility,
        payment_address=value.payment_address,
        primary_sp=value.primary_sp,
        charged_read_quota=value.charged_read_quota,
        expired_height=value.expired_height,
        family_id=value.family_id,
    )


def object_approval(message: pb.CreateObjectApproval) -> CreateObjectApproval:
    return CreateObjectApproval(
        creator=message.creator,
        bucket=message.bucket,
        object_name=message.object_name,
        payload_size=message.payload_size,
        visibility=Visibility(message.visibility),
        content_type=message.content_type,
        expect_checksums=tuple(map(checksum, message.expect_checksums)),
        redundancy=RedundancyType(message.redundancy),
        primary_sp=parse_address(message.primary_sp),
        expired_height=message.expired_height,
        family_id=message.family_id,
    )


def object_approval_pb(value: CreateObjectApproval) -> pb.CreateObjectApproval:
    return pb.CreateObjectApproval(
        creator=value.creator,
        bucket=value.bucket,
        object_name=value.object_name,
        payload_size=value.payload_size,
        visibility=value.visibility,
        content_type=value.content_type,
        expect_checksums=value.expect_checksums,
        redundancy=value.redundancy,
        primary_sp=value.primary_sp,
        expired_height=value.expired_height,
        family_id=value.family_id,
    )
