"""Multipart uploads: whose parts are garbage, and when their rows go."""

from __future__ import annotations

from sqlalchemy import Connection, delete, exists, literal_column, select, update

from sp.domain.multipart import Part, PartState, UploadState
from spdb.models.multipart import multipart_parts as parts
from spdb.models.multipart import multipart_uploads as uploads
from spdb.statements.multipart import end
from spdb.statements.multipart_rows import part_of, upload_of


def expire(connection: Connection, limit: int, initiated_before_ms: int, now_ms: int) -> int:
    """What dead processes left is taken from them, and uploads begun before that time are aborted. How many rows."""
    completions = connection.execute(
        update(uploads)
        .where(uploads.c.state == literal_column("1"), uploads.c.lease_until_ms <= now_ms)
        .values(state=int(UploadState.OPEN), row_version=uploads.c.row_version + 1, lease_until_ms=0)
    )
    staging = connection.execute(
        update(parts)
        .where(parts.c.state == literal_column("0"), parts.c.lease_until_ms <= now_ms)
        .values(state=int(PartState.DEAD), lease_until_ms=0)
    )
    old = connection.execute(
        select(uploads)
        .where(uploads.c.state == literal_column("0"), uploads.c.initiated_at_ms < initiated_before_ms)
        .order_by(uploads.c.initiated_at_ms)
        .limit(limit)
        .with_for_update(key_share=True)
    ).all()
    for row in old:
        end(connection, upload_of(row), now_ms)
    return completions.rowcount + staging.rowcount + len(old)


def dead(connection: Connection, limit: int) -> list[Part]:
    """Parts whose pieces are garbage: nothing but a row in the state DEAD proves it."""
    rows = connection.execute(
        select(parts)
        .where(parts.c.state == literal_column("2"))
        .order_by(parts.c.upload_id, parts.c.attempt)
        .limit(limit)
    )
    return [part_of(row) for row in rows]


def forget(connection: Connection, part: Part) -> None:
    """Its pieces are gone."""
    connection.execute(
        delete(parts).where(
            parts.c.upload_id == part.upload_id,
            parts.c.attempt == part.attempt,
            parts.c.state == literal_column("2"),
        )
    )


def purge(connection: Connection, completed_before_ms: int, limit: int) -> int:
    """Delete ended uploads that have no parts left: aborted ones, and those completed before that time. How many."""
    has_parts = exists().where(parts.c.upload_id == uploads.c.id)
    is_over = (uploads.c.state == int(UploadState.ABORTED)) | (uploads.c.ended_at_ms < completed_before_ms)
    ids = connection.execute(
        select(uploads.c.id)
        .where(uploads.c.state > literal_column("1"), is_over, ~has_parts)
        .order_by(uploads.c.ended_at_ms)
        .limit(limit)
    ).scalars()
    gone = list(ids)
    if gone:
        connection.execute(delete(uploads).where(uploads.c.id.in_(gone)))
    return len(gone)
