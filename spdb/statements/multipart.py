"""Multipart uploads from their first row to the object: what the uploader does with them.

Whoever changes the state of an upload, or makes a part of it STORED, holds the upload's row: a part that is
acknowledged can be in the object that is completed after it, or its client is told that it is too late.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, Select, insert, literal_column, select, update
from sqlalchemy.dialects import postgresql, sqlite

from sp.domain.errors import NoSuchUpload, UploadCompleting, UploadMoved
from sp.domain.ids import UploadId
from sp.domain.jobs import Job, Precondition, StoredPayload
from sp.domain.multipart import (
    Assembly,
    Completion,
    Part,
    PartState,
    Upload,
    UploadOrder,
    UploadState,
    assembly_of,
)
from sp.domain.multipart import upload_id_text as text_of
from sp.domain.part_layout import without_layout
from spdb.models.multipart import multipart_parts as parts
from spdb.models.multipart import multipart_uploads as uploads
from spdb.statements import names
from spdb.statements import uploads as put_statements
from spdb.statements.multipart_rows import json_of, part_of, part_values, upload_of

_INSERT: Final = {
    name: dialect.insert(uploads).on_conflict_do_nothing().returning(uploads.c.id)
    for name, dialect in {"sqlite": sqlite, "postgresql": postgresql}.items()
}


def create(connection: Connection, upload_id: UploadId, order: UploadOrder, now_ms: int) -> Upload | None:
    """A new one, OPEN; None when the id is taken. InvalidRequest for names no database takes."""
    names.check_names(order.bucket, order.object_name)
    row = {
        "id": upload_id,
        "state": int(UploadState.OPEN),
        "row_version": 1,
        "bucket": order.bucket,
        "object_name": order.object_name,
        "account": order.account,
        "visibility": int(order.visibility),
        "headers": json_of(order.headers),
        "tags": json_of(order.tags),
        "checksum_algorithm": order.checksum_algorithm,
        "checksum_type": order.checksum_type,
        "attempts": 0,
        "lease_until_ms": 0,
        "job_id": None,
        "payload_size": 0,
        "initiated_at_ms": now_ms,
        "ended_at_ms": 0,
    }
    if connection.execute(_INSERT[connection.dialect.name], row).first() is None:
        return None
    return Upload(upload_id, order, UploadState.OPEN, 1, 0, now_ms)


def find(connection: Connection, upload_id: UploadId) -> Upload:
    """In whatever state. NoSuchUpload."""
    return _found(connection, upload_id, _BY_ID)


def stored_parts(connection: Connection, upload_id: UploadId, after: int = 0, limit: int | None = None) -> list[Part]:
    """Those that count, by number, behind `after`."""
    query = (
        select(parts)
        .where(parts.c.upload_id == upload_id, parts.c.state == literal_column("1"), parts.c.part_number > after)
        .order_by(parts.c.part_number)
        .limit(limit)
    )
    return [part_of(row) for row in connection.execute(query)]


# --- a part -------------------------------------------------------------------------------------------------------


def begin_part(connection: Connection, upload_id: UploadId, number: int, piece_size: int, lease_until_ms: int) -> Part:
    """A new attempt, STAGING. NoSuchUpload; UploadCompleting."""
    _open_upload(connection, upload_id)
    attempt: int = connection.execute(
        update(uploads)
        .where(uploads.c.id == upload_id)
        .values(attempts=uploads.c.attempts + 1)
        .returning(uploads.c.attempts)
    ).scalar_one()
    part = Part(upload_id, number, attempt, PartState.STAGING, piece_size)
    connection.execute(insert(parts).values(**part_values(part), lease_until_ms=lease_until_ms))
    return part


def renew_part(connection: Connection, part: Part, lease_until_ms: int) -> bool:
    """False when it is not being staged any more."""
    renewed = update(parts).where(_is(part), parts.c.state == int(PartState.STAGING))
    return (
        connection.execute(renewed.values(lease_until_ms=lease_until_ms).returning(parts.c.attempt)).first() is not None
    )


def finish_part(connection: Connection, part: Part) -> None:
    """It is what its number means from here on; the one that it replaces is DEAD.

    NoSuchUpload; UploadCompleting; UploadMoved when it is not being staged any more.
    """
    _open_upload(connection, part.upload_id)
    _kill(connection, parts.c.upload_id == part.upload_id, parts.c.part_number == part.number, _IS_STORED)
    stored = (
        update(parts)
        .where(_is(part), parts.c.state == int(PartState.STAGING))
        .values(**part_values(part), lease_until_ms=0)
        .returning(parts.c.attempt)
    )
    if connection.execute(stored).first() is None:
        raise UploadMoved(text_of(part.upload_id))


def give_part_up(connection: Connection, part: Part) -> None:
    """DEAD, unless it has been stored."""
    _kill(connection, _is(part), parts.c.state == int(PartState.STAGING))


# --- the end ------------------------------------------------------------------------------------------------------


def claim(
    connection: Connection,
    upload_id: UploadId,
    asked: Completion,
    min_part_bytes: int,
    lease_until_ms: int,
    now_ms: int,
) -> tuple[Upload, Assembly | None]:
    """COMPLETING for this caller, and what to make of it. (upload, None): it has been COMPLETED before.

    NoSuchUpload; UploadCompleting while another does it; what assembly_of refuses, with nothing changed.
    """
    upload = _found(connection, upload_id, _LOCKED)
    if upload.state is UploadState.COMPLETED:
        return upload, None
    if upload.state is UploadState.ABORTED:
        raise NoSuchUpload(text_of(upload_id))
    if upload.state is UploadState.COMPLETING and upload.lease_until_ms > now_ms:
        raise UploadCompleting(text_of(upload_id))
    assembly = assembly_of(upload, asked, stored_parts(connection, upload_id), min_part_bytes)
    return _moved(connection, upload, UploadState.COMPLETING, lease_until_ms=lease_until_ms), assembly


def renew(connection: Connection, upload: Upload, lease_until_ms: int) -> bool:
    """False when its completion is another's, or over."""
    renewed = update(uploads).where(*_as_claimed(upload)).values(lease_until_ms=lease_until_ms)
    return connection.execute(renewed.returning(uploads.c.id)).first() is not None


def release(connection: Connection, upload: Upload) -> None:
    """The completion came to nothing: OPEN again. Nothing when it is not this caller's any more."""
    connection.execute(
        update(uploads)
        .where(*_as_claimed(upload))
        .values(state=int(UploadState.OPEN), row_version=uploads.c.row_version + 1, lease_until_ms=0)
    )


def complete(
    connection: Connection,
    upload: Upload,
    job: Job,
    stored: StoredPayload,
    actor: str,
    now_ms: int,
    precondition: Precondition | None,
) -> Job:
    """The acknowledgement of the put that its parts became, and the end of the upload: both or neither.

    UploadMoved when it was aborted meanwhile; JobMoved, PreconditionFailed, ConditionalRequestConflict as for any put.
    """
    finished = put_statements.finish(connection, job, stored, actor, now_ms, precondition)
    ended = (
        update(uploads)
        .where(*_as_claimed(upload))
        .values(
            state=int(UploadState.COMPLETED),
            row_version=uploads.c.row_version + 1,
            headers=json_of(without_layout(job.headers)),
            lease_until_ms=0,
            job_id=job.id,
            payload_size=stored.payload_size,
            ended_at_ms=now_ms,
        )
        .returning(uploads.c.id)
    )
    if connection.execute(ended).first() is None:
        raise UploadMoved(text_of(upload.id))
    _kill(connection, parts.c.upload_id == upload.id, _IS_STORED)
    return finished


def abort(connection: Connection, upload_id: UploadId, now_ms: int) -> None:
    """ABORTED: a completion under way comes to nothing. NoSuchUpload, also for one that was completed."""
    upload = _found(connection, upload_id, _LOCKED)
    if upload.state in (UploadState.COMPLETED, UploadState.ABORTED):
        raise NoSuchUpload(text_of(upload_id))
    end(connection, upload, now_ms)


def end(connection: Connection, upload: Upload, now_ms: int) -> None:
    """ABORTED. The caller holds the row. A part that is being staged finds out when it is done."""
    _moved(connection, upload, UploadState.ABORTED, lease_until_ms=0, ended_at_ms=now_ms)
    _kill(connection, parts.c.upload_id == upload.id, _IS_STORED)


# --- rows ---------------------------------------------------------------------------------------------------------

_BY_ID: Final = select(uploads)
_LOCKED: Final = select(uploads).with_for_update(key_share=True)
_IS_STORED: Final = parts.c.state == literal_column("1")


def _found(connection: Connection, upload_id: UploadId, query: Select[Any]) -> Upload:
    row = None
    if names.is_id(upload_id):
        row = connection.execute(query.where(uploads.c.id == upload_id)).first()
    if row is None:
        raise NoSuchUpload(text_of(upload_id))
    return upload_of(row)


def _open_upload(connection: Connection, upload_id: UploadId) -> Upload:
    """Its row is held until the transaction ends."""
    upload = _found(connection, upload_id, _LOCKED)
    if upload.state is UploadState.COMPLETING:
        raise UploadCompleting(text_of(upload_id))
    if upload.state is not UploadState.OPEN:
        raise NoSuchUpload(text_of(upload_id))
    return upload


def _moved(connection: Connection, upload: Upload, state: UploadState, **values: Any) -> Upload:
    row = connection.execute(
        update(uploads)
        .where(uploads.c.id == upload.id)
        .values(state=int(state), row_version=uploads.c.row_version + 1, **values)
        .returning(uploads)
    ).one()
    return upload_of(row)


def _as_claimed(upload: Upload) -> tuple[Any, ...]:
    return (
        uploads.c.id == upload.id,
        uploads.c.state == int(UploadState.COMPLETING),
        uploads.c.row_version == upload.row_version,
    )


def _is(part: Part) -> Any:
    return (parts.c.upload_id == part.upload_id) & (parts.c.attempt == part.attempt)


def _kill(connection: Connection, *which: Any) -> None:
    connection.execute(update(parts).where(*which).values(state=int(PartState.DEAD), lease_until_ms=0))
