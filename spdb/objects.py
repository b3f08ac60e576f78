"""The objects of this primary: what each name means now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, case, delete, insert, select

from sp.domain.ids import Address, JobId, ObjectId
from sp.domain.jobs import Listing, ObjectEntry
from spdb.database import Clock, Database
from spdb.models.deletions import deletions
from spdb.models.jobs import jobs
from spdb.models.objects import object_tags, objects
from spdb.models.small_segments import small_segments
from spdb.prepared import Prepared
from spdb.statements import listing, moves, names, tags
from spdb.statements.rows import job_of


@dataclass(frozen=True, slots=True)
class Objects:
    db: Database
    clock: Clock

    async def head(self, bucket: str, object_name: str) -> ObjectEntry | None:
        """What the name means now."""
        return await self.db.read(lambda c: _head(c, bucket, object_name))

    async def content(self, bucket: str, object_name: str) -> ObjectEntry | None:
        """As `head`, for who may be about to read it: with its payload, if that is kept here (`ObjectEntry.small`)."""
        return await self.db.read(lambda c: _content(c, bucket, object_name))

    async def content_of(self, job_id: JobId) -> ObjectEntry | None:
        """The content that one put has brought, as `content`, whatever its name means now; without its tags."""
        return await self.db.read(lambda c: _content_of(c, job_id))

    async def by_object_id(self, object_id: ObjectId, version: int | None = None) -> ObjectEntry | None:
        """The content of an object on chain: what its name leads to, else the newest that is still kept. version: only
        that one."""
        return await self.db.read(lambda c: _by_object_id(c, object_id, version))

    async def list(
        self, bucket: str, prefix: str = "", delimiter: str = "", marker: str = "", limit: int = 1000
    ) -> Listing:
        """One page of names, in UTF-8 byte order, that start with `prefix`.

        delimiter: any text; names that hold it behind the prefix are rolled up into one common prefix that ends with it
        marker: entries and common prefixes up to and including it are left out
        limit: entries and common prefixes together
        InvalidRequest for text that is not Unicode.
        """
        query = listing.Query(bucket, prefix, delimiter, marker, limit)
        return await self.db.read(lambda c: listing.page(c, query))

    async def is_empty(self, bucket: str) -> bool:
        """Whether no name of the bucket means anything."""
        return await self.db.read(lambda c: _is_empty(c, bucket))

    async def remove(
        self, bucket: str, object_name: str, account: Address, actor: str, request_id: str, only: JobId | None = None
    ) -> bool:
        """The name means nothing from now on, and a pending Deletion says what remains to be done. False when it meant
        nothing before, or not the put `only`."""
        now = self.clock.now_ms()
        return await self.db.write(lambda c: _remove(c, bucket, object_name, account, actor, request_id, now, only))


_ENTRY: Final = select(jobs, objects.c.updated_at_ms.label("linked_at_ms"), object_tags.c.tags)
_NAMED: Final = (
    _ENTRY.join(objects, objects.c.job_id == jobs.c.id)
    .outerjoin(object_tags, object_tags.c.job_id == jobs.c.id)
    .where(objects.c.bucket == bindparam("b_bucket"), objects.c.object_name == bindparam("b_name"))
)


def _entry(row: Row[Any] | None) -> ObjectEntry | None:
    return None if row is None else ObjectEntry(job_of(row), row.linked_at_ms, tags.of(row.tags))


_HEAD: Final = Prepared(_NAMED)
_CONTENT: Final = Prepared(
    _NAMED.add_columns(small_segments.c.payload).outerjoin(small_segments, small_segments.c.job_id == jobs.c.id)
)


def _head(connection: Connection, bucket: str, object_name: str) -> ObjectEntry | None:
    return _entry(_named(connection, _HEAD, bucket, object_name))


def _content(connection: Connection, bucket: str, object_name: str) -> ObjectEntry | None:
    row = _named(connection, _CONTENT, bucket, object_name)
    entry = _entry(row)
    return None if row is None or entry is None else replace(entry, small=row.payload)


def _named(connection: Connection, query: Prepared, bucket: str, object_name: str) -> Any | None:
    if not (names.is_storable(bucket) and names.is_storable(object_name)):
        return None
    return query.first(connection, {"b_bucket": bucket, "b_name": object_name})


_CONTENT_OF: Final = Prepared(
    select(jobs, small_segments.c.payload)
    .outerjoin(small_segments, small_segments.c.job_id == jobs.c.id)
    .where(jobs.c.id == bindparam("b_id"))
)


def _content_of(connection: Connection, job_id: JobId) -> ObjectEntry | None:
    row = _CONTENT_OF.first(connection, {"b_id": job_id}) if names.is_id(job_id) else None
    if row is None:
        return None
    job = job_of(row)
    return ObjectEntry(job, job.updated_at_ms, small=row.payload)


_ANY_VERSION: Final = (
    select(jobs, jobs.c.stored_at_ms.label("linked_at_ms"), object_tags.c.tags)
    .outerjoin(objects, objects.c.job_id == jobs.c.id)
    .outerjoin(object_tags, object_tags.c.job_id == jobs.c.id)
    .where(jobs.c.object_id == bindparam("b_object_id"), jobs.c.stored_at_ms.is_not(None), moves.IS_KEPT)
    .order_by(case((objects.c.job_id.is_(None), 1), else_=0), jobs.c.version.desc(), jobs.c.stored_at_ms.desc())
    .limit(1)
)


_BY_OBJECT_ID: Final = Prepared(_ANY_VERSION)
_BY_VERSION: Final = Prepared(_ANY_VERSION.where(jobs.c.version == bindparam("b_version")))


def _by_object_id(connection: Connection, object_id: ObjectId, version: int | None) -> ObjectEntry | None:
    if not names.is_id(object_id):
        return None
    if version is None:
        return _entry(_BY_OBJECT_ID.first(connection, {"b_object_id": object_id}))
    return _entry(_BY_VERSION.first(connection, {"b_object_id": object_id, "b_version": version}))


_ANY_IN_BUCKET: Final = Prepared(select(objects.c.job_id).where(objects.c.bucket == bindparam("b_bucket")).limit(1))


def _is_empty(connection: Connection, bucket: str) -> bool:
    if not names.is_storable(bucket):
        return True
    return _ANY_IN_BUCKET.first(connection, {"b_bucket": bucket}) is None


def _remove(
    connection: Connection,
    bucket: str,
    object_name: str,
    account: Address,
    actor: str,
    request_id: str,
    now_ms: int,
    only: JobId | None,
) -> bool:
    if not (names.is_storable(bucket) and names.is_storable(object_name)):
        return False
    unlink = delete(objects).where(objects.c.bucket == bucket, objects.c.object_name == object_name)
    if only is not None:
        unlink = unlink.where(objects.c.job_id == only)
    removed = connection.execute(unlink.returning(objects.c.job_id)).first()
    if removed is None:
        return False
    job = connection.execute(
        select(jobs.c.id, jobs.c.stored_at_ms, jobs.c.object_id, jobs.c.version).where(jobs.c.id == removed.job_id)
    ).one()
    connection.execute(
        insert(deletions).values(
            bucket=bucket,
            object_name=object_name,
            account=account,
            job_id=job.id,
            stored_at_ms=job.stored_at_ms,
            object_id=job.object_id,
            version=job.version,
            requested_at_ms=now_ms,
            request_id=names.clean(request_id),
            attempts=0,
            next_attempt_at_ms=now_ms,
            error="",
        )
    )
    moves.add_note(
        connection, job.id, "deletion asked", now_ms, reason=f"request {request_id}", provider="", actor=actor
    )
    return True
