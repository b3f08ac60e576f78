"""Columns that other providers take over: planned, taken by lease, and recorded beside their jobs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from sp.domain.approvals import Approval, SignedApproval
from sp.domain.errors import JobMoved
from sp.domain.ids import Address, Checksum, JobId, RedundancyIndex, Signature
from sp.domain.jobs import Secondary, SecondaryState
from sp.domain.lifecycle import JobState
from sp.domain.swaps import SwapIn, Vacancy
from spdb.models.jobs import KEPT, jobs, secondaries
from spdb.models.swap_ins import swap_ins
from spdb.prepared import Prepared
from spdb.statements import moves, names
from spdb.statements.rows import approval_values, job_of, secondary_values

_DONE: Final = int(SecondaryState.DONE)
_NO_SUCCESSOR: Final[dict[str, Any]] = dict.fromkeys(
    ("provider", "asker", "expires_at_s", "expires_height", "approval_signature", "integrity_hash", "signature")
)
_IS_SEALED: Final = and_(jobs.c.state == int(JobState.SEAL_OBJECT_DONE), jobs.c.collect == KEPT)
_PAGE: Final = Prepared(
    select(jobs.c.id).where(jobs.c.id >= bindparam("b_at")).order_by(jobs.c.id).limit(bindparam("b_limit"))
)


def vacancies(
    connection: Connection, at: int, limit: int, leaving: Collection[Address]
) -> tuple[list[Vacancy], JobId | None]:
    """Of the next `limit` jobs from id `at` on: columns of sealed puts that are with one of these providers. And the id
    to go on from, None at the end."""
    page = _PAGE.all(connection, {"b_at": at, "b_limit": limit})
    if not page:
        return [], None
    rows = connection.execute(
        select(secondaries.c.job_id, secondaries.c.redundancy_index, secondaries.c.provider)
        .join(jobs, jobs.c.id == secondaries.c.job_id)
        .where(
            secondaries.c.job_id.between(page[0].id, page[-1].id),
            secondaries.c.state == _DONE,
            secondaries.c.provider.in_(leaving),
            _IS_SEALED,
        )
        .order_by(secondaries.c.job_id, secondaries.c.redundancy_index)
    )
    found = [Vacancy(JobId(r.job_id), RedundancyIndex(r.redundancy_index), Address(r.provider)) for r in rows]
    return found, JobId(page[-1].id + 1) if len(page) == limit else None


def plan(connection: Connection, found: Sequence[Vacancy], now_ms: int) -> int:
    """Note them as work to be done; those that are noted already stay as they are. How many are new."""
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(swap_ins).on_conflict_do_nothing().returning(swap_ins.c.job_id)
    new = 0
    for each in found:
        row = {
            **_NO_SUCCESSOR,
            "job_id": each.job_id,
            "redundancy_index": int(each.redundancy_index),
            "target": each.target,
            "attempts": 0,
            "due_at_ms": now_ms,
            "lease_owner": "",
            "error": "",
            "created_at_ms": now_ms,
        }
        new += connection.execute(statement, row).first() is not None
    return new


_SELECT: Final = select(jobs, *(column.label(f"s_{column.name}") for column in swap_ins.c)).join(
    swap_ins, swap_ins.c.job_id == jobs.c.id
)
_DUE: Final = Prepared(
    _SELECT.where(swap_ins.c.due_at_ms <= bindparam("b_now"))
    .order_by(swap_ins.c.due_at_ms, swap_ins.c.job_id)
    .limit(bindparam("b_limit"))
    .with_for_update(of=swap_ins, skip_locked=True)
)
_LEASE: Final = Prepared(
    update(swap_ins)
    .where(swap_ins.c.job_id == bindparam("b_id"), swap_ins.c.redundancy_index == bindparam("b_index"))
    .values(lease_owner=bindparam("b_owner"), due_at_ms=bindparam("b_until"))
)


def take(connection: Connection, owner: str, lease_ms: int, limit: int, now_ms: int) -> list[SwapIn]:
    """Lease up to `limit` that are due, the longest due first. Columns of one object one after the other, since each
    changes who may take the next."""
    rows = _DUE.all(connection, {"b_now": now_ms, "b_limit": limit})
    one_each = {row.id: row for row in reversed(rows)}
    for row in one_each.values():
        _LEASE.run(
            connection,
            {"b_id": row.id, "b_index": row.s_redundancy_index, "b_owner": owner, "b_until": now_ms + lease_ms},
        )
    return [_swap_in(row) for row in one_each.values()]


def renew(connection: Connection, swap: SwapIn, owner: str, until_ms: int) -> bool:
    """False when another has taken it, or it is done."""
    return _change(connection, swap, owner, due_at_ms=until_ms)


def chosen(connection: Connection, swap: SwapIn, owner: str, approval: SignedApproval) -> None:
    """A successor has agreed. JobMoved when the lease is lost."""
    values = approval_values(approval)
    _changed(connection, swap, owner, **values, integrity_hash=None, signature=None)


def signed(connection: Connection, swap: SwapIn, owner: str, integrity_hash: Checksum, signature: Signature) -> None:
    """The successor has signed, and its receipt is verified. JobMoved when the lease is lost."""
    _changed(connection, swap, owner, integrity_hash=bytes(integrity_hash), signature=bytes(signature))


def failed(connection: Connection, swap: SwapIn, owner: str, error: str, next_ms: int, *, another: bool) -> None:
    """Back to the queue until `next_ms`. another: with another successor. Nothing when the lease is lost."""
    forget = _NO_SUCCESSOR if another else {}
    _change(
        connection,
        swap,
        owner,
        attempts=swap_ins.c.attempts + 1,
        error=names.clean(error),
        due_at_ms=next_ms,
        lease_owner="",
        **forget,
    )


def forget(connection: Connection, swap: SwapIn) -> None:
    """There is nothing left to take over."""
    connection.execute(delete(swap_ins).where(_is(swap.job.id, swap.redundancy_index)))


def done(connection: Connection, swap: SwapIn, successor: Secondary, actor: str, now_ms: int) -> bool:
    """The chain says that the column is with `successor` now: so do the job's rows, and its history. Whoever finds out
    may record it, once: False when that is done, or the put is sealed here no more."""
    job = connection.execute(
        select(jobs.c.id).where(jobs.c.id == swap.job.id, _IS_SEALED).with_for_update(key_share=True)
    ).first()
    forget(connection, swap)
    if job is None or not _retire(connection, swap, successor, now_ms):
        return False
    ordinal = connection.execute(
        select(func.max(secondaries.c.ordinal) + 1).where(secondaries.c.job_id == swap.job.id)
    ).scalar_one()
    connection.execute(insert(secondaries), secondary_values(successor, ordinal))
    reason = f"column {swap.redundancy_index}: {swap.target} leaves; {successor.provider} has taken its place"
    moves.add_note(
        connection, swap.job.id, "secondary replaced", now_ms, reason=reason, provider=swap.target, actor=actor
    )
    return True


def _retire(connection: Connection, swap: SwapIn, successor: Secondary, now_ms: int) -> bool:
    retired = connection.execute(
        update(secondaries)
        .where(
            secondaries.c.job_id == swap.job.id,
            secondaries.c.redundancy_index == int(swap.redundancy_index),
            secondaries.c.provider != successor.provider,
            secondaries.c.state == _DONE,
        )
        .values(state=int(SecondaryState.FAILED), error="left the network", ended_at_ms=now_ms)
    )
    return retired.rowcount == 1


def waiting(connection: Connection, limit: int) -> list[SwapIn]:
    """What is to be done, the oldest first."""
    rows = connection.execute(_SELECT.order_by(swap_ins.c.created_at_ms, swap_ins.c.job_id).limit(limit))
    return [_swap_in(row) for row in rows]


def counts(connection: Connection) -> dict[Address, int]:
    """How many columns are still to be taken over from whom."""
    rows = connection.execute(select(swap_ins.c.target, func.count().label("columns")).group_by(swap_ins.c.target))
    return {Address(row.target): row.columns for row in rows}


def _is(job_id: JobId, index: RedundancyIndex) -> ColumnElement[bool]:
    return and_(swap_ins.c.job_id == job_id, swap_ins.c.redundancy_index == int(index))


def _change(connection: Connection, swap: SwapIn, owner: str, **values: Any) -> bool:
    mine = and_(_is(swap.job.id, swap.redundancy_index), swap_ins.c.lease_owner == owner)
    return connection.execute(update(swap_ins).where(mine).values(**values)).rowcount == 1


def _changed(connection: Connection, swap: SwapIn, owner: str, **values: Any) -> None:
    if not _change(connection, swap, owner, **values):
        raise JobMoved(swap.job.id)


def _swap_in(row: Row[Any]) -> SwapIn:
    job = job_of(row)
    approval = None
    if row.s_provider is not None:
        asked = Approval(
            job.object_ref(), Address(row.s_asker), Address(row.s_provider), row.s_expires_at_s, row.s_expires_height
        )
        approval = SignedApproval(asked, row.s_approval_signature)
    return SwapIn(
        job,
        RedundancyIndex(row.s_redundancy_index),
        Address(row.s_target),
        approval,
        None if row.s_integrity_hash is None else Checksum(row.s_integrity_hash),
        None if row.s_signature is None else Signature(row.s_signature),
        row.s_attempts,
        row.s_due_at_ms,
        row.s_error,
        row.s_created_at_ms,
    )
