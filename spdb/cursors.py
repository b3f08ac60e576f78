"""How far a chore has come in something that only grows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select, update

from spdb.database import Database
from spdb.models.cursors import cursors
from spdb.prepared import Prepared, for_dialects


@dataclass(frozen=True, slots=True)
class Cursors:
    db: Database

    async def get(self, name: str) -> int:
        """0 when it was never set."""
        return await self.db.read(lambda c: _get(c, name))

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


def _upsert(dialect: Any) -> Any:
    statement = dialect.insert(cursors)
    return statement.on_conflict_do_update(index_elements=[cursors.c.name], set_={"value": statement.excluded.value})


_GET: Final = Prepared(select(cursors.c.value).where(cursors.c.name == bindparam("b_name")))
_SET: Final = for_dialects(_upsert)
_ADD: Final = for_dialects(lambda dialect: dialect.insert(cursors).on_conflict_do_nothing())
_SWAP: Final = Prepared(
    update(cursors)
    .where(cursors.c.name == bindparam("b_name"), cursors.c.value == bindparam("b_expected"))
    .values(value=bindparam("b_value"))
)


def _get(connection: Connection, name: str) -> int:
    row = _GET.first(connection, {"b_name": name})
    return 0 if row is None else int(row.value)


def _set(connection: Connection, name: str, value: int) -> None:
    _SET.run(connection, {"name": name, "value": value})


def _swap(connection: Connection, name: str, expected: int, value: int) -> bool:
    _ADD.run(connection, {"name": name, "value": 0})
    return _SWAP.run(connection, {"b_name": name, "b_expected": expected, "b_value": value}) == 1
