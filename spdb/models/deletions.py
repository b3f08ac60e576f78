"""Names that were deleted here and still have to be deleted on chain."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table, Text

from spdb.models.columns import BIG, METADATA, NAME

deletions = Table(
    "deletions",
    METADATA,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("bucket", NAME, nullable=False),
    Column("object_name", NAME, nullable=False),
    Column("account", Text, nullable=False),
    Column("job_id", BIG, nullable=False),
    Column("stored_at_ms", BIG, nullable=False),  # of the removed put: it and those before it are meant, none after
    Column("object_id", BIG),
    Column("version", BIG, nullable=False),
    Column("requested_at_ms", BIG, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at_ms", BIG, nullable=False),
    Column("error", Text, nullable=False),
    sqlite_autoincrement=True,  # an id is never given twice: `done` may come late and twice
)
Index("ix_deletions_due", deletions.c.next_attempt_at_ms, deletions.c.id)
Index("ix_deletions_name", deletions.c.bucket, deletions.c.object_name)
