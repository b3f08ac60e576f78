"""Multipart uploads: what each is to become, and every attempt to bring one of its parts."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, PrimaryKeyConstraint, SmallInteger, Table, Text
from sqlalchemy import text as sql

from spdb.models.columns import BIG, METADATA, NAME

multipart_uploads = Table(
    "multipart_uploads",
    METADATA,
    Column("id", BIG, primary_key=True, autoincrement=False),
    Column("state", SmallInteger, nullable=False),
    Column("row_version", Integer, nullable=False),  # of the state: the fencing token of the lease
    Column("bucket", NAME, nullable=False),
    Column("object_name", NAME, nullable=False),
    Column("account", Text, nullable=False),
    Column("visibility", SmallInteger, nullable=False),
    Column("headers", Text, nullable=False),  # JSON object
    Column("tags", Text, nullable=False),  # JSON object
    Column("checksum_algorithm", Text, nullable=False),
    Column("checksum_type", Text, nullable=False),
    Column("attempts", BIG, nullable=False),  # parts begun so far: the last one's number
    Column("lease_until_ms", BIG, nullable=False),  # of who completes it
    Column("job_id", BIG),  # of the object, once it is completed; no foreign key: the job may be purged before
    Column("payload_size", BIG, nullable=False),
    Column("initiated_at_ms", BIG, nullable=False),
    Column("ended_at_ms", BIG, nullable=False),
)

multipart_parts = Table(
    "multipart_parts",
    METADATA,
    Column("upload_id", BIG, ForeignKey("multipart_uploads.id"), nullable=False),
    Column("attempt", BIG, nullable=False),
    Column("part_number", Integer, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("size", BIG, nullable=False),
    Column("md5", LargeBinary, nullable=False),
    Column("checksums", Text, nullable=False),  # JSON object
    Column("piece_size", BIG, nullable=False),
    Column("piece_checksums", LargeBinary, nullable=False),  # 32 bytes each, joined
    Column("lease_until_ms", BIG, nullable=False),  # of who stages it
    Column("stored_at_ms", BIG, nullable=False),
    PrimaryKeyConstraint("upload_id", "attempt"),
    sqlite_with_rowid=False,
)


def _partial(name: str, table: Table, *columns: str, where: str, unique: bool = False) -> None:
    """An index over the few rows that matter. Queries must say `where` in these words (SQLite) to use it."""
    condition: Final = sql(where)
    Index(name, *(table.c[c] for c in columns), unique=unique, sqlite_where=condition, postgresql_where=condition)


_partial("ix_multipart_uploads_open", multipart_uploads, "bucket", "object_name", "id", where="state < 2")
_partial("ix_multipart_uploads_age", multipart_uploads, "initiated_at_ms", where="state = 0")
_partial("ix_multipart_uploads_lease", multipart_uploads, "lease_until_ms", where="state = 1")
_partial("ix_multipart_uploads_ended", multipart_uploads, "ended_at_ms", where="state > 1")
_partial("ix_multipart_parts_stored", multipart_parts, "upload_id", "part_number", where="state = 1", unique=True)
_partial("ix_multipart_parts_lease", multipart_parts, "lease_until_ms", where="state = 0")
_partial("ix_multipart_parts_dead", multipart_parts, "upload_id", "attempt", where="state = 2")
