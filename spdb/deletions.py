"""Deletions under way: the name is gone here already, the chain and the pieces follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, func, select, update

from sp.domain.ids import Address, JobId, ObjectId
from sp.domain.jobs import Move
from sp.domain.lifecycle import FINAL, JobEvent
from spdb.database import Clock, Database
from spdb.models.columns import BIG
from spdb.models.deletions import deletions
from spdb.models.jobs import TO_COLLECT, jobs
from spdb.prepared import Prepared
from spdb.statements import moves, names
from spdb.statements.rows import job_of


@dataclass(frozen=True, slots=True)
class Deletion:
    """One name that was removed here and has to go on chain.

    account: who asked; job_id: of the put that the name meant; object_id, version: of its object, None while it has
    none on chain (it may get one meanwhile: read anew with every `due`)
    attempts, error: failures so far and the last one's reason; *_ms: unix ms
    """

    id: int
    bucket: str
    object_name: str
    account: Address
    job_id: JobId
    object_id: ObjectId | None
    version: int
    requested_at_ms: int
    request_id: str
    attempts: int
    next_attempt_at_ms: int
    error: str


@dataclass(frozen=True, slots=True)
class Deletions:
    db: Database
    clock: Clock

    async def due(self, limit: int) -> list[Deletion]:
        """Those to be attempted now, the longest due first."""
        now = self.clock.now_ms()
        return await self.db.read(lambda c: _due(c, limit, now))

    async def done(self, deletion_id: int, actor: str = "deletions") -> None:
        """The chain has no such object any more. The removed put and those of the name before it are garbage, ended if
        they were still being worked on; puts acknowledged after the removal stay. Nothing when it is done already."""
        now = self.clock.now_ms()
        await self.db.write(lambda c: _done(c, deletion_id, actor, now))

    async def postpone(self, deletion_id: int, error: str, next_attempt_at_ms: int) -> None:
        """One attempt has failed."""
        await self.db.write(lambda c: _postpone(c, deletion_id, error, next_attempt_at_ms))

    async def next_due_ms(self) -> int | None:
        """When to call `due` again (unix ms); None: there is no deletion."""
        return await self.db.read(lambda c: c.execute(select(func.min(deletions.c.next_attempt_at_ms))).scalar())

    async def count(self) -> int:
        """How many are pending."""
        return await self.db.read(lambda c: c.execute(select(func.count()).select_from(deletions)).scalar_one())


_DUE: Final = Prepared(
    select(
        deletions,
        func.coalesce(jobs.c.object_id, deletions.c.object_id).label("known_object_id"),
        func.coalesce(jobs.c.version, deletions.c.version).label("known_version"),
    )
    .outerjoin(jobs, jobs.c.id == deletions.c.job_id)
    .where(deletions.c.next_attempt_at_ms <= bindparam("b_now", type_=BIG))
    .order_by(deletions.c.next_attempt_at_ms, deletions.c.id)
    .limit(bindparam("b_limit"))
)


def _due(connection: Connection, limit: int, now_ms: int) -> list[Deletion]:
    return [_deletion_of(row) for row in _DUE.all(connection, {"b_now": now_ms, "b_limit": limit})]


def _deletion_of(row: Row[Any]) -> Deletion:
    return Deletion(
        row.id,
        row.bucket,
        row.object_name,
        Address(row.account),
        JobId(row.job_id),
        None if row.known_object_id is None else ObjectId(row.known_object_id),
        row.known_version,
        row.requested_at_ms,
        row.request_id,
        row.attempts,
        row.next_attempt_at_ms,
        row.error,
    )


def _done(connection: Connection, deletion_id: int, actor: str, now_ms: int) -> None:
    gone = connection.execute(
        delete(deletions)
        .where(deletions.c.id == deletion_id)
        .returning(deletions.c.bucket, deletions.c.object_name, deletions.c.stored_at_ms)
    ).first()
    if gone is None:
        return
    rows = connection.execute(
        select(jobs)
        .where(
            jobs.c.bucket == gone.bucket,
            jobs.c.object_name == gone.object_name,
            jobs.c.stored_at_ms <= gone.stored_at_ms,
            moves.IS_KEPT,
        )
        .order_by(jobs.c.stored_at_ms)
        .with_for_update(key_share=True)
    ).all()
    for row in rows:
        job = job_of(row)
        if job.state not in FINAL:
            moves.apply_moves(connection, job, [Move(JobEvent.DISCONTINUED, actor, "deleted")], now_ms)
    finished = [row.id for row in rows if row.state in FINAL]
    if finished:
        connection.execute(
            update(jobs)
            .where(jobs.c.id.in_(finished))
            .values(collect=TO_COLLECT, marked_at_ms=now_ms, row_version=jobs.c.row_version + 1)
        )
    moves.wake_next(connection, gone.bucket, gone.object_name)


def _postpone(connection: Connection, deletion_id: int, error: str, next_attempt_at_ms: int) -> None:
    connection.execute(
        update(deletions)
        .where(deletions.c.id == deletion_id)
        .values(attempts=deletions.c.attempts + 1, error=names.clean(error), next_attempt_at_ms=next_attempt_at_ms)
    )
