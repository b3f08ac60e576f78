"""How far a chore has come in something that only grows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from spdb.database import Database
from spdb.models.cursors import cursors


@dataclass(frozen=True, slots=True)
class Cursors:
    db: Database

    async def get(self, name: str) -> int:
        """0 when it was never set."""
        return await self.db.read(
            lambda c: c.execute(select(cursors.c.value).where(cursors.c.name == name)).scalar() or 0
        )

    async def set(self, name: str, value: int) -> None:
        """Remember `value`, durably."""
        await self.db.write(lambda c: _set(c, name, value))

    async def set_all(self, values: Mapping[str, int]) -> None:
        """All of them, durably, or none."""

        def set_each(connection: Connection) -> None:
            for name, value in values.items():
                _set(connection, name, value)

        await self.db.write(set_each)

    async def swap(self, name: str, expected: int, value: int) -> bool:
        """Remember `value` if `expected` is what is remembered (0: nothing). False: it is something else by now."""
        return await self.db.write(lambda c: _swap(c, name, expected, value))


def _set(connection: Connection, name: str, value: int) -> None:
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(cursors).values(name=name, value=value)
    connection.execute(statement.on_conflict_do_update(index_elements=[cursors.c.name], set_={"value": value}))


def _swap(connection: Connection, name: str, expected: int, value: int) -> bool:
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(dialect.insert(cursors).values(name=name, value=0).on_conflict_do_nothing())
    changed = connection.execute(
        update(cursors).where(cursors.c.name == name, cursors.c.value == expected).values(value=value)
    )
    return changed.rowcount == 1
