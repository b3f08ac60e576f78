"""Keys that accounts have let applications sign requests with, until they expire."""

from __future__ import annotations

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Table, Text

from spdb.models.columns import BIG, METADATA

auth_keys = Table(
    "auth_keys",
    METADATA,
    Column("account", Text, nullable=False),
    Column("domain", Text, nullable=False),
    Column("public_key", Text, nullable=False),  # 64 lower-case hex digits (Ed25519)
    Column("expires_at_ms", BIG, nullable=False),
    PrimaryKeyConstraint("account", "domain", "public_key"),
    sqlite_with_rowid=False,
)
Index("ix_auth_keys_expires_at_ms", auth_keys.c.expires_at_ms)
