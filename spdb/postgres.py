"""SPDB in PostgreSQL: a pool of connections shared by this process's tasks, READ COMMITTED, guarded updates."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from spdb.faults import is_retryable, translated
from spdb.migrations.upgrade import upgrade
from spdb.settings import PoolSettings

T = TypeVar("T")

ATTEMPTS: Final = 6
"""Runs of one operation that the server keeps undoing for the sake of others (deadlock, serialization)."""

_MIGRATION_LOCK: Final = 0x5350_4442  # "SPDB": an advisory lock's number, any that no other program uses


class PostgresDatabase:
    """A Database (see spdb.database) over one PostgreSQL database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def read(self, op: Callable[[Connection], T]) -> T:
        with translated():
            async with self._reading.connect() as connection:
                return await connection.run_sync(op)

    async def write(self, op: Callable[[Connection], T]) -> T:
        with translated():
            for attempt in range(1, ATTEMPTS):
                try:
                    return await self._write_once(op)
                except Exception as error:
                    if not is_retryable(error):
                        raise
                await asyncio.sleep(random.uniform(0, 0.005 * 2**attempt))  # noqa: S311 (spreads rivals, no secret)
            return await self._write_once(op)

    async def _write_once(self, op: Callable[[Connection], T]) -> T:
        async with self._engine.begin() as connection:
            return await connection.run_sync(op)

    async def close(self) -> None:
        await self._engine.dispose()


async def open_postgres(url: str, pool: PoolSettings) -> PostgresDatabase:
    """The database at `url` (driver asyncpg), at the newest schema."""
    engine = create_async_engine(
        url,
        pool_size=pool.connections,
        max_overflow=0,
        pool_timeout=pool.connect_timeout_s,
        pool_pre_ping=True,  # a restarted server is found before a transaction begins, not within it
        connect_args={
            "timeout": pool.connect_timeout_s,
            "server_settings": {
                "application_name": "spdb",
                "jit": "off",
                "statement_timeout": str(int(pool.statement_timeout_s * 1000)),
                "idle_in_transaction_session_timeout": str(int(pool.statement_timeout_s * 1000)),
            },
        },
    )
    try:
        with translated():
            async with asyncio.timeout(pool.migration_timeout_s), engine.begin() as connection:
                await _prepare(connection)
    except BaseException:
        await engine.dispose()
        raise
    return PostgresDatabase(engine)


async def _prepare(connection: AsyncConnection) -> None:
    await connection.execute(text("SET LOCAL statement_timeout = 0"))
    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
    await connection.run_sync(upgrade)
