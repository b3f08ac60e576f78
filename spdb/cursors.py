"""How far a chore has come in something that only grows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class Position:
    """A cursor that is written now and then only: after a crash its holder goes on from up to `every` before where it
    was, so what it does must be safe to repeat."""

    cursors: Cursors
    name: str
    every: int
    _at: int | None = field(default=None)
    _written: int = field(default=0)

    async def get(self) -> int:
        """Where this process is; at first, what is written. 0 when it was never set."""
        if self._at is None:
            self._at = self._written = await self.cursors.get(self.name)
        return self._at

    async def reached(self, value: int) -> None:
        if value >= self._written + self.every:
            await self.set(value)
        self._at = value

    async def set(self, value: int) -> None:
        """Remember `value`, durably."""
        await self.cursors.set(self.name, value)
        self._at = self._written = value

    def forget(self) -> None:
        """Somebody else has written it: read it again."""
        self._at = None


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
