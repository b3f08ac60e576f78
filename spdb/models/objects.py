"""What a name means now: the index that HEAD, GET and LIST read."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, PrimaryKeyConstraint, Table, Text

from spdb.models.columns import BIG, METADATA, NAME

objects = Table(
    "objects",
    METADATA,
    Column("bucket", NAME, nullable=False),
    Column("object_name", NAME, nullable=False),
    Column("job_id", BIG, ForeignKey("jobs.id"), nullable=False),
    Column("updated_at_ms", BIG, nullable=False),
    PrimaryKeyConstraint("bucket", "object_name"),
    sqlite_with_rowid=False,
)
Index("ix_objects_job_id", objects.c.job_id, unique=True)

object_tags = Table(
    "object_tags",
    METADATA,
    Column("job_id", BIG, ForeignKey("jobs.id"), primary_key=True, autoincrement=False),
    Column("tags", Text, nullable=False),  # JSON object, never an empty one
)
