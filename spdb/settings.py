"""Bounds of the database edge: connections, queues and waits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """connections: to PostgreSQL at most
    readers: threads that read a SQLite file, each with a connection: a long read holds up only its own
    queued_writes, queued_reads: operations that may wait for SQLite's writer, and for one of its readers, before others
      are refused (Overloaded)
    group_size: operations that share one transaction on SQLite at most
    connect_timeout_s: to open a connection or to get a free one from the pool
    statement_timeout_s: for one statement on PostgreSQL
    busy_timeout_s: for another process's write to end on SQLite
    migration_timeout_s: for another process to finish bringing the schema up to date
    """

    connections: int = 16
    readers: int = 3
    queued_writes: int = 8_192
    queued_reads: int = 8_192
    group_size: int = 128
    connect_timeout_s: float = 10.0
    statement_timeout_s: float = 30.0
    busy_timeout_s: float = 10.0
    migration_timeout_s: float = 120.0
