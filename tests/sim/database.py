"""SPDB of a simulated provider: SQLite in memory, one connection, no threads. It outlives the provider's processes.

A process dies between two of its steps and an operation is one step, from BEGIN to COMMIT: what was committed stays,
and nothing else was ever there, as with synchronous=FULL on disk. The process may die before the operation, or after
the commit and before it learns of it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Protocol, TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from sp.domain.errors import ServiceUnavailable
from spdb.faults import meaning
from spdb.migrations.upgrade import upgrade
from spdb.sqlite import CACHED_STATEMENTS

T = TypeVar("T")


class DatabaseFaults(Protocol):
    """What goes wrong with one operation."""

    async def turn(self) -> None:
        """Before and after each operation: others run, time passes."""

    def lost_before(self) -> bool:
        """The connection is lost before the operation."""

    def lost_after(self) -> bool:
        """It is lost between the commit and its answer."""

    def conflicts(self) -> bool:
        """The transaction is rolled back once, and run again."""


class SimDatabase:
    """Implements spdb.database.Database over a connection to a `memory_database`."""

    def __init__(self, connection: Connection, faults: DatabaseFaults) -> None:
        self._connection = connection
        self._faults = faults

    async def read(self, op: Callable[[Connection], T]) -> T:
        await self._faults.turn()
        self._trip()
        return self._transact(op)

    async def write(self, op: Callable[[Connection], T]) -> T:
        await self._faults.turn()
        self._trip()
        if self._faults.conflicts():
            self._roll_back(op)
        result = self._transact(op)
        await self._faults.turn()
        if self._faults.lost_after():
            raise ServiceUnavailable("spdb", "the connection was lost after the commit")
        return result

    async def close(self) -> None:
        """The connection stays for the provider's next life."""

    def _trip(self) -> None:
        if self._faults.lost_before():
            raise ServiceUnavailable("spdb", "the connection was lost")

    def _transact(self, op: Callable[[Connection], T]) -> T:
        try:
            with self._connection.begin():
                return op(self._connection)
        except Exception as error:
            known = meaning(error)
            if known is error:
                raise
            raise known from error

    def _roll_back(self, op: Callable[[Connection], T]) -> None:
        """As PostgreSQL does on a serialization failure: what it raised, or returned, counts for nothing."""
        transaction = self._connection.begin()
        try:
            op(self._connection)
        except Exception:  # noqa: BLE001 - the second run tells
            pass
        finally:
            transaction.rollback()


@dataclass(slots=True)
class NoFaults:
    """A database that never fails, for the contract's suite."""

    async def turn(self) -> None:
        return

    def lost_before(self) -> bool:
        return False

    def lost_after(self) -> bool:
        return False

    def conflicts(self) -> bool:
        return False


@dataclass(slots=True)
class ChanceFaults:
    """Faults by chance. rate: how often each strikes at present; pause: lets time pass."""

    chance: Random
    pause: Callable[[], Awaitable[None]]
    count: Callable[[str], None]
    rate: Callable[[], float]

    async def turn(self) -> None:
        await self.pause()

    def lost_before(self) -> bool:
        return self._strikes("connection to the database lost before an operation")

    def lost_after(self) -> bool:
        return self._strikes("connection to the database lost after a commit")

    def conflicts(self) -> bool:
        return self._strikes("transaction rolled back by a conflict, and repeated")

    def _strikes(self, kind: str) -> bool:
        rate = self.rate()
        if not rate or self.chance.random() >= rate:
            return False
        self.count(kind)
        return True


def memory_database() -> Connection:
    """A new database in memory with the newest schema: its only connection. `end` ends it."""
    connection = _engine().connect()
    driver(connection).deserialize(_template())
    return connection


def driver(connection: Connection) -> sqlite3.Connection:
    return cast(sqlite3.Connection, connection.connection.driver_connection)


def end(connection: Connection) -> None:
    """Let go of a database in memory, and of the functions that it calls: no collection of cycles looks into it."""
    connection.close()
    connection.engine.dispose()


@cache
def _template() -> bytes:
    with _engine().connect() as connection:
        with connection.begin():
            upgrade(connection)
        return bytes(driver(connection).serialize())


def _engine() -> Engine:
    engine = create_engine(
        "sqlite+pysqlite://",
        poolclass=StaticPool,
        connect_args={"isolation_level": None, "check_same_thread": False, "cached_statements": CACHED_STATEMENTS},
    )

    def set_up(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA foreign_keys=ON").close()

    def begin(connection: Connection) -> None:
        driver(connection).execute("BEGIN IMMEDIATE").close()

    event.listen(engine, "connect", set_up)
    event.listen(engine, "begin", begin)
    return engine
