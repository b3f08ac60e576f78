"""The queue of background work: the job rows themselves, taken by lease."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, bindparam, case, func, literal_column, null, or_, select, update

from sp.domain.errors import IllegalMove, NoSuchJob
from sp.domain.ids import Address, JobId
from sp.domain.jobs import Job
from sp.domain.lifecycle import BACKGROUND, JobState
from spdb.models.columns import BIG
from spdb.models.deletions import deletions
from spdb.models.jobs import KEPT, jobs
from spdb.prepared import Prepared
from spdb.statements import moves
from spdb.statements.rows import changed, job_of

PAGE: Final = 64
"""Due rows looked at in one go."""

PUT_OFF_MS: Final = 5_000
"""When a job that waits for another of its name is looked at again, should nobody wake it (moves.wake_next does)."""

_earlier = jobs.alias("earlier")
# Scalar subqueries with a limit, not EXISTS: PostgreSQL may answer that by hashing a whole table for each page.
_EARLIER: Final = (
    select(_earlier.c.id)
    .where(
        _earlier.c.bucket == jobs.c.bucket,
        _earlier.c.object_name == jobs.c.object_name,
        _earlier.c.collect == literal_column("0"),
        _earlier.c.stored_at_ms < jobs.c.stored_at_ms,
        _earlier.c.due_at_ms.is_not(None),
    )
    .limit(1)
    .correlate(jobs)
    .scalar_subquery()
)
_DELETION: Final = (
    select(deletions.c.id)
    .where(deletions.c.bucket == jobs.c.bucket, deletions.c.object_name == jobs.c.object_name)
    .limit(1)
    .correlate(jobs)
    .scalar_subquery()
)
_DUE: Final = Prepared(
    select(jobs, or_(_EARLIER.is_not(None), _DELETION.is_not(None)).label("blocked"))
    .where(jobs.c.due_at_ms <= bindparam("b_now", type_=BIG))
    .order_by(jobs.c.due_at_ms, jobs.c.id)
    .limit(bindparam("b_limit"))
    .with_for_update(of=jobs, skip_locked=True, key_share=True)
)
_PUT_OFF: Final = Prepared(
    update(jobs).where(jobs.c.id == bindparam("b_id")).values(due_at_ms=bindparam("b_until", type_=BIG))
)
_LEASE: Final = Prepared(
    update(jobs)
    .where(jobs.c.id == bindparam("b_id"))
    .values(
        lease_owner=bindparam("b_owner"),
        lease_until_ms=bindparam("b_until", type_=BIG),
        due_at_ms=bindparam("b_until", type_=BIG),
        row_version=jobs.c.row_version + 1,
    )
)


def take(connection: Connection, owner: str, lease_ms: int, limit: int, now_ms: int) -> list[Job]:
    """Lease up to `limit` due jobs, those due longest first. Jobs of one name run one after the other, in the order of
    their acknowledgement; those that have to wait are put off, so that a crowd of them is not read again each time."""
    taken: list[Job] = []
    while len(taken) < limit:
        size = max(PAGE, limit)
        page = _DUE.all(connection, {"b_now": now_ms, "b_limit": size})
        free = [row for row in page if not row.blocked][: limit - len(taken)]
        blocked = [row.id for row in page if row.blocked]
        if free:
            taken += _lease(connection, free, owner, now_ms + lease_ms, now_ms)
        if blocked:
            _PUT_OFF.run_each(connection, [{"b_id": job_id, "b_until": now_ms + PUT_OFF_MS} for job_id in blocked])
        if len(page) < size:
            break
    return taken


def _lease(connection: Connection, rows: Sequence[Any], owner: str, until_ms: int, now_ms: int) -> list[Job]:
    _LEASE.run_each(connection, [{"b_id": row.id, "b_owner": owner, "b_until": until_ms} for row in rows])
    for row in rows:
        if row.lease_owner not in ("", owner):
            moves.add_note(
                connection,
                JobId(row.id),
                "lease taken over",
                now_ms,
                reason=f"the lease of {row.lease_owner} ran out",
                provider="",
                actor=owner,
            )
    return [
        changed(job_of(row), lease_owner=owner, lease_until_ms=until_ms, row_version=row.row_version + 1)
        for row in rows
    ]


_NEXT_DUE: Final = Prepared(
    select(jobs.c.due_at_ms).where(jobs.c.due_at_ms.is_not(None)).order_by(jobs.c.due_at_ms).limit(1)
)
"""The minimum, in words by which SQLite finds the index."""


def next_due_ms(connection: Connection) -> int | None:
    """When `take` may find something next; None: not before another put."""
    row = _NEXT_DUE.first(connection, {})
    return None if row is None else row.due_at_ms


_BACKLOG: Final = Prepared(
    select(func.count().label("queued")).select_from(
        select(jobs.c.id).where(jobs.c.due_at_ms.is_not(None)).limit(bindparam("b_most")).subquery()
    )
)


def backlog(connection: Connection, most: int) -> int:
    """Jobs on which work is to be expected; counts no further than `most`."""
    (row,) = _BACKLOG.all(connection, {"b_most": most})
    return int(row.queued)


_RELEASE: Final = Prepared(
    update(jobs)
    .where(jobs.c.id == bindparam("b_id"), jobs.c.lease_owner == bindparam("b_owner"), jobs.c.lease_owner != "")
    .values(
        lease_owner="",
        lease_until_ms=0,
        due_at_ms=case((jobs.c.due_at_ms.is_(None), null()), else_=jobs.c.next_attempt_at_ms),
        row_version=jobs.c.row_version + 1,
    )
)


def release(connection: Connection, job: Job) -> None:
    """Give the lease back; nothing when it is another's by now."""
    _RELEASE.run(connection, {"b_id": job.id, "b_owner": job.lease_owner})


def retry_now(connection: Connection, job_id: JobId, actor: str, now_ms: int) -> Job:
    """Due at once, whatever the retry policy said. As it is when someone works on it. NoSuchJob, IllegalMove."""
    row = connection.execute(select(jobs).where(jobs.c.id == job_id).with_for_update(key_share=True)).first()
    if row is None:
        raise NoSuchJob(job_id)
    job = job_of(row)
    if job.lease_until_ms > now_ms and job.state in BACKGROUND:
        return job
    _check_retry(connection, job, row)
    after = changed(
        job,
        attempts=0 if job.given_up else job.attempts,
        given_up=False,
        next_attempt_at_ms=now_ms,
        lease_owner="",
        lease_until_ms=0,
        row_version=job.row_version + 1,
        updated_at_ms=now_ms,
    )
    connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id)
        .values(
            attempts=after.attempts,
            given_up=False,
            next_attempt_at_ms=now_ms,
            due_at_ms=now_ms,
            lease_owner="",
            lease_until_ms=0,
            row_version=after.row_version,
            updated_at_ms=now_ms,
        )
    )
    moves.add_note(connection, job_id, "retry asked", now_ms, reason="", provider="", actor=actor)
    return after


def _check_retry(connection: Connection, job: Job, row: Row[Any]) -> None:
    """A job may go on unless it is over, is the uploader's, or a later put of its name has overtaken it."""
    if job.state not in BACKGROUND or row.collect != KEPT:
        raise IllegalMove(job.state.name, "retry")
    overtaken = connection.execute(
        select(jobs.c.id).where(
            and_(jobs.c.bucket == job.bucket, jobs.c.object_name == job.object_name, moves.IS_KEPT),
            jobs.c.stored_at_ms > row.stored_at_ms,
            or_(jobs.c.lease_owner != "", jobs.c.state > int(JobState.UPLOAD_OBJECT_DONE)),
        )
    ).first()
    if overtaken is not None:
        raise IllegalMove(job.state.name, "retry: a later put of this name has overtaken it")


_UNDER_WAY: Final = Prepared(
    select(jobs.c.due_at_ms, _DELETION.label("deletion"))
    .where(jobs.c.bucket == bindparam("b_bucket"), jobs.c.object_name == bindparam("b_name"))
    .order_by(case((jobs.c.due_at_ms.is_(None), 1), else_=0))
    .limit(1)
)


def under_way(connection: Connection, bucket: str, object_name: str) -> bool | None:
    row = _UNDER_WAY.first(connection, {"b_bucket": bucket, "b_name": object_name})
    return None if row is None else row.due_at_ms is not None and row.deletion is None


_ENDED_EMPTY: Final = Prepared(
    select(jobs.c.account)
    .where(
        jobs.c.bucket == bindparam("b_bucket"),
        jobs.c.object_name == bindparam("b_name"),
        jobs.c.payload_size == literal_column("0"),
        jobs.c.delegated.is_(True),
        jobs.c.object_id.is_(None),
        jobs.c.due_at_ms.is_(None),
        jobs.c.stored_at_ms.is_not(None),
    )
    .limit(1)
)


def ended_empty(connection: Connection, bucket: str, object_name: str) -> Address | None:
    row = _ENDED_EMPTY.first(connection, {"b_bucket": bucket, "b_name": object_name})
    return None if row is None else Address(row.account)
