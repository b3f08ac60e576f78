"""One thread that owns the only writing connection to a SQLite file, and commits what has gathered in one go.

A commit costs a sync of the disk, whatever it holds. Operations that arrive while one is under way therefore wait
together and share the next: each runs in a savepoint of its own, so that one which raises undoes only itself, and all
of them are answered after the one commit.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine

from sp.domain.errors import Overloaded, ServiceUnavailable
from spdb.faults import meaning

T = TypeVar("T")


@dataclass(slots=True)
class _Waiting:
    """An operation, who waits for it, and how it went. `error` None: `result` holds."""

    op: Callable[[Connection], Any]
    answer: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None


class GroupWriter:
    """Call `write` from any event loop; `close` once."""

    def __init__(self, engine: Engine, queued_writes: int, group_size: int) -> None:
        self._engine = engine
        self._queued_writes = queued_writes
        self._group_size = group_size
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="spdb-writer", daemon=True)
        self._thread.start()

    async def write(self, op: Callable[[Connection], T]) -> T:
        """Run `op` in a group and return its result when that is durable. Overloaded when the queue is full."""
        if self._closed or not self._thread.is_alive():
            raise ServiceUnavailable("spdb", "closed")
        if self._queue.qsize() >= self._queued_writes:
            raise Overloaded("spdb writes")
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put(_Waiting(op, answer))
        return await answer

    async def close(self) -> None:
        """Carry out what was submitted, then end the thread."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        open_for_more = True
        while open_for_more:
            group, open_for_more = self._next_group()
            if group:
                self._commit(group)
                _answer(group)

    def _next_group(self) -> tuple[list[_Waiting], bool]:
        """Wait for one operation and take what has gathered behind it; False once the end was announced."""
        group: list[_Waiting] = []
        waiting = self._queue.get()
        while waiting is not None:
            if not waiting.answer.cancelled():  # given up before it began: it need not run
                group.append(waiting)
            if len(group) == self._group_size:
                return group, True
            try:
                waiting = self._queue.get_nowait()
            except Empty:
                return group, True
        return group, False

    def _commit(self, group: Sequence[_Waiting]) -> None:
        """Run all operations and commit. A failure of the transaction itself is every operation's failure."""
        try:
            with self._engine.connect() as connection, connection.begin():
                driver = cast(sqlite3.Connection, connection.connection.driver_connection)
                for waiting in group:
                    _run_one(connection, driver, waiting, alone=len(group) == 1)
        except Exception as error:  # noqa: BLE001 (the thread must outlive it; every caller gets it)
            for waiting in group:
                waiting.error = waiting.error or meaning(error)


def _run_one(connection: Connection, driver: sqlite3.Connection, waiting: _Waiting, *, alone: bool) -> None:
    if not alone:
        driver.execute("SAVEPOINT op")
    try:
        waiting.result = waiting.op(connection)
    except Exception as error:  # noqa: BLE001 (belongs to one caller, who gets it)
        waiting.error = meaning(error)
        if alone or not driver.in_transaction:  # a full disk, say, ends the whole transaction by itself
            raise waiting.error from error
        driver.execute("ROLLBACK TO op")
    if not alone:
        driver.execute("RELEASE op")


def _answer(group: Sequence[_Waiting]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
    for waiting in group:
        by_loop.setdefault(waiting.answer.get_loop(), []).append(waiting)
    for loop, waitings in by_loop.items():
        with suppress(RuntimeError):  # that loop is closed: nobody is left to hear it, and other loops are
            loop.call_soon_threadsafe(_resolve, waitings)


def _resolve(group: Sequence[_Waiting]) -> None:
    for waiting in group:
        if waiting.answer.done():  # cancelled while it ran
            continue
        if waiting.error is not None:
            waiting.answer.set_exception(waiting.error)
        else:
            waiting.answer.set_result(waiting.result)
