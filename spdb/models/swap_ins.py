"""Columns of sealed objects whose holder leaves, until another provider has taken them over."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
)

from spdb.models.columns import BIG, METADATA
from spdb.models.jobs import jobs

swap_ins = Table(
    "swap_ins",
    METADATA,
    Column("job_id", BIG, ForeignKey(jobs.c.id), nullable=False),
    Column("redundancy_index", SmallInteger, nullable=False),
    Column("target", Text, nullable=False),  # who leaves
    # The successor's approval and receipt: NULL until there are any.
    Column("provider", Text),
    Column("asker", Text),
    Column("expires_at_s", BIG),
    Column("expires_height", BIG),
    Column("approval_signature", LargeBinary),
    Column("integrity_hash", LargeBinary),
    Column("signature", LargeBinary),
    Column("attempts", Integer, nullable=False),
    # When the queue shows the row: the later of next attempt and lease end.
    Column("due_at_ms", BIG, nullable=False),
    Column("lease_owner", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("created_at_ms", BIG, nullable=False),
    PrimaryKeyConstraint("job_id", "redundancy_index"),
    sqlite_with_rowid=False,
)
Index("ix_swap_ins_due", swap_ins.c.due_at_ms)
