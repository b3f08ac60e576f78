"""Jobs as an operator looks at them. Every query walks an index and stops at its limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Column, Connection, Row, Select, bindparam, func, select, tuple_

from sp.domain.errors import NoSuchJob
from sp.domain.ids import JobId
from sp.domain.jobs import HistoryRow, Job, JobFilter
from sp.domain.lifecycle import JobState
from spdb.models.jobs import KEPT, history, jobs
from spdb.prepared import Prepared
from spdb.statements import names
from spdb.statements.moves import ERRORS
from spdb.statements.rows import history_of, job_of

_GET: Final = Prepared(select(jobs).where(jobs.c.id == bindparam("b_id")))


def get(connection: Connection, job_id: JobId) -> Job:
    row = _GET.first(connection, {"b_id": job_id}) if names.is_id(job_id) else None
    if row is None:
        raise NoSuchJob(job_id)
    return job_of(row)


def _newest(fixed: Sequence[tuple[Column[Any], Any]], before: int | None, limit: int) -> Select[Any]:
    """Jobs that have these values, newest first: down the index over just these columns and the id.

    Said as a range of rows, and ordered by all of its columns: told `x = ? ORDER BY id DESC`, PostgreSQL may hope to
    meet enough such rows on a walk over all jobs, and then meets a hundred thousand others first.
    """
    columns = [*(column for column, _ in fixed), jobs.c.id]
    values = [value for _, value in fixed]
    top = names.MAX_ID if before is None else min(before - 1, names.MAX_ID)
    row: Any = tuple_(*columns)
    inside = (row >= (*values, 0), row <= (*values, top))
    return select(jobs).where(*inside).order_by(*(column.desc() for column in columns)).limit(limit)


def newest_of(connection: Connection, bucket: str, object_name: str) -> Job | None:
    """The job of a name that began last, whatever became of it."""
    if not (names.is_storable(bucket) and names.is_storable(object_name)):
        return None
    row = connection.execute(_newest([(jobs.c.bucket, bucket), (jobs.c.object_name, object_name)], None, 1)).first()
    return None if row is None else job_of(row)


_HISTORY: Final = Prepared(select(history).where(history.c.job_id == bindparam("b_id")).order_by(history.c.seq))


def history_rows(connection: Connection, job_id: JobId) -> list[HistoryRow]:
    """In order. NoSuchJob."""
    rows = _HISTORY.all(connection, {"b_id": job_id})
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
        query = _newest([(jobs.c.bucket, wanted.bucket)] if wanted.bucket else [], wanted.before, wanted.limit)
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


def _by_state(connection: Connection, wanted: JobFilter, states: frozenset[JobState]) -> list[Row[Any]]:
    """One walk down the index for each state, then the newest of all: no state's crowd is sorted for it."""
    rows: list[Row[Any]] = []
    for state in states:
        rows += connection.execute(_newest([(jobs.c.state, int(state))], wanted.before, wanted.limit))
    return sorted(rows, key=lambda row: -row.id)[: wanted.limit]


_WALK: Final = Prepared(
    select(jobs).where(jobs.c.id >= bindparam("b_at")).order_by(jobs.c.id).limit(bindparam("b_limit"))
)


def walk(connection: Connection, at: int, limit: int, bucket: str) -> tuple[list[Job], JobId | None]:
    """Of the next `limit` rows from id `at` on (bucket: of one bucket), those whose content is stored and kept; and the
    id to go on from, None at the end. A stretch of garbage costs pages like any other, never a scan to its end."""
    if not (names.is_storable(bucket) and names.is_id(at)):
        return [], None
    if bucket:
        found = connection.execute(_from(connection, bucket, at).limit(limit))
        rows: Sequence[Any] = [row for row in found if row.bucket == bucket]
    else:
        rows = _WALK.all(connection, {"b_at": at, "b_limit": limit})
    kept = [job_of(row) for row in rows if row.collect == KEPT and row.stored_at_ms is not None]
    return kept, JobId(rows[-1].id + 1) if len(rows) == limit else None


def _from(connection: Connection, bucket: str, at: int) -> Select[Any]:
    """Jobs from (bucket, id) on, in the order of the index over both. SQLite finds the place in it only by the two
    conditions, PostgreSQL keeps to that index only when told of a range of rows (which may reach past the bucket)."""
    if connection.dialect.name == "sqlite":
        begin: Any = (jobs.c.bucket == bucket) & (jobs.c.id >= at)
    else:
        begin = tuple_(jobs.c.bucket, jobs.c.id) >= (bucket, at)
    return select(jobs).where(begin).order_by(jobs.c.bucket, jobs.c.id)


_COUNTS: Final = select(jobs.c.state, func.count().label("jobs")).group_by(jobs.c.state)


def counts(connection: Connection) -> dict[JobState, int]:
    """Jobs by state, states without jobs left out. Reads one narrow index once (README: what it costs)."""
    return {JobState(row.state): row.jobs for row in connection.execute(_COUNTS)}
