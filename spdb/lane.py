"""One thread, one SQLite connection: what has gathered while one transaction was under way shares the next.

For writing, a commit costs a sync of the disk, whatever it holds: each operation of a group runs in a savepoint of its
own, so that one which raises undoes only itself, and all are answered after the one commit. For reading, a group shares
one snapshot and one change of threads, which cost more than the statements.
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


class Lane:
    """Call `run` from any event loop; `close` once.

    engine: begins its transactions as this lane needs them (see spdb.sqlite)
    queued: operations that may wait; group_size: operations in one transaction at most
    savepoints: whether an operation that raises has something to undo
    """

    def __init__(self, name: str, engine: Engine, *, queued: int, group_size: int, savepoints: bool) -> None:
        self._name = name
        self._engine = engine
        self._queued = queued
        self._group_size = group_size
        self._savepoints = savepoints
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._unanswered = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"spdb-{name}", daemon=True)
        self._thread.start()

    @property
    def unanswered(self) -> int:
        """Operations waiting or running."""
        return self._unanswered

    async def run(self, op: Callable[[Connection], T]) -> T:
        """Run `op` in a group; its result when the group has ended. Overloaded when too many wait already."""
        if self._closed or not self._thread.is_alive():
            raise ServiceUnavailable("spdb", "closed")
        if self._queue.qsize() >= self._queued:
            raise Overloaded(f"spdb {self._name} queue")
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._unanswered += 1
        self._queue.put(_Waiting(op, answer))
        try:
            return await answer
        finally:
            self._unanswered -= 1

    async def close(self) -> None:
        """Carry out what was submitted, then end the thread and its connection."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._engine.dispose()

    def _run(self) -> None:
        open_for_more = True
        while open_for_more:
            group, open_for_more = self._next_group()
            if group:
                self._transact(group)
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

    def _transact(self, group: Sequence[_Waiting]) -> None:
        """Run all operations and commit. A failure of the transaction itself is every operation's failure."""
        try:
            with self._engine.connect() as connection, connection.begin():
                driver = cast(sqlite3.Connection, connection.connection.driver_connection)
                for waiting in group:
                    if self._savepoints and len(group) > 1:
                        _run_guarded(connection, driver, waiting)
                    else:
                        _run_plain(connection, waiting, undo=self._savepoints)
        except Exception as error:  # noqa: BLE001 (the thread must outlive it; every caller gets it)
            for waiting in group:
                waiting.error = waiting.error or meaning(error)


def _run_plain(connection: Connection, waiting: _Waiting, *, undo: bool) -> None:
    """undo: the operation is alone in its transaction, so roll that back when it raises."""
    try:
        waiting.result = waiting.op(connection)
    except Exception as error:
        waiting.error = meaning(error)
        if undo:
            raise


def _run_guarded(connection: Connection, driver: sqlite3.Connection, waiting: _Waiting) -> None:
    driver.execute("SAVEPOINT op")
    try:
        waiting.result = waiting.op(connection)
    except Exception as error:
        waiting.error = meaning(error)
        if not driver.in_transaction:  # a full disk, say, ends the whole transaction by itself
            raise
        driver.execute("ROLLBACK TO op")
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
