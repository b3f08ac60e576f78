"""How far a chore has followed something that only grows, such as the chain's height."""

from __future__ import annotations

from sqlalchemy import Column, Table, Text

from spdb.models.columns import BIG, METADATA

cursors = Table(
    "cursors",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", BIG, nullable=False),
)
