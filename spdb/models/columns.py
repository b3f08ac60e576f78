"""Column types that mean the same on SQLite and PostgreSQL, and the columns several tables share."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Column, Integer, MetaData, Text

METADATA: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

BIG: Final = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits. SQLite's INTEGER is that wide, and only under this name can a primary key be the row's own number."""

NAME: Final = Text().with_variant(Text(collation="C"), "postgresql")
"""Text ordered by its UTF-8 bytes on both databases (SQLite's default collation is BINARY): the order of an S3 list."""


def params_columns() -> list[Column[Any]]:
    """The StorageParams an object was cut by: five columns of its row."""
    return [
        Column("max_segment_size", BIG, nullable=False),
        Column("data_chunks", Integer, nullable=False),
        Column("parity_chunks", Integer, nullable=False),
        Column("max_payload_size", BIG, nullable=False),
        Column("min_charge_size", BIG, nullable=False),
    ]
