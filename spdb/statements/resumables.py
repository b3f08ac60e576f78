"""The parts of resumable uploads: taken, added, finished, given up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, update

from sp.domain.errors import JobMoved, OffsetRefused, UploadInProgress
from sp.domain.ids import Address, Checksum, JobId
from sp.domain.jobs import Job, PutOrder, StoredPayload
from sp.domain.lifecycle import UPLOADING
from spdb.models.jobs import jobs
from spdb.models.resumables import resumables
from spdb.statements import names, uploads
from spdb.statements.rows import job_of, join_checksums, split_checksums

OWNER: Final = "resumable upload"
"""Lease owner of a job that waits for its next part, whichever process receives it."""


@dataclass(frozen=True, slots=True)
class Resumable:
    """checksums: of the segments that are durable, in order. holder: who receives a part; "" for nobody"""

    job: Job
    checksums: tuple[Checksum, ...]
    holder: str = ""

    @property
    def offset(self) -> int:
        """Bytes that are stored: only whole segments are, until the last part has come."""
        return len(self.checksums) * self.job.params.max_segment_size


@dataclass(frozen=True, slots=True)
class Hold:
    """until_ms: of the part; keep_until_ms: of the whole upload (both unix ms)"""

    holder: str
    until_ms: int
    keep_until_ms: int


_FIND: Final = select(
    jobs, resumables.c.segment_checksums.label("so_far"), resumables.c.holder, resumables.c.held_until_ms
).join(resumables, resumables.c.job_id == jobs.c.id)


def find(connection: Connection, bucket: str, object_name: str, account: Address) -> Resumable | None:
    if not (names.is_storable(bucket) and names.is_storable(object_name)):
        return None
    row = connection.execute(_FIND.where(_named(bucket, object_name, account))).first()
    return None if row is None else _under_way(row)


def take(
    connection: Connection, order: PutOrder, offset: int, hold: Hold, new_job_id: JobId, now_ms: int
) -> Resumable | None:
    """None when `new_job_id` is taken. See spdb.resumables."""
    names.check_names(order.bucket, order.object_name)
    names.lock(connection, "resumable", order.bucket, order.object_name)
    row = connection.execute(_FIND.where(_named(order.bucket, order.object_name, order.account))).first()
    found = None if row is None else _under_way(row)
    if row is not None and found is not None and row.holder and row.held_until_ms > now_ms:
        raise UploadInProgress(order.bucket, order.object_name)
    if found is not None and (found.job.object_id, found.job.version) != (order.object_id, order.version):
        uploads.fail(connection, found.job.id, "the object was created anew", OWNER, now_ms, only_expired=False)
        found = None
    stored = found.offset if found is not None else 0
    if offset != stored:
        raise OffsetRefused(offset, stored)
    if found is None:
        return _begun(connection, order, hold, new_job_id, now_ms)
    values = {"holder": hold.holder, "held_until_ms": hold.until_ms}
    connection.execute(update(resumables).where(resumables.c.job_id == found.job.id).values(**values))
    uploads.renew(connection, found.job.id, OWNER, hold.keep_until_ms)
    return replace(found, holder=hold.holder)


def _begun(connection: Connection, order: PutOrder, hold: Hold, job_id: JobId, now_ms: int) -> Resumable | None:
    job = uploads.begin(connection, job_id, order, OWNER, hold.keep_until_ms - now_ms, now_ms)
    if job is None:
        return None
    connection.execute(delete(resumables).where(_named(order.bucket, order.object_name, order.account)))
    connection.execute(
        insert(resumables).values(
            bucket=order.bucket,
            object_name=order.object_name,
            account=order.account,
            job_id=job.id,
            segment_checksums=b"",
            holder=hold.holder,
            held_until_ms=hold.until_ms,
        )
    )
    return Resumable(job, (), hold.holder)


def renew(connection: Connection, held: Resumable, until_ms: int) -> bool:
    return connection.execute(_held(held).values(held_until_ms=until_ms)).rowcount > 0


def add(connection: Connection, held: Resumable, checksums: tuple[Checksum, ...], until_ms: int) -> None:
    joined = join_checksums((*held.checksums, *checksums))
    _only_one(connection.execute(_held(held).values(segment_checksums=joined, holder="", held_until_ms=0)), held)
    if not uploads.renew(connection, held.job.id, OWNER, until_ms):
        raise JobMoved(held.job.id)


def release(connection: Connection, held: Resumable) -> None:
    connection.execute(_held(held).values(holder="", held_until_ms=0))


def finish(connection: Connection, held: Resumable, stored: StoredPayload, actor: str, now_ms: int) -> Job:
    _only_one(connection.execute(_held_row(held)), held)
    return uploads.finish(connection, held.job, stored, actor, now_ms)


def fail(connection: Connection, held: Resumable, reason: str, actor: str, now_ms: int) -> None:
    if connection.execute(_held_row(held)).rowcount:
        uploads.fail(connection, held.job.id, reason, actor, now_ms, only_expired=False)


def _named(bucket: str, object_name: str, account: Address) -> Any:
    return (
        (resumables.c.bucket == bucket) & (resumables.c.object_name == object_name) & (resumables.c.account == account)
    )


def _under_way(row: Row[Any]) -> Resumable | None:
    """None for the rest of one that was given up."""
    job = job_of(row)
    return Resumable(job, split_checksums(row.so_far), row.holder) if job.state in UPLOADING else None


def _is_held(held: Resumable) -> Any:
    return (resumables.c.job_id == held.job.id) & (resumables.c.holder == held.holder)


def _held(held: Resumable) -> Any:
    return update(resumables).where(_is_held(held))


def _held_row(held: Resumable) -> Any:
    return delete(resumables).where(_is_held(held))


def _only_one(changed: Any, held: Resumable) -> None:
    if changed.rowcount != 1:
        raise JobMoved(held.job.id)
