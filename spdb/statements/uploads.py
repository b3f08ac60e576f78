"""The uploader's part of a job: from its first row to the acknowledgement."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    Connection,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    null,
    select,
    update,
)

from sp.domain.errors import JobMoved, NoSuchJob, ObjectNotCreated, UploadInProgress
from sp.domain.ids import JobId, ObjectId
from sp.domain.jobs import Job, Move, ObjectEntry, Precondition, PutOrder, StoredPayload
from sp.domain.lifecycle import FINAL, UPLOADING, JobEvent, JobState, advance
from spdb.models.columns import BIG
from spdb.models.jobs import COLLECTED, KEPT, jobs
from spdb.models.objects import objects
from spdb.models.resumables import resumables
from spdb.prepared import Prepared, for_dialects
from spdb.statements import moves, names, small_segments, tags
from spdb.statements.rows import changed, headers_text, job_of, job_values, join_checksums


def _inserting() -> Prepared:
    """One for each set of columns."""
    return for_dialects(lambda dialect: dialect.insert(jobs).on_conflict_do_nothing().returning(jobs.c.id))


_INSERT: Final = _inserting()
_INSERT_REFUSED: Final = _inserting()


def begin(connection: Connection, job_id: JobId, order: PutOrder, actor: str, lease_ms: int, now_ms: int) -> Job | None:
    """A new job that is uploading; None when the id is taken. UploadInProgress, ObjectNotCreated, InvalidRequest."""
    names.check_names(order.bucket, order.object_name)
    if order.object_id is not None:
        _check_alone(connection, order, order.object_id, now_ms)
    job = _new_job(job_id, order, actor, lease_ms, now_ms)
    row = {**job_values(job), "history_seq": 2, "stored_at_ms": None, "due_at_ms": None, "collect": KEPT}
    if _INSERT.first(connection, row) is None:
        return None
    moves.add_history(connection, job_id, 2, now_ms, _born(job, actor))
    if order.tags:
        tags.put(connection, job_id, order.tags)
    return job


def _born(job: Job, actor: str) -> list[moves.Line]:
    """What the history of a job that is uploading begins with."""
    born = JobState.INIT_UNSPECIFIED
    return [
        moves.Line(born, born, "created", 0, "", "", actor),
        moves.Line(born, job.state, JobEvent.UPLOAD_STARTED, 0, "", "", actor),
    ]


def _new_job(job_id: JobId, order: PutOrder, actor: str, lease_ms: int, now_ms: int) -> Job:
    return Job(
        id=job_id,
        state=advance(JobState.INIT_UNSPECIFIED, JobEvent.UPLOAD_STARTED),
        row_version=1,
        bucket=order.bucket,
        object_name=order.object_name,
        account=order.account,
        visibility=order.visibility,
        headers=order.headers,
        params=order.params,
        delegated=order.delegated,
        object_id=order.object_id,
        version=order.version,
        payload_size=None,
        root=None,
        segment_checksums=(),
        attempts=0,
        next_attempt_at_ms=None,
        given_up=False,
        lease_owner=actor,
        lease_until_ms=now_ms + lease_ms,
        tx_hash=None,
        error="",
        request_id=names.clean(order.request_id),
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
    )


_RIVALS: Final = Prepared(
    select(jobs.c.id, jobs.c.state, jobs.c.lease_until_ms, jobs.c.given_up).where(
        jobs.c.object_id == bindparam("b_object_id"), jobs.c.version == bindparam("b_version")
    )
)


def _check_alone(connection: Connection, order: PutOrder, object_id: ObjectId, now_ms: int) -> None:
    """An object that is on chain already takes one payload: no other job may be bringing it, or have brought it."""
    names.lock(connection, "object", object_id, order.version)
    for rival in _RIVALS.all(connection, {"b_object_id": object_id, "b_version": order.version}):
        state = JobState(rival.state)
        if state in UPLOADING:
            if rival.lease_until_ms > now_ms and not _superseded(connection, JobId(rival.id), now_ms):
                raise UploadInProgress(order.bucket, order.object_name)
        elif state is JobState.SEAL_OBJECT_DONE or not (state in FINAL or rival.given_up):
            raise ObjectNotCreated(order.bucket, order.object_name, state.name)


def _superseded(connection: Connection, job_id: JobId, now_ms: int) -> bool:
    """Give up a resumable upload that waits for its next part: its object is put in another way. False when it is
    none, or when a part of it is being received."""
    gone = connection.execute(
        delete(resumables).where(resumables.c.job_id == job_id, resumables.c.held_until_ms <= now_ms)
    ).rowcount
    if gone:
        reason = "the object was put in another way"
        fail(connection, job_id, reason, "uploader", now_ms, only_expired=False)
    return gone > 0


_UNTIL: Final = bindparam("b_until", type_=BIG)
_RENEW: Final = Prepared(
    update(jobs)
    .where(jobs.c.id == bindparam("b_id"), jobs.c.lease_owner == bindparam("b_owner"), jobs.c.lease_owner != "")
    .values(
        lease_until_ms=_UNTIL,
        due_at_ms=case(
            (jobs.c.due_at_ms.is_(None), null()),
            (jobs.c.next_attempt_at_ms > _UNTIL, jobs.c.next_attempt_at_ms),
            else_=_UNTIL,
        ),
    )
    .returning(jobs.c.id)
)


def renew(connection: Connection, job_id: JobId, owner: str, until_ms: int) -> bool:
    """False when the lease is another's or the work is over. One that ran out while nobody took the job goes on."""
    return _RENEW.first(connection, {"b_id": job_id, "b_owner": owner, "b_until": until_ms}) is not None


_before = jobs.alias("before")
_NEXT_STORED_AT: Final = (
    select(func.coalesce(func.max(_before.c.stored_at_ms) + 1, 0))
    .where(
        _before.c.bucket == bindparam("b_bucket"),
        _before.c.object_name == bindparam("b_name"),
        _before.c.collect == literal_column("0"),
    )
    .scalar_subquery()
)
_NOW: Final = bindparam("b_now", type_=BIG)
_FINISH: Final = Prepared(
    update(jobs)
    .where(
        jobs.c.id == bindparam("b_id"),
        jobs.c.state == int(JobState.UPLOAD_OBJECT_DOING),
        jobs.c.row_version == bindparam("b_row_version"),
        jobs.c.lease_owner == bindparam("b_owner"),
        moves.IS_KEPT,
    )
    .values(
        state=int(JobState.UPLOAD_OBJECT_DONE),
        row_version=jobs.c.row_version + 1,
        history_seq=jobs.c.history_seq + 1,
        payload_size=bindparam("b_payload_size"),
        root=bindparam("b_root"),
        segment_checksums=bindparam("b_segment_checksums"),
        headers=bindparam("b_headers"),
        stored_at_ms=case((_NEXT_STORED_AT > _NOW, _NEXT_STORED_AT), else_=_NOW),
        lease_owner="",
        lease_until_ms=0,
        next_attempt_at_ms=_NOW,
        due_at_ms=_NOW,
        updated_at_ms=_NOW,
    )
    .returning(jobs.c.history_seq, jobs.c.stored_at_ms)
)


def finish(
    connection: Connection,
    job: Job,
    stored: StoredPayload,
    actor: str,
    now_ms: int,
    precondition: Precondition | None = None,
) -> Job:
    """The acknowledgement: the payload is the name's content from here on, and the row is in the queue.

    JobMoved; PreconditionFailed and ConditionalRequestConflict, with nothing changed.
    """
    state = advance(job.state, JobEvent.PAYLOAD_STORED)
    names.lock(connection, "name", job.bucket, job.object_name)  # the order of puts of one name is decided here
    if precondition is not None:
        precondition.check(_current_etag(connection, job.bucket, job.object_name))
    row = _FINISH.first(connection, _finish_values(job, stored, now_ms))
    if row is None:
        raise JobMoved(job.id)
    line = moves.Line(job.state, state, JobEvent.PAYLOAD_STORED, job.attempts, "", "", actor)
    moves.add_history(connection, job.id, row.history_seq, now_ms, [line])
    _link(connection, job, row.stored_at_ms)
    return _acknowledged(job, stored, now_ms)


def _acknowledged(job: Job, stored: StoredPayload, now_ms: int) -> Job:
    return changed(
        job,
        state=advance(job.state, JobEvent.PAYLOAD_STORED),
        row_version=job.row_version + 1,
        payload_size=stored.payload_size,
        root=stored.root,
        segment_checksums=stored.segment_checksums,
        headers={**job.headers, **stored.headers},
        lease_owner="",
        lease_until_ms=0,
        next_attempt_at_ms=now_ms,
        updated_at_ms=now_ms,
    )


_CURRENT: Final = Prepared(
    select(jobs, objects.c.updated_at_ms.label("linked_at_ms"))
    .join(objects, objects.c.job_id == jobs.c.id)
    .where(objects.c.bucket == bindparam("b_bucket"), objects.c.object_name == bindparam("b_name"))
    .with_for_update(of=objects)
)


def _current_etag(connection: Connection, bucket: str, object_name: str) -> str | None:
    """Of what the name means; None for nothing. A deletion of it waits until this transaction has ended."""
    row = _CURRENT.first(connection, {"b_bucket": bucket, "b_name": object_name})
    return None if row is None else ObjectEntry(job_of(row), row.linked_at_ms).etag


def _finish_values(job: Job, stored: StoredPayload, now_ms: int) -> dict[str, Any]:
    return {
        "b_id": job.id,
        "b_row_version": job.row_version,
        "b_owner": job.lease_owner,
        "b_bucket": job.bucket,
        "b_name": job.object_name,
        "b_payload_size": stored.payload_size,
        "b_root": stored.root,
        "b_segment_checksums": join_checksums(stored.segment_checksums),
        "b_headers": headers_text({**job.headers, **stored.headers}),
        "b_now": now_ms,
    }


def _upsert(dialect: Any) -> Any:
    statement = dialect.insert(objects)
    return statement.on_conflict_do_update(
        index_elements=[objects.c.bucket, objects.c.object_name],
        set_={"job_id": statement.excluded.job_id, "updated_at_ms": statement.excluded.updated_at_ms},
    )


_LINK: Final = for_dialects(_upsert)


def _link(connection: Connection, job: Job, stored_at_ms: int) -> None:
    """The name means this job now. The last put to be acknowledged wins, whichever began first (S3)."""
    _LINK.run(
        connection,
        {"bucket": job.bucket, "object_name": job.object_name, "job_id": job.id, "updated_at_ms": stored_at_ms},
    )


def _stored_insert(dialect: Any) -> Any:
    """A row that is stored from the beginning. Its values are bound by their column's name behind `v_`."""
    now = bindparam("b_now", type_=BIG)
    values: dict[str, Any] = {c.name: bindparam(f"v_{c.name}", type_=c.type) for c in jobs.c if c.name not in _UNSAID}
    return (
        dialect.insert(jobs)
        .values(**values, stored_at_ms=case((now < _NEXT_STORED_AT, _NEXT_STORED_AT), else_=now))
        .on_conflict_do_nothing()
        .returning(jobs.c.stored_at_ms)
    )


_UNSAID: Final = frozenset({"stored_at_ms", "marked_at_ms", "collected_at_ms"})
_INSERT_STORED: Final = for_dialects(_stored_insert)


def put_small(
    connection: Connection,
    job_id: JobId,
    order: PutOrder,
    stored: StoredPayload,
    payload: bytes,
    actor: str,
    now_ms: int,
) -> Job | None:
    """`begin` and `finish` in one, the payload beside them; None when the id is taken. What both of them raise, but for
    JobMoved, with nothing changed."""
    names.check_names(order.bucket, order.object_name)
    if order.object_id is not None:
        _check_alone(connection, order, order.object_id, now_ms)
    names.lock(connection, "name", order.bucket, order.object_name)
    if order.precondition is not None:
        order.precondition.check(_current_etag(connection, order.bucket, order.object_name))
    doing = _new_job(job_id, order, actor, 0, now_ms)
    job = changed(_acknowledged(doing, stored, now_ms), row_version=1)
    row = {**job_values(job), "history_seq": 3, "due_at_ms": now_ms, "collect": KEPT}
    values = {f"v_{name}": value for name, value in row.items()}
    names_and_time = {"b_bucket": order.bucket, "b_name": order.object_name, "b_now": now_ms}
    inserted = _INSERT_STORED.first(connection, values | names_and_time)
    if inserted is None:
        return None
    lines = [*_born(doing, actor), moves.Line(doing.state, job.state, JobEvent.PAYLOAD_STORED, 0, "", "", actor)]
    moves.add_history(connection, job_id, 3, now_ms, lines)
    if payload:
        small_segments.put(connection, job_id, payload)
    if order.tags:
        tags.put(connection, job_id, order.tags)
    _link(connection, job, inserted.stored_at_ms)
    return job


def refuse_small(
    connection: Connection, job_id: JobId, order: PutOrder, reason: str, actor: str, now_ms: int
) -> Job | None:
    """A put that came to nothing before there was a row or a byte of it: the operator's record, without pieces from the
    beginning. None when the id is taken. InvalidRequest."""
    names.check_names(order.bucket, order.object_name)
    doing = _new_job(job_id, order, actor, 0, now_ms)
    job, (failed,) = moves.plan(doing, [Move(JobEvent.UPLOAD_FAILED, actor, reason)], now_ms)
    job = changed(job, row_version=1)
    none = dict.fromkeys(("stored_at_ms", "due_at_ms"))
    row = {**job_values(job), **none, "history_seq": 3, "collect": COLLECTED, "collected_at_ms": now_ms}
    if _INSERT_REFUSED.first(connection, row) is None:
        return None
    moves.add_history(connection, job_id, 3, now_ms, [*_born(doing, actor), failed])
    return job


def fail(connection: Connection, job_id: JobId, reason: str, actor: str, now_ms: int, *, only_expired: bool) -> None:
    """To UPLOAD_OBJECT_ERROR, if it is still uploading (and, when asked, has no live lease). NoSuchJob."""
    row = connection.execute(select(jobs).where(jobs.c.id == job_id).with_for_update(key_share=True)).first()
    if row is None:
        raise NoSuchJob(job_id)
    job = job_of(row)
    if job.state not in UPLOADING or (only_expired and job.lease_until_ms > now_ms):
        return
    moves.apply_moves(connection, job, [Move(JobEvent.UPLOAD_FAILED, actor, reason)], now_ms)


_EXPIRED: Final = Prepared(
    select(jobs)
    .where(jobs.c.state < literal_column("2"), jobs.c.lease_until_ms <= bindparam("b_now"))
    .order_by(jobs.c.lease_until_ms)
    .limit(bindparam("b_limit"))
)


def expired(connection: Connection, limit: int, now_ms: int) -> list[Job]:
    """Uploads whose uploader is gone, the longest gone first."""
    return [job_of(row) for row in _EXPIRED.all(connection, {"b_now": now_ms, "b_limit": limit})]
