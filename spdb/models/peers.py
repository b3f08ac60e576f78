"""What this provider remembers of the others."""

from __future__ import annotations

from sqlalchemy import Column, Integer, Table, Text

from spdb.models.columns import BIG, METADATA

peers = Table(
    "peers",
    METADATA,
    Column("provider", Text, primary_key=True),
    Column("failures", Integer, nullable=False),  # since its last success
    Column("frozen_until_ms", BIG, nullable=False),
    Column("last_error", Text, nullable=False),
    Column("last_success_ms", BIG, nullable=False),
    Column("approvals_given", Integer, nullable=False),
    Column("approvals_refused", Integer, nullable=False),
    Column("updated_at_ms", BIG, nullable=False),
)
