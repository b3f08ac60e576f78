"""SPDB in a SQLite file: many readers, one writing thread per process, any number of processes.

WAL lets readers go on while someone writes; synchronous=FULL syncs every commit, so what was acknowledged outlives a
power cut. Processes take turns by BEGIN IMMEDIATE and the busy timeout.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from spdb.faults import translated
from spdb.migrations.upgrade import upgrade
from spdb.settings import PoolSettings
from spdb.writer import GroupWriter

T = TypeVar("T")


class SqliteDatabase:
    """A Database (see spdb.database) over one file."""

    def __init__(self, writing: Engine, reading: AsyncEngine, pool: PoolSettings) -> None:
        self._writing = writing
        self._reading = reading
        self._writer = GroupWriter(writing, pool.queued_writes, pool.group_size)

    async def read(self, op: Callable[[Connection], T]) -> T:
        with translated():
            async with self._reading.connect() as connection:
                return await connection.run_sync(op)

    async def write(self, op: Callable[[Connection], T]) -> T:
        return await self._writer.write(op)

    async def close(self) -> None:
        await self._writer.close()
        await self._reading.dispose()
        await asyncio.to_thread(self._writing.dispose)


async def open_sqlite(path: str, pool: PoolSettings) -> SqliteDatabase:
    """The database in the file `path` (made, with its folder, when absent), at the newest schema."""
    writing = _writing_engine(path, pool)
    with translated():
        try:
            await asyncio.to_thread(_prepare, path, writing)
        except BaseException:
            writing.dispose()
            raise
    return SqliteDatabase(writing, _reading_engine(path, pool), pool)


def _prepare(path: str, engine: Engine) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    # Turning WAL on and migrating are each safe alone, but not while another process does the other.
    with _file_lock(f"{path}.lock"), engine.connect() as connection, connection.begin():
        upgrade(connection)


@contextmanager
def _file_lock(path: str) -> Iterator[None]:
    """Alone among all processes until exit. The system lets go of it when its holder dies."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _writing_engine(path: str, pool: PoolSettings) -> Engine:
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=path),
        pool_size=1,
        max_overflow=0,
        connect_args={"isolation_level": None, "check_same_thread": False, "timeout": pool.busy_timeout_s},
    )
    event.listen(engine, "connect", _set_up_writer)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _reading_engine(path: str, pool: PoolSettings) -> AsyncEngine:
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=path),
        pool_size=pool.readers,
        max_overflow=0,
        pool_timeout=pool.connect_timeout_s,
        connect_args={"isolation_level": None, "timeout": pool.busy_timeout_s},
    )
    event.listen(engine.sync_engine, "connect", _set_up_reader)
    event.listen(engine.sync_engine, "begin", _begin_deferred)
    return engine


def _set_up_writer(connection: sqlite3.Connection, _: Any) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "wal_autocheckpoint=4000"):
        connection.execute(f"PRAGMA {pragma}")


def _set_up_reader(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA query_only=ON")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    """Take the write lock at once: a transaction that reads first and writes later could not wait for it."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_deferred(connection: Connection) -> None:
    """One snapshot for all statements of one read."""
    connection.exec_driver_sql("BEGIN")
