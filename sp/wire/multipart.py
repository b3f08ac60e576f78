"""Multipart uploads, their parts and what is asked of them."""

from __future__ import annotations

from proto import multipart_pb2 as pb
from sp.domain.addresses import parse_address
from sp.domain.errors import InvalidRequest
from sp.domain.ids import JobId, UploadId
from sp.domain.ledger import Visibility
from sp.domain.multipart import (
    MAX_PARTS,
    CompletedPart,
    Completion,
    Part,
    PartState,
    Upload,
    UploadOrder,
    UploadsPage,
    UploadsQuery,
    UploadState,
)
from sp.wire.jobs import MAX_TAGS, kept_headers

MAX_LISTED = 1000


def upload_order(message: pb.UploadOrder) -> UploadOrder:
    if len(message.tags) > MAX_TAGS:
        raise InvalidRequest("too many tags")
    return UploadOrder(
        message.bucket,
        message.object_name,
        parse_address(message.account),
        Visibility(message.visibility),
        kept_headers(message.headers),
        message.checksum_algorithm,
        message.checksum_type,
        dict(message.tags),
    )


def upload_order_pb(value: UploadOrder) -> pb.UploadOrder:
    return pb.UploadOrder(
        bucket=value.bucket,
        object_name=value.object_name,
        account=value.account,
        visibility=value.visibility,
        headers=value.headers,
        tags=value.tags,
        checksum_algorithm=value.checksum_algorithm,
        checksum_type=value.checksum_type,
    )


def upload(message: pb.Upload) -> Upload:
    return Upload(
        UploadId(message.id),
        upload_order(message.order),
        UploadState(message.state),
        message.row_version,
        message.lease_until_ms,
        message.initiated_at_ms,
        JobId(message.job_id) if message.HasField("job_id") else None,
        message.payload_size,
        message.ended_at_ms,
    )


def upload_pb(value: Upload) -> pb.Upload:
    return pb.Upload(
        id=value.id,
        order=upload_order_pb(value.order),
        state=value.state,
        row_version=value.row_version,
        lease_until_ms=value.lease_until_ms,
        initiated_at_ms=value.initiated_at_ms,
        job_id=value.job_id,
        payload_size=value.payload_size,
        ended_at_ms=value.ended_at_ms,
    )


def part(message: pb.Part) -> Part:
    """Its pieces' checksums stay where the pieces are: a page of large parts would not fit into a message."""
    return Part(
        UploadId(message.upload_id),
        message.number,
        message.attempt,
        PartState(message.state),
        message.piece_size,
        message.size,
        message.md5,
        dict(message.checksums),
        stored_at_ms=message.stored_at_ms,
    )


def part_pb(value: Part) -> pb.Part:
    return pb.Part(
        upload_id=value.upload_id,
        number=value.number,
        attempt=value.attempt,
        state=value.state,
        piece_size=value.piece_size,
        size=value.size,
        md5=value.md5,
        checksums=value.checksums,
        stored_at_ms=value.stored_at_ms,
    )


def query(message: pb.ListUploadsRequest) -> UploadsQuery:
    return UploadsQuery(
        message.bucket,
        message.prefix,
        message.delimiter,
        message.key_marker,
        UploadId(message.id_marker) if message.HasField("id_marker") else None,
        min(message.limit, MAX_LISTED),
    )


def query_pb(value: UploadsQuery) -> pb.ListUploadsRequest:
    return pb.ListUploadsRequest(
        bucket=value.bucket,
        prefix=value.prefix,
        delimiter=value.delimiter,
        key_marker=value.key_marker,
        id_marker=value.id_marker,
        limit=value.limit,
    )


def page(message: pb.ListUploadsReply) -> UploadsPage:
    return UploadsPage(
        tuple(map(upload, message.uploads)),
        tuple(message.common_prefixes),
        message.next_key if message.HasField("next_key") else None,
        UploadId(message.next_id) if message.HasField("next_id") else None,
    )


def page_pb(value: UploadsPage) -> pb.ListUploadsReply:
    return pb.ListUploadsReply(
        uploads=map(upload_pb, value.uploads),
        common_prefixes=value.common_prefixes,
        next_key=value.next_key,
        next_id=value.next_id,
    )


def completion(message: pb.CompleteRequest) -> Completion:
    if len(message.parts) > MAX_PARTS:
        raise InvalidRequest("too many parts")
    return Completion(
        tuple(CompletedPart(listed.number, listed.etag, dict(listed.checksums)) for listed in message.parts),
        dict(message.checksums),
        message.payload_size if message.HasField("payload_size") else None,
    )


def completed_parts_pb(value: Completion) -> list[pb.CompletedPart]:
    return [pb.CompletedPart(number=p.number, etag=p.etag, checksums=p.checksums) for p in value.parts]
