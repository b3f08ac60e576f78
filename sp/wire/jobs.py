"""Jobs, their secondaries and history, and the entries of the object index."""

from __future__ import annotations

from collections.abc import Mapping

from proto import downloader_pb2, tasknode_pb2, uploader_pb2
from sp.domain.addresses import parse_address
from sp.domain.approvals import SignedApproval
from sp.domain.errors import InvalidRequest
from sp.domain.ids import Checksum, JobId, ObjectId, RedundancyIndex, Signature, TxHash
from sp.domain.jobs import (
    HistoryRow,
    Job,
    JobFilter,
    Listing,
    ObjectEntry,
    Precondition,
    PutOrder,
    Secondary,
    SecondaryState,
)
from sp.domain.ledger import Visibility
from sp.domain.lifecycle import JobState
from sp.wire import common

MAX_HEADERS_BYTES = 16 * 1024
MAX_TAGS = 10


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """InvalidRequest when they are too large."""
    if sum(len(name) + len(value) for name, value in headers.items()) > MAX_HEADERS_BYTES:
        raise InvalidRequest("kept headers are too large")
    return dict(headers)


def put_order(message: uploader_pb2.PutOpen) -> PutOrder:
    headers = kept_headers(message.headers)
    if len(message.tags) > MAX_TAGS:
        raise InvalidRequest("too many tags")
    return PutOrder(
        bucket=message.bucket,
        object_name=message.object_name,
        account=parse_address(message.account),
        payload_size=message.payload_size if message.HasField("payload_size") else None,
        params=common.params(message.params),
        visibility=Visibility(message.visibility),
        headers=headers,
        object_id=ObjectId(message.object_id) if message.object_id else None,
        version=message.version,
        expected_root=common.checksum(message.expected_root) if message.expected_root else None,
        request_id=message.request_id,
        precondition=_precondition(message.precondition) if message.HasField("precondition") else None,
        tags=dict(message.tags),
    )


def _precondition(message: uploader_pb2.Precondition) -> Precondition:
    return Precondition(message.absent, message.etag or "*")


def _precondition_pb(value: Precondition) -> uploader_pb2.Precondition:
    return uploader_pb2.Precondition(absent=value.absent, etag=value.etag)


def put_order_pb(value: PutOrder) -> uploader_pb2.PutOpen:
    return uploader_pb2.PutOpen(
        bucket=value.bucket,
        object_name=value.object_name,
        account=value.account,
        payload_size=value.payload_size,
        params=common.params_pb(value.params),
        visibility=value.visibility,
        headers=value.headers,
        object_id=value.object_id or 0,
        version=value.version,
        expected_root=value.expected_root or b"",
        request_id=value.request_id,
        precondition=None if value.precondition is None else _precondition_pb(value.precondition),
        tags=value.tags,
    )


def job_pb(value: Job) -> tasknode_pb2.Job:
    return tasknode_pb2.Job(
        id=value.id,
        state=value.state,
        row_version=value.row_version,
        bucket=value.bucket,
        object_name=value.object_name,
        account=value.account,
        visibility=value.visibility,
        headers=value.headers,
        delegated=value.delegated,
        object_id=value.object_id or 0,
        version=value.version,
        payload_size=value.payload_size,
        root=value.root or b"",
        segment_checksums=value.segment_checksums,
        attempts=value.attempts,
        next_attempt_at_ms=value.next_attempt_at_ms,
        given_up=value.given_up,
        lease_owner=value.lease_owner,
        lease_until_ms=value.lease_until_ms,
        tx_hash=value.tx_hash or "",
        error=value.error,
        request_id=value.request_id,
        created_at_ms=value.created_at_ms,
        updated_at_ms=value.updated_at_ms,
        collect=value.collect,
        params=common.params_pb(value.params),
    )


def job(message: tasknode_pb2.Job) -> Job:
    return Job(
        id=JobId(message.id),
        state=JobState(message.state),
        row_version=message.row_version,
        bucket=message.bucket,
        object_name=message.object_name,
        account=parse_address(message.account),
        visibility=Visibility(message.visibility),
        headers=dict(message.headers),
        params=common.params(message.params),
        delegated=message.delegated,
        object_id=ObjectId(message.object_id) if message.object_id else None,
        version=message.version,
        payload_size=message.payload_size if message.HasField("payload_size") else None,
        root=Checksum(message.root) if message.root else None,
        segment_checksums=tuple(map(Checksum, message.segment_checksums)),
        attempts=message.attempts,
        next_attempt_at_ms=message.next_attempt_at_ms if message.HasField("next_attempt_at_ms") else None,
        given_up=message.given_up,
        lease_owner=message.lease_owner,
        lease_until_ms=message.lease_until_ms,
        tx_hash=TxHash(message.tx_hash) if message.tx_hash else None,
        error=message.error,
        request_id=message.request_id,
        created_at_ms=message.created_at_ms,
        updated_at_ms=message.updated_at_ms,
        collect=message.collect,
    )


def secondary_pb(value: Secondary) -> tasknode_pb2.Secondary:
    return tasknode_pb2.Secondary(
        job_id=value.job_id,
        redundancy_index=value.redundancy_index,
        provider=value.provider,
        approval=common.signed_approval_pb(value.approval),
        state=value.state,
        integrity_hash=value.integrity_hash or b"",
        signature=value.signature or b"",
        attempts=value.attempts,
        error=value.error,
        started_at_ms=value.started_at_ms,
        ended_at_ms=value.ended_at_ms,
    )


def secondary(message: tasknode_pb2.Secondary) -> Secondary:
    approval: SignedApproval = common.signed_approval(message.approval)
    return Secondary(
        job_id=JobId(message.job_id),
        redundancy_index=RedundancyIndex(message.redundancy_index),
        provider=parse_address(message.provider),
        approval=approval,
        state=SecondaryState(message.state),
        integrity_hash=Checksum(message.integrity_hash) if message.integrity_hash else None,
        signature=Signature(message.signature) if message.signature else None,
        attempts=message.attempts,
        error=message.error,
        started_at_ms=message.started_at_ms,
        ended_at_ms=message.ended_at_ms,
    )


def history_row_pb(value: HistoryRow) -> tasknode_pb2.HistoryRow:
    return tasknode_pb2.HistoryRow(
        job_id=value.job_id,
        seq=value.seq,
        at_ms=value.at_ms,
        from_state=value.from_state,
        state=value.state,
        event=value.event,
        attempt=value.attempt,
        reason=value.reason,
        provider=value.provider,
        actor=value.actor,
    )


def history_row(message: tasknode_pb2.HistoryRow) -> HistoryRow:
    return HistoryRow(
        job_id=JobId(message.job_id),
        seq=message.seq,
        at_ms=message.at_ms,
        from_state=JobState(message.from_state),
        state=JobState(message.state),
        event=message.event,
        attempt=message.attempt,
        reason=message.reason,
        provider=message.provider,
        actor=message.actor,
    )


def job_filter(message: tasknode_pb2.ListJobsRequest) -> JobFilter:
    return JobFilter(
        states=tuple(map(JobState, message.states)),
        bucket=message.bucket,
        failed_only=message.failed_only,
        before=JobId(message.before) if message.before else None,
        limit=min(max(message.limit, 1), 1000),
    )


def job_filter_pb(value: JobFilter) -> tasknode_pb2.ListJobsRequest:
    return tasknode_pb2.ListJobsRequest(
        states=value.states,
        bucket=value.bucket,
        failed_only=value.failed_only,
        before=value.before or 0,
        limit=value.limit,
    )


def entry_pb(value: ObjectEntry) -> downloader_pb2.ObjectEntry:
    return downloader_pb2.ObjectEntry(job=job_pb(value.job), updated_at_ms=value.updated_at_ms, tags=value.tags)


def entry(message: downloader_pb2.ObjectEntry) -> ObjectEntry:
    return ObjectEntry(job(message.job), message.updated_at_ms, dict(message.tags))


def listing_pb(value: Listing) -> downloader_pb2.ListReply:
    return downloader_pb2.ListReply(
        entries=map(entry_pb, value.entries),
        common_prefixes=value.common_prefixes,
        next_marker=value.next_marker,
    )


def listing(message: downloader_pb2.ListReply) -> Listing:
    return Listing(
        tuple(map(entry, message.entries)),
        tuple(message.common_prefixes),
        message.next_marker if message.HasField("next_marker") else None,
    )
