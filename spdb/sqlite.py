"""SPDB in a SQLite file: reading threads, one writing thread per process, any number of processes.

WAL lets readers go on while someone writes; synchronous=FULL syncs every commit, so what was acknowledged outlives a
power cut. Processes take turns by BEGIN IMMEDIATE and the busy timeout.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from sqlalchemy import URL, Connection, Engine, create_engine, event

from sp.domain.errors import DeadlineExceeded
from spdb.faults import translated
from spdb.lane import Lane
from spdb.migrations.upgrade import upgrade
from spdb.settings import PoolSettings
from spdb.turns import Turns, opened_lock

T = TypeVar("T")

_LOCK_POLL_S: Final = 0.02  # a file lock can be waited for with a limit only by asking again


class SqliteDatabase:
    """A Database (see spdb.database) over one file."""

    def __init__(self, writer: Lane, readers: list[Lane], turns: Turns) -> None:
        self._writer = writer
        self._readers = readers
        self._turns = turns

    async def read(self, op: Callable[[Connection], T]) -> T:
        return await min(self._readers, key=_load).run(op)

    async def write(self, op: Callable[[Connection], T]) -> T:
        return await self._writer.run(op)

    async def close(self) -> None:
        for lane in (self._writer, *self._readers):
            await lane.close()
        self._turns.close()


def _load(lane: Lane) -> int:
    return lane.unanswered


def create_sqlite(path: str) -> None:
    """Bring the database in the file `path` to the newest schema before its SP first runs: then only this process has
    to load Alembic. Blocks. What `open_sqlite` raises."""
    pool = PoolSettings()
    writing = _engine(path, pool, _WRITER_PRAGMAS, _begin_immediate)
    try:
        with translated():
            _prepare(path, writing, pool.migration_timeout_s)
    finally:
        writing.dispose()


async def open_sqlite(path: str, pool: PoolSettings) -> SqliteDatabase:
    """The database in the file `path` (made, with its folder, when absent), at the newest schema."""
    writing = _engine(path, pool, _WRITER_PRAGMAS, _begin_immediate)
    try:
        with translated():
            await asyncio.to_thread(_prepare, path, writing, pool.migration_timeout_s)
    except BaseException:
        writing.dispose()
        raise
    turns = Turns(path)
    writer = Lane(
        "writer", writing, queued=pool.queued_writes, group_size=pool.group_size, savepoints=True, turn=turns.turn
    )
    readers = [
        Lane(
            "reader",
            _engine(path, pool, _READER_PRAGMAS, _begin_deferred),
            queued=pool.queued_reads,
            group_size=pool.group_size,
            savepoints=False,
        )
        for _ in range(pool.readers)
    ]
    return SqliteDatabase(writer, readers, turns)


def _prepare(path: str, engine: Engine, timeout_s: float) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    # Turning WAL on and migrating are each safe alone, but not while another process does the other.
    with _file_lock(f"{path}.lock", timeout_s), engine.connect() as connection, connection.begin():
        upgrade(connection)


@contextmanager
def _file_lock(path: str, timeout_s: float) -> Iterator[None]:
    """Alone among all processes until exit. The system lets go of it when its holder dies. DeadlineExceeded."""
    descriptor = opened_lock(path)
    try:
        deadline = time.monotonic() + timeout_s
        while not _locked(descriptor):
            if time.monotonic() > deadline:
                raise DeadlineExceeded(path, int(timeout_s * 1000))
            time.sleep(_LOCK_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


CACHED_STATEMENTS: Final = 512
"""More than there are texts of statements, so that each stays prepared (spdb.prepared)."""

_WRITER_PRAGMAS: Final = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "wal_autocheckpoint=4000")
_READER_PRAGMAS: Final = ("query_only=ON",)


def _engine(path: str, pool: PoolSettings, pragmas: tuple[str, ...], begin: Callable[[Connection], None]) -> Engine:
    """One connection, opened at first use, that leaves transactions to SQLAlchemy (isolation_level None)."""
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=path),
        pool_size=1,
        max_overflow=0,
        connect_args={
            "isolation_level": None,
            "check_same_thread": False,
            "timeout": pool.busy_timeout_s,
            "cached_statements": CACHED_STATEMENTS,
        },
    )

    def set_up(connection: sqlite3.Connection, _: Any) -> None:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").close()

    event.listen(engine, "connect", set_up)
    event.listen(engine, "begin", begin)
    return engine


def _begin_immediate(connection: Connection) -> None:
    """Take the write lock at once: a transaction that reads first and writes later could not wait for it."""
    _driver(connection).execute("BEGIN IMMEDIATE").close()


def _begin_deferred(connection: Connection) -> None:
    """One snapshot for all statements of one group of reads."""
    _driver(connection).execute("BEGIN").close()


def _driver(connection: Connection) -> sqlite3.Connection:
    return cast(sqlite3.Connection, connection.connection.driver_connection)
