"""How far a chore has come in something that only grows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select
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


def _set(connection: Connection, name: str, value: int) -> None:
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(cursors).values(name=name, value=value)
    connection.execute(statement.on_conflict_do_update(index_elements=[cursors.c.name], set_={"value": value}))
