"""Replicate data groups kept for other providers, and the scratch rows of those that are still arriving."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    ForeignKeyConstraint,
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

received = Table(
    "received",
    METADATA,
    Column("object_id", BIG, nullable=False),
    Column("version", BIG, nullable=False),
    Column("redundancy_index", SmallInteger, nullable=False),
    Column("bucket", NAME, nullable=False),
    Column("object_name", NAME, nullable=False),
    Column("payload_size", BIG, nullable=False),
    *params_columns(),
    Column("asker", Text, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("integrity_hash", LargeBinary),
    Column("piece_checksums", LargeBinary, nullable=False),  # 32 bytes each, joined; empty until signed
    Column("received_at_ms", BIG, nullable=False),
    Column("updated_at_ms", BIG, nullable=False),
    PrimaryKeyConstraint("object_id", "version", "redundancy_index"),
    sqlite_with_rowid=False,
)
Index(
    "ix_received_unsealed", received.c.updated_at_ms, sqlite_where=text("state < 2"), postgresql_where=text("state < 2")
)

received_pieces = Table(
    "received_pieces",
    METADATA,
    Column("object_id", BIG, nullable=False),
    Column("version", BIG, nullable=False),
    Column("redundancy_index", SmallInteger, nullable=False),
    Column("segment", Integer, nullable=False),
    Column("checksum", LargeBinary, nullable=False),
    Column("size", BIG, nullable=False),
    PrimaryKeyConstraint("object_id", "version", "redundancy_index", "segment"),
    ForeignKeyConstraint(
        ["object_id", "version", "redundancy_index"],
        ["received.object_id", "received.version", "received.redundancy_index"],
    ),
    sqlite_with_rowid=False,
)
