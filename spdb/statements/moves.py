"""Move a job: compare-and-set on its row, its history, and what follows from the new state, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    case,
    delete,
    insert,
    literal_column,
    null,
    or_,
    select,
    update,
)

from sp.domain.errors import JobMoved, NoSuchJob
from sp.domain.ids import JobId
from sp.domain.jobs import Job, Move
from sp.domain.ledger import Visibility
from sp.domain.lifecycle import BACKGROUND, FINAL, RETRY_EVENT, JobState, advance
from spdb.models.columns import BIG
from spdb.models.jobs import KEPT, TO_COLLECT, history, jobs
from spdb.models.objects import objects
from spdb.prepared import Prepared
from spdb.statements import names
from spdb.statements.rows import changed

ERRORS: Final = frozenset({JobState.UPLOAD_OBJECT_ERROR, *RETRY_EVENT})

IS_KEPT: Final = jobs.c.collect == literal_column("0")
"""In these words, so that SQLite recognises the index ix_jobs_kept."""


@dataclass(frozen=True, slots=True)
class Line:
    """A history row that has no number yet."""

    from_state: JobState
    state: JobState
    event: str
    attempt: int
    reason: str
    provider: str
    actor: str


def plan(job: Job, moves: Sequence[Move], now_ms: int) -> tuple[Job, list[Line]]:
    """The job after `moves` and what its history will say: pure. IllegalMove."""
    lines = []
    for number, move in enumerate(moves, start=1):
        before = job.state
        news = _moved(job, move)
        if number == len(moves):
            news |= _settled(news, now_ms)
            news |= {"row_version": job.row_version + 1, "updated_at_ms": now_ms}
        job = changed(job, **news)
        lines.append(Line(before, job.state, move.event, job.attempts, move.reason, move.provider, move.actor))
    return job, lines


def _moved(job: Job, move: Move) -> dict[str, Any]:
    """What is new of the job, and what may be."""
    state = advance(job.state, move.event)
    news: dict[str, Any] = {
        "state": state,
        "error": names.clean(move.reason) if state in ERRORS else "",
        "next_attempt_at_ms": job.next_attempt_at_ms if move.next_attempt_at_ms is None else move.next_attempt_at_ms,
        "given_up": job.given_up if move.given_up is None else move.given_up,
    }
    if move.object_id is not None:
        news["object_id"] = move.object_id
    if move.version is not None:
        news["version"] = move.version
    if move.tx_hash is not None:
        news["tx_hash"] = move.tx_hash
    if move.attempts is not None:
        news["attempts"] = move.attempts
    if move.release_lease:
        news |= _NO_LEASE
    return news


_NO_LEASE: Final = {"lease_owner": "", "lease_until_ms": 0}


def _settled(news: dict[str, Any], now_ms: int) -> dict[str, Any]:
    """What gives a job a next attempt exactly if one is to be expected, and takes its lease when nothing is left to
    do."""
    state = news["state"]
    if state in FINAL:
        garbage = state is not JobState.SEAL_OBJECT_DONE
        return {"next_attempt_at_ms": None, "given_up": False, "collect": garbage, **_NO_LEASE}
    if news["given_up"] or state not in BACKGROUND:
        return {"next_attempt_at_ms": None}
    return {} if news["next_attempt_at_ms"] is not None else {"next_attempt_at_ms": now_ms}


_NEXT: Final = bindparam("b_next", type_=BIG)

_DUE_WHILE_LEASED: Final = case(
    (_NEXT.is_(None), null()), (jobs.c.lease_until_ms > _NEXT, jobs.c.lease_until_ms), else_=_NEXT
)


def _statement(*, release: bool) -> Prepared:
    """The guarded update. A lease that stays is read from the row: it may have been renewed since the job was read."""
    lease = {"lease_owner": "", "lease_until_ms": 0, "due_at_ms": _NEXT}
    return Prepared(
        update(jobs)
        .where(
            jobs.c.id == bindparam("b_id"),
            jobs.c.state == bindparam("b_from"),
            jobs.c.row_version == bindparam("b_row_version"),
            IS_KEPT,
        )
        .values(
            state=bindparam("b_state"),
            row_version=jobs.c.row_version + 1,
            history_seq=jobs.c.history_seq + bindparam("b_lines"),
            object_id=bindparam("b_object_id"),
            version=bindparam("b_version"),
            tx_hash=bindparam("b_tx_hash"),
            attempts=bindparam("b_attempts"),
            next_attempt_at_ms=_NEXT,
            given_up=bindparam("b_given_up"),
            error=bindparam("b_error"),
            updated_at_ms=bindparam("b_now"),
            collect=bindparam("b_collect"),
            marked_at_ms=bindparam("b_marked"),
            **(lease if release else {"due_at_ms": _DUE_WHILE_LEASED}),
        )
        .returning(jobs.c.history_seq, jobs.c.lease_until_ms, jobs.c.stored_at_ms)
    )


_MOVE: Final = {release: _statement(release=release) for release in (False, True)}

_ADD_HISTORY: Final = Prepared(insert(history))


def add_history(connection: Connection, job_id: JobId, last_seq: int, now_ms: int, lines: Sequence[Line]) -> None:
    """Write `lines`; last_seq: of the last of them, as the job's row now says."""
    first = last_seq - len(lines) + 1
    _ADD_HISTORY.run_each(
        connection, [_history_values(job_id, first + i, now_ms, line) for i, line in enumerate(lines)]
    )


def _history_values(job_id: JobId, seq: int, now_ms: int, line: Line) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "seq": seq,
        "at_ms": now_ms,
        "from_state": int(line.from_state),
        "state": int(line.state),
        "event": str(line.event),
        "attempt": line.attempt,
        "reason": names.clean(line.reason),
        "provider": names.clean(line.provider),
        "actor": line.actor,
    }


def apply_moves(connection: Connection, job: Job, moves: Sequence[Move], now_ms: int) -> Job:
    """Apply `moves` to the job as the caller read it. IllegalMove; JobMoved when its row is not that any more."""
    assert moves
    after, lines = plan(job, moves, now_ms)
    if after.state is JobState.OBJECT_DISCONTINUED:  # the index row first: every other writer takes them in this order
        _unlink(connection, after)
    return _store(connection, job, after, lines)


def postpone(
    connection: Connection, job: Job, error: str, attempts: int, next_ms: int | None, actor: str, now_ms: int
) -> Job:
    """A failed attempt that changes no state: the lease goes back, the row waits until `next_ms`, or is given up."""
    after = changed(
        job,
        error=names.clean(error),
        attempts=attempts,
        next_attempt_at_ms=next_ms,
        given_up=next_ms is None,
        lease_owner="",
        lease_until_ms=0,
        row_version=job.row_version + 1,
        updated_at_ms=now_ms,
    )
    return _store(connection, job, after, [Line(job.state, job.state, "attempt failed", attempts, error, "", actor)])


def _store(connection: Connection, job: Job, after: Job, lines: Sequence[Line]) -> Job:
    """Turn the row of `job` into `after`, with its history and what follows for others of the name. JobMoved."""
    now_ms = after.updated_at_ms
    row = _MOVE[not after.lease_owner].first(connection, _move_values(job, after, len(lines)))
    if row is None:
        raise JobMoved(job.id)
    add_history(connection, job.id, row.history_seq, now_ms, lines)
    if after.state is JobState.SEAL_OBJECT_DONE:
        mark_replaced(connection, after, row.stored_at_ms, now_ms)
    if after.next_attempt_at_ms is None:
        wake_next(connection, after.bucket, after.object_name)
    return after if after.lease_until_ms == row.lease_until_ms else changed(after, lease_until_ms=row.lease_until_ms)


def _move_values(job: Job, after: Job, lines: int) -> dict[str, Any]:
    marked_ms = 0 if after.state is JobState.UPLOAD_OBJECT_ERROR else after.updated_at_ms
    return {
        "b_id": job.id,
        "b_from": int(job.state),
        "b_row_version": job.row_version,
        "b_state": int(after.state),
        "b_lines": lines,
        "b_object_id": after.object_id,
        "b_version": after.version,
        "b_tx_hash": after.tx_hash,
        "b_attempts": after.attempts,
        "b_next": after.next_attempt_at_ms,
        "b_given_up": after.given_up,
        "b_error": after.error,
        "b_now": after.updated_at_ms,
        "b_collect": TO_COLLECT if after.collect else KEPT,
        "b_marked": marked_ms if after.collect else None,
    }


_UNLINK: Final = Prepared(
    delete(objects).where(
        objects.c.bucket == bindparam("b_bucket"),
        objects.c.object_name == bindparam("b_name"),
        objects.c.job_id == bindparam("b_id"),
    )
)


def _unlink(connection: Connection, job: Job) -> None:
    """A discontinued job's pieces go, so its name must not lead to them."""
    _UNLINK.run(connection, {"b_bucket": job.bucket, "b_name": job.object_name, "b_id": job.id})


_MARK_REPLACED: Final = Prepared(
    update(jobs)
    .where(
        jobs.c.bucket == bindparam("b_bucket"),
        jobs.c.object_name == bindparam("b_name"),
        IS_KEPT,
        jobs.c.stored_at_ms < bindparam("b_stored"),
        or_(jobs.c.state == int(JobState.SEAL_OBJECT_DONE), jobs.c.given_up),
    )
    .values(collect=TO_COLLECT, marked_at_ms=bindparam("b_now"), row_version=jobs.c.row_version + 1)
)


def mark_replaced(connection: Connection, job: Job, stored_at_ms: int, now_ms: int) -> None:
    """The name's content on chain is `job`'s now: what was put before it has no reader left."""
    _MARK_REPLACED.run(
        connection, {"b_bucket": job.bucket, "b_name": job.object_name, "b_stored": stored_at_ms, "b_now": now_ms}
    )


_first = jobs.alias("first")
_FIRST_OF_NAME: Final = (
    select(_first.c.id)
    .where(
        _first.c.bucket == bindparam("b_bucket"),
        _first.c.object_name == bindparam("b_name"),
        _first.c.collect == literal_column("0"),
        _first.c.due_at_ms.is_not(None),
    )
    .order_by(_first.c.stored_at_ms)
    .limit(1)
    .scalar_subquery()
)
_WAKE: Final = Prepared(
    update(jobs)
    .where(and_(jobs.c.id == _FIRST_OF_NAME, jobs.c.lease_owner == "", jobs.c.due_at_ms > jobs.c.next_attempt_at_ms))
    .values(due_at_ms=jobs.c.next_attempt_at_ms)
)


def wake_next(connection: Connection, bucket: str, object_name: str) -> None:
    """Show the queue the next job of a name at once; it may have been put off while others of the name came first."""
    _WAKE.run(connection, {"b_bucket": bucket, "b_name": object_name})


_SET_VISIBILITY: Final = Prepared(
    update(jobs)
    .where(
        jobs.c.id == bindparam("b_id"),
        jobs.c.object_id.is_(None),
        jobs.c.lease_until_ms <= bindparam("b_now", type_=BIG),
        IS_KEPT,
    )
    .values(visibility=bindparam("b_visibility"), row_version=jobs.c.row_version + 1)
    .returning(jobs.c.id)
)


def set_visibility(connection: Connection, job_id: JobId, visibility: Visibility, now_ms: int) -> bool:
    """While nobody is creating the object: a task node that holds the job may have sent the old one. NoSuchJob."""
    values = {"b_id": job_id, "b_visibility": int(visibility), "b_now": now_ms}
    if _SET_VISIBILITY.first(connection, values) is not None:
        return True
    if connection.execute(select(jobs.c.id).where(jobs.c.id == job_id)).first() is None:
        raise NoSuchJob(job_id)
    return False


_NOTE: Final = Prepared(
    update(jobs)
    .where(jobs.c.id == bindparam("b_id"))
    .values(history_seq=jobs.c.history_seq + 1)
    .returning(jobs.c.history_seq, jobs.c.state, jobs.c.attempts)
)


def add_note(
    connection: Connection, job_id: JobId, event: str, now_ms: int, *, reason: str, provider: str, actor: str
) -> bool:
    """A history row without a move. False when there is no such job."""
    row = _NOTE.first(connection, {"b_id": job_id})
    if row is None:
        return False
    state = JobState(row.state)
    line = Line(state, state, event, row.attempts, reason, provider, actor)
    add_history(connection, job_id, row.history_seq, now_ms, [line])
    return True
