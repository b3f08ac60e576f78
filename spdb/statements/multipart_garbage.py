"""Multipart uploads: whose parts are garbage, and when their rows go."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, bindparam, delete, exists, literal_column, select, update

from sp.domain.multipart import Part, PartState, UploadState
from spdb.models.multipart import multipart_parts as parts
from spdb.models.multipart import multipart_uploads as uploads
from spdb.prepared import Prepared
from spdb.statements.multipart import end
from spdb.statements.multipart_rows import part_of, upload_of

_EXPIRE_COMPLETIONS: Final = Prepared(
    update(uploads)
    .where(uploads.c.state == literal_column("1"), uploads.c.lease_until_ms <= bindparam("b_now"))
    .values(state=int(UploadState.OPEN), row_version=uploads.c.row_version + 1, lease_until_ms=0)
)
_EXPIRE_STAGING: Final = Prepared(
    update(parts)
    .where(parts.c.state == literal_column("0"), parts.c.lease_until_ms <= bindparam("b_now"))
    .values(state=int(PartState.DEAD), lease_until_ms=0)
)
_OLD: Final = Prepared(
    select(uploads)
    .where(uploads.c.state == literal_column("0"), uploads.c.initiated_at_ms < bindparam("b_before"))
    .order_by(uploads.c.initiated_at_ms)
    .limit(bindparam("b_limit"))
    .with_for_update(key_share=True)
)


def expire(connection: Connection, limit: int, initiated_before_ms: int, now_ms: int) -> int:
    """What dead processes left is taken from them, and uploads begun before that time are aborted. How many rows."""
    completions = _EXPIRE_COMPLETIONS.run(connection, {"b_now": now_ms})
    staging = _EXPIRE_STAGING.run(connection, {"b_now": now_ms})
    old = _OLD.all(connection, {"b_before": initiated_before_ms, "b_limit": limit})
    for row in old:
        end(connection, upload_of(row), now_ms)
    return completions + staging + len(old)


_DEAD: Final = Prepared(
    select(parts)
    .where(parts.c.state == literal_column("2"))
    .order_by(parts.c.upload_id, parts.c.attempt)
    .limit(bindparam("b_limit"))
)


def dead(connection: Connection, limit: int) -> list[Part]:
    """Parts whose pieces are garbage: nothing but a row in the state DEAD proves it."""
    return [part_of(row) for row in _DEAD.all(connection, {"b_limit": limit})]


_FORGET: Final = Prepared(
    delete(parts).where(
        parts.c.upload_id == bindparam("b_upload_id"),
        parts.c.attempt == bindparam("b_attempt"),
        parts.c.state == literal_column("2"),
    )
)


def forget(connection: Connection, part: Part) -> None:
    """Its pieces are gone."""
    _FORGET.run(connection, {"b_upload_id": part.upload_id, "b_attempt": part.attempt})


_IS_OVER: Final = (uploads.c.state == int(UploadState.ABORTED)) | (uploads.c.ended_at_ms < bindparam("b_before"))
_ENDED: Final = Prepared(
    select(uploads.c.id)
    .where(uploads.c.state > literal_column("1"), _IS_OVER, ~exists().where(parts.c.upload_id == uploads.c.id))
    .order_by(uploads.c.ended_at_ms)
    .limit(bindparam("b_limit"))
)


def purge(connection: Connection, completed_before_ms: int, limit: int) -> int:
    """Delete ended uploads that have no parts left: aborted ones, and those completed before that time. How many."""
    gone = [row.id for row in _ENDED.all(connection, {"b_before": completed_before_ms, "b_limit": limit})]
    if gone:
        connection.execute(delete(uploads).where(uploads.c.id.in_(gone)))
    return len(gone)
