"""Garbage: which jobs' pieces may go, which are gone, which rows have been kept long enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, exists, literal_column, select, update

from sp.domain.ids import JobId
from sp.domain.jobs import Job
from spdb.models.jobs import COLLECTED, TO_COLLECT, history, jobs, secondaries, spares
from spdb.models.objects import object_tags, objects
from spdb.models.resumables import resumables
from spdb.models.small_segments import small_segments
from spdb.models.swap_ins import swap_ins
from spdb.statements import moves
from spdb.statements.rows import job_of

_IS_NAMED: Final = exists().where(objects.c.job_id == jobs.c.id)
"""A second proof beside the mark: whatever the name index leads to is not garbage."""


def collectable(connection: Connection, limit: int, marked_before_ms: int, now_ms: int) -> list[Job]:
    """Jobs whose pieces are garbage and that nobody works on, the longest marked first. Aborted uploads never had a
    reader, so their mark has time 0: they come before all others."""
    rows = connection.execute(
        select(jobs)
        .where(
            jobs.c.collect == literal_column("1"),
            jobs.c.marked_at_ms <= marked_before_ms,
            jobs.c.lease_until_ms <= now_ms,
            ~_IS_NAMED,
        )
        .order_by(jobs.c.marked_at_ms)
        .limit(limit)
    )
    return [job_of(row) for row in rows]


def collected(connection: Connection, job_id: JobId, actor: str, now_ms: int) -> None:
    """Its pieces are gone. Nothing when that is known already, or when they are not garbage."""
    gone = connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.collect == TO_COLLECT)
        .values(collect=COLLECTED, collected_at_ms=now_ms, row_version=jobs.c.row_version + 1)
        .returning(jobs.c.id)
    ).first()
    if gone is not None:
        moves.add_note(connection, job_id, "pieces collected", now_ms, reason="", provider="", actor=actor)


def purgeable(connection: Connection, before_ms: int, limit: int) -> list[Job]:
    """Jobs whose pieces were gone before that time, the longest first."""
    rows = connection.execute(
        select(jobs)
        .where(jobs.c.collect == literal_column("2"), jobs.c.collected_at_ms < before_ms, ~_IS_NAMED)
        .order_by(jobs.c.collected_at_ms)
        .limit(limit)
    )
    return [job_of(row) for row in rows]


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
