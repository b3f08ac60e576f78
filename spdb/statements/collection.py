"""Garbage: which jobs' pieces may go, which are gone, which rows have been kept long enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, exists, literal_column, select, update

from sp.domain.ids import JobId
from sp.domain.jobs import Job
from spdb.models.jobs import COLLECTED, TO_COLLECT, history, jobs, secondaries, spares
from spdb.models.objects import object_tags, objects
from spdb.models.resumables import resumables
from spdb.models.small_segments import small_segments
from spdb.models.swap_ins import swap_ins
from spdb.prepared import Prepared
from spdb.statements import moves
from spdb.statements.rows import job_of

_IS_NAMED: Final = exists().where(objects.c.job_id == jobs.c.id)
"""A second proof beside the mark: whatever the name index leads to is not garbage."""

_COLLECTABLE: Final = Prepared(
    select(jobs)
    .where(
        jobs.c.collect == literal_column("1"),
        jobs.c.marked_at_ms <= bindparam("b_marked_before"),
        jobs.c.lease_until_ms <= bindparam("b_now"),
        ~_IS_NAMED,
    )
    .order_by(jobs.c.marked_at_ms)
    .limit(bindparam("b_limit"))
)


def collectable(connection: Connection, limit: int, marked_before_ms: int, now_ms: int) -> list[Job]:
    """Jobs whose pieces are garbage and that nobody works on, the longest marked first. Aborted uploads never had a
    reader, so their mark has time 0: they come before all others."""
    values = {"b_marked_before": marked_before_ms, "b_now": now_ms, "b_limit": limit}
    return [job_of(row) for row in _COLLECTABLE.all(connection, values)]


_COLLECTED: Final = Prepared(
    update(jobs)
    .where(jobs.c.id == bindparam("b_id"), jobs.c.collect == TO_COLLECT)
    .values(collect=COLLECTED, collected_at_ms=bindparam("b_now"), row_version=jobs.c.row_version + 1)
    .returning(jobs.c.id)
)


def collected(connection: Connection, job_id: JobId, actor: str, now_ms: int) -> None:
    """Its pieces are gone. Nothing when that is known already, or when they are not garbage."""
    if _COLLECTED.first(connection, {"b_id": job_id, "b_now": now_ms}) is not None:
        moves.add_note(connection, job_id, "pieces collected", now_ms, reason="", provider="", actor=actor)


_PURGEABLE: Final = Prepared(
    select(jobs)
    .where(jobs.c.collect == literal_column("2"), jobs.c.collected_at_ms < bindparam("b_before"), ~_IS_NAMED)
    .order_by(jobs.c.collected_at_ms)
    .limit(bindparam("b_limit"))
)


def purgeable(connection: Connection, before_ms: int, limit: int) -> list[Job]:
    """Jobs whose pieces were gone before that time, the longest first."""
    return [job_of(row) for row in _PURGEABLE.all(connection, {"b_before": before_ms, "b_limit": limit})]


def forget(connection: Connection, job_ids: Sequence[JobId]) -> int:
    """Delete those of the jobs that are collected, with all their rows. How many."""
    ids: list[int] = [
        row.id
        for row in connection.execute(
            select(jobs.c.id).where(jobs.c.id.in_(job_ids), jobs.c.collect == COLLECTED, ~_IS_NAMED)
        )
    ]
    if ids:
        of_jobs = (history, secondaries, spares, object_tags, resumables, swap_ins, small_segments)
        children: tuple[Any, ...] = tuple(table.c.job_id for table in of_jobs)
        for column in (*children, jobs.c.id):
            connection.execute(delete(column.table).where(column.in_(ids)))
    return len(ids)
