"""Uploads that come in several requests, in order: what of each is durable so far, and who receives its next part."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, PrimaryKeyConstraint, Table, Text

from spdb.models.columns import BIG, METADATA, NAME

resumables = Table(
    "resumables",
    METADATA,
    Column("bucket", NAME, nullable=False),
    Column("object_name", NAME, nullable=False),
    Column("account", Text, nullable=False),
    Column("job_id", BIG, ForeignKey("jobs.id"), nullable=False),
    Column("segment_checksums", LargeBinary, nullable=False),  # 32 bytes each, joined, of the segments so far
    Column("holder", Text, nullable=False),  # who receives a part now; "" when nobody does
    Column("held_until_ms", BIG, nullable=False),
    PrimaryKeyConstraint("bucket", "object_name", "account"),
    sqlite_with_rowid=False,
)
Index("ix_resumables_job_id", resumables.c.job_id, unique=True)
