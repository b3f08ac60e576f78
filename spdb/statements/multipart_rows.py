"""Rows of multipart uploads to records and back."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Row

from sp.domain.ids import Address, JobId, UploadId
from sp.domain.ledger import Visibility
from sp.domain.multipart import Part, PartState, Upload, UploadOrder, UploadState
from spdb.statements.rows import join_checksums, split_checksums


def upload_of(row: Row[Any]) -> Upload:
    order = UploadOrder(
        row.bucket,
        row.object_name,
        Address(row.account),
        Visibility(row.visibility),
        json.loads(row.headers),
        row.checksum_algorithm,
        row.checksum_type,
        json.loads(row.tags),
    )
    return Upload(
        UploadId(row.id),
        order,
        UploadState(row.state),
        row.row_version,
        row.lease_until_ms,
        row.initiated_at_ms,
        None if row.job_id is None else JobId(row.job_id),
        row.payload_size,
        row.ended_at_ms,
    )


def part_of(row: Row[Any]) -> Part:
    return Part(
        UploadId(row.upload_id),
        row.part_number,
        row.attempt,
        PartState(row.state),
        row.piece_size,
        row.size,
        bytes(row.md5),
        json.loads(row.checksums),
        split_checksums(row.piece_checksums),
        row.stored_at_ms,
    )


def part_values(part: Part) -> dict[str, Any]:
    return {
        "upload_id": part.upload_id,
        "attempt": part.attempt,
        "part_number": part.number,
        "state": int(part.state),
        "size": part.size,
        "md5": part.md5,
        "checksums": json_of(part.checksums),
        "piece_size": part.piece_size,
        "piece_checksums": join_checksums(part.piece_checksums),
        "stored_at_ms": part.stored_at_ms,
    }


def json_of(words: dict[str, str]) -> str:
    return json.dumps(words, separators=(",", ":"), ensure_ascii=True)
