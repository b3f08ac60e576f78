"""Who keeps which column of a job's object. Each column's task writes its own row, fenced by the job's lease."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Table, bindparam, delete, exists, func, insert, select, update

from sp.domain.approvals import SignedApproval
from sp.domain.errors import InvalidRequest, JobMoved, NoSuchJob
from sp.domain.ids import Address, Checksum, JobId, RedundancyIndex, Signature
from sp.domain.jobs import Job, Move, Secondary, SecondaryState
from spdb.models.columns import BIG
from spdb.models.jobs import jobs, secondaries, spares
from spdb.prepared import Prepared
from spdb.statements import moves, names
from spdb.statements.rows import (
    approval_of,
    approval_values,
    job_of,
    secondary_of,
    secondary_values,
)

_FAILED: Final = int(SecondaryState.FAILED)


_CHOSEN_ANEW: Final = Prepared(
    update(secondaries)
    .where(secondaries.c.job_id == bindparam("b_id"), secondaries.c.state != _FAILED)
    .values(state=_FAILED, error="chosen anew", ended_at_ms=bindparam("b_now"))
)
_DELETE_SPARES: Final = Prepared(delete(spares).where(spares.c.job_id == bindparam("b_id")))


def choose(
    connection: Connection,
    job: Job,
    chosen: Sequence[Secondary],
    spare: Sequence[SignedApproval],
    steps: Sequence[Move],
    now_ms: int,
) -> Job:
    """Store the ordered secondaries and the spares together with the moves. Those chosen before count as failed."""
    job = moves.apply_moves(connection, job, steps, now_ms)
    _check_subject(job, [secondary.approval for secondary in chosen] + list(spare))
    _CHOSEN_ANEW.run(connection, {"b_id": job.id, "b_now": now_ms})
    _DELETE_SPARES.run(connection, {"b_id": job.id})
    _insert(connection, chosen, _next_ordinal(connection, job.id))
    _insert_spares(connection, job.id, spare)
    return job


def add_spares(connection: Connection, job: Job, spare: Sequence[SignedApproval], now_ms: int) -> None:
    """More providers to fall back on; a newer approval of one known already takes the older's place."""
    _fence(connection, job, now_ms)
    _check_subject(job, spare)
    connection.execute(
        delete(spares).where(
            spares.c.job_id == job.id, spares.c.provider.in_([signed.approval.approver for signed in spare])
        )
    )
    _insert_spares(connection, job.id, spare)


def replace(
    connection: Connection,
    job: Job,
    index: RedundancyIndex,
    failed: Address,
    error: str,
    replacement: Secondary,
    now_ms: int,
) -> None:
    """Another provider takes a column over from a failed one, which stays recorded as failed. JobMoved."""
    _fence(connection, job, now_ms)
    _check_subject(job, [replacement.approval])
    if replacement.redundancy_index != index:
        raise InvalidRequest("a replacement takes the column of the one it replaces")
    _retire(connection, job.id, index, failed, error, now_ms)
    connection.execute(delete(spares).where(spares.c.job_id == job.id, spares.c.provider == replacement.provider))
    _insert(connection, [replacement], _next_ordinal(connection, job.id))
    reason = f"column {index}: {error}; {replacement.provider} takes its place"
    moves.add_note(
        connection, job.id, "secondary replaced", now_ms, reason=reason, provider=failed, actor=job.lease_owner
    )


def _retire(
    connection: Connection, job_id: JobId, index: RedundancyIndex, failed: Address, error: str, now_ms: int
) -> None:
    """`failed` has the column, or had it last: it has it no more. JobMoved when the column is another's."""
    last = connection.execute(
        select(secondaries.c.ordinal, secondaries.c.provider, secondaries.c.state)
        .where(secondaries.c.job_id == job_id, secondaries.c.redundancy_index == int(index))
        .order_by(secondaries.c.ordinal.desc())
        .limit(1)
    ).first()
    if last is None or last.provider != failed:
        raise JobMoved(job_id)
    if last.state != _FAILED:
        connection.execute(
            update(secondaries)
            .where(secondaries.c.job_id == job_id, secondaries.c.ordinal == last.ordinal)
            .values(state=_FAILED, error=names.clean(error), ended_at_ms=now_ms)
        )


def _last_of(table: Table) -> Prepared:
    return Prepared(select(func.max(table.c.ordinal).label("ordinal")).where(table.c.job_id == bindparam("b_id")))


_LAST_CHOSEN: Final = _last_of(secondaries)
_LAST_SPARE: Final = _last_of(spares)
_ADD: Final = Prepared(insert(secondaries))
_ADD_SPARES: Final = Prepared(insert(spares))


def _next_ordinal(connection: Connection, job_id: JobId) -> int:
    last: int | None = _LAST_CHOSEN.all(connection, {"b_id": job_id})[0].ordinal
    return 0 if last is None else last + 1


def _insert(connection: Connection, chosen: Sequence[Secondary], first: int) -> None:
    if chosen:
        _ADD.run_each(connection, [secondary_values(s, first + i) for i, s in enumerate(chosen)])


def _insert_spares(connection: Connection, job_id: JobId, spare: Sequence[SignedApproval]) -> None:
    if not spare:
        return
    last: int | None = _LAST_SPARE.all(connection, {"b_id": job_id})[0].ordinal
    first = 0 if last is None else last + 1
    one_each = {signed.approval.approver: signed for signed in spare}
    rows = [{**approval_values(s), "job_id": job_id, "ordinal": first + i} for i, s in enumerate(one_each.values())]
    _ADD_SPARES.run_each(connection, rows)


def _check_subject(job: Job, approvals: Sequence[SignedApproval]) -> None:
    """Rows keep of an approval what its job's row does not say: so it must be about the job's own object."""
    subject = job.object_ref() if approvals else None
    for signed in approvals:
        if signed.approval.object != subject:
            raise InvalidRequest(f"an approval of {signed.approval.approver} is about another object")


_FENCE: Final = Prepared(
    select(jobs.c.id)
    .where(
        jobs.c.id == bindparam("b_id"),
        jobs.c.lease_owner == bindparam("b_owner"),
        jobs.c.lease_owner != "",
        jobs.c.lease_until_ms > bindparam("b_now", type_=BIG),
    )
    .with_for_update(key_share=True)
)


def _fence(connection: Connection, job: Job, now_ms: int) -> None:
    """The caller still holds the lease it thinks it holds, and keeps it until the transaction ends. JobMoved."""
    if _FENCE.first(connection, {"b_id": job.id, "b_owner": job.lease_owner, "b_now": now_ms}) is None:
        raise JobMoved(job.id)


def _fenced(**values: Any) -> Prepared:
    """Change the row of a provider that has not failed, if the lease is still the caller's."""
    return Prepared(
        update(secondaries)
        .where(
            secondaries.c.job_id == bindparam("b_id"),
            secondaries.c.redundancy_index == bindparam("b_index"),
            secondaries.c.provider == bindparam("b_provider"),
            secondaries.c.state != _FAILED,
            exists().where(
                jobs.c.id == bindparam("b_id"),
                jobs.c.lease_owner == bindparam("b_owner"),
                jobs.c.lease_owner != "",
                jobs.c.lease_until_ms > bindparam("b_now", type_=BIG),
            ),
        )
        .values(**values)
        .returning(secondaries.c.ordinal)
    )


_STARTED: Final = _fenced(
    state=int(SecondaryState.REPLICATING),
    attempts=secondaries.c.attempts + 1,
    error="",
    integrity_hash=None,
    signature=None,
    started_at_ms=bindparam("b_now", type_=BIG),
    ended_at_ms=0,
)
_DONE: Final = _fenced(
    state=int(SecondaryState.DONE),
    error="",
    integrity_hash=bindparam("b_hash"),
    signature=bindparam("b_signature"),
    ended_at_ms=bindparam("b_now", type_=BIG),
)
_HAS_FAILED: Final = _fenced(state=_FAILED, error=bindparam("b_error"), ended_at_ms=bindparam("b_now", type_=BIG))


def _change(
    connection: Connection,
    statement: Prepared,
    job: Job,
    index: RedundancyIndex,
    provider: Address,
    now_ms: int,
    **values: Any,
) -> None:
    row = {"b_id": job.id, "b_index": int(index), "b_provider": provider, "b_owner": job.lease_owner, "b_now": now_ms}
    if statement.first(connection, row | values) is None:
        raise JobMoved(job.id)


def started(connection: Connection, job: Job, index: RedundancyIndex, provider: Address, now_ms: int) -> None:
    """An attempt begins. JobMoved when the lease is lost or the column is another provider's."""
    _change(connection, _STARTED, job, index, provider, now_ms)


def done(
    connection: Connection,
    job: Job,
    index: RedundancyIndex,
    provider: Address,
    integrity_hash: Checksum,
    signature: Signature,
    now_ms: int,
) -> None:
    """Its receipt came and was verified. JobMoved."""
    _change(connection, _DONE, job, index, provider, now_ms, b_hash=integrity_hash, b_signature=signature)


def failed(
    connection: Connection, job: Job, index: RedundancyIndex, provider: Address, error: str, now_ms: int
) -> None:
    """This provider is out for this job; the history names it. JobMoved."""
    _change(connection, _HAS_FAILED, job, index, provider, now_ms, b_error=names.clean(error))
    reason = f"column {index}: {error}"
    moves.add_note(
        connection, job.id, "secondary failed", now_ms, reason=reason, provider=provider, actor=job.lease_owner
    )


_ALL: Final = Prepared(
    select(secondaries).where(secondaries.c.job_id == bindparam("b_id")).order_by(secondaries.c.ordinal)
)
_ALL_SPARES: Final = Prepared(select(spares).where(spares.c.job_id == bindparam("b_id")).order_by(spares.c.ordinal))


def all_of(connection: Connection, job_id: JobId) -> list[Secondary]:
    """In the order they were chosen, failed ones too. NoSuchJob."""
    rows = _ALL.all(connection, {"b_id": job_id})
    job = _job(connection, job_id)
    return [secondary_of(row, job.object_ref()) for row in rows]


def spares_of(connection: Connection, job_id: JobId) -> list[SignedApproval]:
    """Best first. NoSuchJob."""
    rows = _ALL_SPARES.all(connection, {"b_id": job_id})
    job = _job(connection, job_id)
    return [approval_of(row, job.object_ref()) for row in rows]


_JOB: Final = Prepared(select(jobs).where(jobs.c.id == bindparam("b_id")))


def _job(connection: Connection, job_id: JobId) -> Job:
    row = _JOB.first(connection, {"b_id": job_id})
    if row is None:
        raise NoSuchJob(job_id)
    return job_of(row)
