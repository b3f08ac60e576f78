"""The JobContext: one row per put, a child row per secondary and per spare approval, and what happened, in order."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)

from spdb.models.columns import BIG, METADATA, NAME, params_columns

KEPT: Final = 0  # its pieces are, or may be, an object's
TO_COLLECT: Final = 1  # its pieces are garbage
COLLECTED: Final = 2  # its pieces are gone; the row goes after its retention
"""The values of jobs.collect."""

jobs = Table(
    "jobs",
    METADATA,
    Column("id", BIG, primary_key=True, autoincrement=False),
    Column("state", SmallInteger, nullable=False),
    Column("row_version", Integer, nullable=False),
    Column("history_seq", Integer, nullable=False),  # seq of the last history row
    Column("bucket", NAME, nullable=False),
    Column("object_name", NAME, nullable=False),
    Column("account", Text, nullable=False),
    Column("visibility", SmallInteger, nullable=False),
    Column("headers", Text, nullable=False),  # JSON object
    *params_columns(),
    Column("delegated", Boolean, nullable=False),
    Column("object_id", BIG),
    Column("version", BIG, nullable=False),
    Column("payload_size", BIG),
    Column("root", LargeBinary),
    Column("segment_checksums", LargeBinary, nullable=False),  # 32 bytes each, joined
    # When the put was acknowledged; grows strictly among the puts of one name, so it is their order. NULL before.
    Column("stored_at_ms", BIG),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at_ms", BIG),
    Column("given_up", Boolean, nullable=False),
    Column("lease_owner", Text, nullable=False),
    Column("lease_until_ms", BIG, nullable=False),
    # When the queue shows the row to a task node: the later of next attempt and lease end. NULL: not in the queue
    # (still uploading, final, or given up), so `due_at_ms IS NOT NULL` says that work on it is to be expected.
    Column("due_at_ms", BIG),
    Column("tx_hash", Text),
    Column("error", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("created_at_ms", BIG, nullable=False),
    Column("updated_at_ms", BIG, nullable=False),
    Column("collect", SmallInteger, nullable=False),
    Column("marked_at_ms", BIG),  # when it became TO_COLLECT; 0: an aborted upload, which nobody can be reading
    Column("collected_at_ms", BIG),
)


def _partial(name: str, *columns: str, where: str) -> Index:
    """An index over the few rows that a chore looks for. Queries must say `where` in these words (SQLite) to use it."""
    return Index(name, *(jobs.c[c] for c in columns), sqlite_where=text(where), postgresql_where=text(where))


Index("ix_jobs_state", jobs.c.state, jobs.c.id)
Index("ix_jobs_name", jobs.c.bucket, jobs.c.object_name, jobs.c.id)
Index("ix_jobs_bucket", jobs.c.bucket, jobs.c.id)
_partial("ix_jobs_object", "object_id", "version", where="object_id IS NOT NULL")
_partial("ix_jobs_kept", "bucket", "object_name", "stored_at_ms", where="collect = 0")
_partial("ix_jobs_due", "due_at_ms", "id", where="due_at_ms IS NOT NULL")
_partial("ix_jobs_uploading", "lease_until_ms", where="state < 2")
_partial("ix_jobs_to_collect", "marked_at_ms", where="collect = 1")
_partial("ix_jobs_collected", "collected_at_ms", where="collect = 2")

history = Table(
    "history",
    METADATA,
    Column("job_id", BIG, ForeignKey("jobs.id"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("at_ms", BIG, nullable=False),
    Column("from_state", SmallInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("event", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("actor", Text, nullable=False),
    PrimaryKeyConstraint("job_id", "seq"),
    sqlite_with_rowid=False,
)

secondaries = Table(
    "secondaries",
    METADATA,
    Column("job_id", BIG, ForeignKey("jobs.id"), nullable=False),
    Column("ordinal", Integer, nullable=False),  # order of choice
    Column("redundancy_index", SmallInteger, nullable=False),
    Column("provider", Text, nullable=False),
    Column("asker", Text, nullable=False),
    Column("expires_at_s", BIG, nullable=False),
    Column("expires_height", BIG, nullable=False),
    Column("approval_signature", LargeBinary, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("integrity_hash", LargeBinary),
    Column("signature", LargeBinary),
    Column("attempts", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Column("started_at_ms", BIG, nullable=False),
    Column("ended_at_ms", BIG, nullable=False),
    PrimaryKeyConstraint("job_id", "ordinal"),
    sqlite_with_rowid=False,
)

# One provider per column, one column per provider; failed rows (state 3) stay as a record.
for _name, _column in (("column", "redundancy_index"), ("provider", "provider")):
    Index(
        f"ix_secondaries_{_name}",
        secondaries.c.job_id,
        secondaries.c[_column],
        unique=True,
        sqlite_where=text("state <> 3"),
        postgresql_where=text("state <> 3"),
    )

spares = Table(
    "spares",
    METADATA,
    Column("job_id", BIG, ForeignKey("jobs.id"), nullable=False),
    Column("provider", Text, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("asker", Text, nullable=False),
    Column("expires_at_s", BIG, nullable=False),
    Column("expires_height", BIG, nullable=False),
    Column("approval_signature", LargeBinary, nullable=False),
    PrimaryKeyConstraint("job_id", "provider"),
    sqlite_with_rowid=False,
)
