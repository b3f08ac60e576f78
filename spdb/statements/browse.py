"""Jobs as an operator looks at them. Every query walks an index and stops at its limit."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, Select, func, select

from sp.domain.errors import NoSuchJob
from sp.domain.ids import JobId
from sp.domain.jobs import HistoryRow, Job, JobFilter
from sp.domain.lifecycle import JobState
from spdb.models.jobs import history, jobs
from spdb.statements import names
from spdb.statements.moves import ERRORS
from spdb.statements.rows import history_of, job_of


def get(connection: Connection, job_id: JobId) -> Job:
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).first() if names.is_id(job_id) else None
    if row is None:
        raise NoSuchJob(job_id)
    return job_of(row)


def newest_of(connection: Connection, bucket: str, object_name: str) -> Job | None:
    """The job of a name that began last, whatever became of it."""
    if not (names.is_storable(bucket) and names.is_storable(object_name)):
        return None
    row = connection.execute(
        select(jobs)
        .where(jobs.c.bucket == bucket, jobs.c.object_name == object_name)
        .order_by(jobs.c.id.desc())
        .limit(1)
    ).first()
    return None if row is None else job_of(row)


def history_rows(connection: Connection, job_id: JobId) -> list[HistoryRow]:
    """In order. NoSuchJob."""
    rows = connection.execute(select(history).where(history.c.job_id == job_id).order_by(history.c.seq)).all()
    if not rows:  # every job has some
        raise NoSuchJob(job_id)
    return [history_of(row) for row in rows]


def page(connection: Connection, wanted: JobFilter) -> list[Job]:
    """Newest first."""
    if not names.is_storable(wanted.bucket) or wanted.limit <= 0:
        return []
    states = _states(wanted)
    if states is not None and not wanted.bucket:
        rows = _by_state(connection, wanted, states)
    else:
        query = _before(wanted)
        if wanted.bucket:
            query = query.where(jobs.c.bucket == wanted.bucket)
        if states is not None:
            query = query.where(jobs.c.state.in_(sorted(states)))
        rows = list(connection.execute(query))
    return [job_of(row) for row in rows]


def _states(wanted: JobFilter) -> frozenset[JobState] | None:
    """None: all."""
    if not wanted.states and not wanted.failed_only:
        return None
    states = frozenset(wanted.states or JobState)
    return states & ERRORS if wanted.failed_only else states


def _before(wanted: JobFilter) -> Select[Any]:
    query = select(jobs).order_by(jobs.c.id.desc()).limit(wanted.limit)
    return query if wanted.before is None else query.where(jobs.c.id < wanted.before)


def _by_state(connection: Connection, wanted: JobFilter, states: frozenset[JobState]) -> list[Any]:
    """One walk down the index for each state, then the newest of all: no state's crowd is sorted for it."""
    rows = [row for state in sorted(states) for row in connection.execute(_before(wanted).where(jobs.c.state == state))]
    return sorted(rows, key=lambda row: -row.id)[: wanted.limit]


_COUNTS: Final = select(jobs.c.state, func.count().label("jobs")).group_by(jobs.c.state)


def counts(connection: Connection) -> dict[JobState, int]:
    """Jobs by state, states without jobs left out. Reads one narrow index once (README: what it costs)."""
    return {JobState(row.state): row.jobs for row in connection.execute(_COUNTS)}
