"""The payloads that are kept beside their jobs' rows."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from sp.domain.ids import JobId
from spdb.models.small_segments import small_segments
from spdb.prepared import Prepared

_INSERT: Final = Prepared(insert(small_segments))
_PAYLOAD: Final = Prepared(select(small_segments.c.payload).where(small_segments.c.job_id == bindparam("b_id")))
_SIZE: Final = Prepared(
    select(func.length(small_segments.c.payload).label("size")).where(small_segments.c.job_id == bindparam("b_id"))
)
_DELETE: Final = Prepared(delete(small_segments).where(small_segments.c.job_id == bindparam("b_id")))
_PAGE: Final = Prepared(
    select(small_segments.c.job_id)
    .where(small_segments.c.job_id > bindparam("b_after"))
    .order_by(small_segments.c.job_id)
    .limit(bindparam("b_limit"))
)


def put(connection: Connection, job_id: JobId, payload: bytes) -> None:
    """Of a job that is there and has none."""
    _INSERT.run(connection, {"job_id": job_id, "payload": payload})


def get(connection: Connection, job_id: JobId) -> bytes | None:
    row = _PAYLOAD.first(connection, {"b_id": job_id})
    return None if row is None else row.payload


def size(connection: Connection, job_id: JobId) -> int | None:
    row = _SIZE.first(connection, {"b_id": job_id})
    return None if row is None else int(row.size)


def remove(connection: Connection, job_id: JobId) -> None:
    _DELETE.run(connection, {"b_id": job_id})


def page(connection: Connection, after: int, limit: int) -> list[JobId]:
    return [JobId(row.job_id) for row in _PAGE.all(connection, {"b_after": after, "b_limit": limit})]
