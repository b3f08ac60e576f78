"""Open SPDB: one interface over SQLite and PostgreSQL. Every statement is a plain function of a connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from sp.domain.errors import ConfigError
from spdb.settings import PoolSettings
from spdb.sqlite import open_sqlite

T = TypeVar("T")


class Clock(Protocol):
    """The part of sp.runtime.clock.Clock that the repositories need."""

    def now_ms(self) -> int:
        """Unix milliseconds."""


class Database(Protocol):
    """Runs an operation as one transaction. Both raise ServiceUnavailable when the database does not answer."""

    async def read(self, op: Callable[[Connection], T]) -> T:
        """The result of `op`, which only reads. It sees every write that was acknowledged before the call."""

    async def write(self, op: Callable[[Connection], T]) -> T:
        """The result of `op`, committed and durable; nothing of it is kept if it raises.

        It may run more than once (only the last run counts), so its sole effect must be on the connection. A caller
        that is cancelled while it waits does not learn whether it ran. Overloaded when too many wait already.
        """

    async def close(self) -> None:
        """Finish what was submitted, then let go of every connection."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is: path of the SQLite file, or the URL of a PostgreSQL database."""

    sqlite_path: str = ""
    postgres_url: str = ""


@asynccontextmanager
async def open_database(url: str, pool: PoolSettings | None = None) -> AsyncIterator[Database]:
    """The database at `url`, its schema brought up to date, until exit.

    url: `sqlite:////absolute/path` or `postgresql://user:password@host:port/name` (a driver named in it is ignored)
    Any number of processes may open one database at once: one migrates, the others wait for it. ConfigError for
    another kind of URL, and when the schema is newer than this program.
    """
    pool = pool or PoolSettings()
    address = parse_url(url)
    if address.sqlite_path:
        database: Database = await open_sqlite(address.sqlite_path, pool)
    else:
        from spdb.postgres import open_postgres  # SQLAlchemy's asyncio half brings its ORM: 8 MB, not for SQLite

        database = await open_postgres(address.postgres_url, pool)
    try:
        yield database
    finally:
        await database.close()


def parse_url(url: str) -> Address:
    """Which database `url` names. ConfigError when it is none of ours."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError("spdb.url", "not a database URL") from None
    match parsed.get_backend_name():
        case "sqlite" if parsed.database and parsed.database != ":memory:":
            return Address(sqlite_path=parsed.database)
        case "postgresql":
            driver = parsed.set(drivername="postgresql+asyncpg")
            return Address(postgres_url=driver.render_as_string(hide_password=False))
    raise ConfigError("spdb.url", "neither sqlite:///PATH nor postgresql://USER@HOST/NAME")
