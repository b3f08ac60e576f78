"""One thread, one SQLite connection: what has gathered while one transaction was under way shares the next.

For writing, a commit costs a sync of the disk, whatever it holds: the operations of a group run one after the other and
all are answered after the one commit. When one of them raises, all is undone and the group runs again, now each
operation in a savepoint of its own, so that one which raises undoes only itself. For reading, a group shares one
snapshot and one change of threads, which cost more than the statements.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Connection, Engine

from sp.domain.errors import Overloaded, ServiceUnavailable
from spdb.faults import meaning

T = TypeVar("T")

GUARDED_GROUPS: Final = 32
"""Groups that have savepoints from the start once an operation has raised: where many raise, few groups run twice."""


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
    turn: entered for each transaction, in the thread
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        *,
        queued: int,
        group_size: int,
        savepoints: bool,
        turn: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._name = name
        self._engine = engine
        self._queued = queued
        self._group_size = group_size
        self._savepoints = savepoints
        self._turn = turn
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._unanswered = 0
        self._closed = False
        self._connection: Connection | None = None  # these two are the thread's own
        self._guarded_groups = 0
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
                self._transact_in_turn(group)
                _answer(group)
        self._disconnect()

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

    def _transact_in_turn(self, group: Sequence[_Waiting]) -> None:
        """A failure of the transaction itself is every operation's failure."""
        try:
            with self._turn():
                self._transact(group)
        except Exception as error:  # noqa: BLE001 (the thread must outlive it; every caller gets it)
            for waiting in group:
                waiting.error = waiting.error or meaning(error)
            self._disconnect()

    def _transact(self, group: Sequence[_Waiting]) -> None:
        """Run all operations and commit."""
        if self._connection is None:
            self._connection = self._engine.connect()
        if not self._savepoints:
            _run_apart(self._connection, group)
        elif len(group) == 1:
            _run_alone(self._connection, group[0])
        elif self._guarded_groups or not _run_together(self._connection, group):
            self._guarded_groups = (self._guarded_groups or GUARDED_GROUPS) - 1
            _run_guarded(self._connection, group)

    def _disconnect(self) -> None:
        """What the next transaction gets has nothing of this one's."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _run_apart(connection: Connection, group: Sequence[_Waiting]) -> None:
    """Operations that leave nothing to undo."""
    with connection.begin():
        for waiting in group:
            try:
                waiting.result = waiting.op(connection)
            except Exception as error:  # noqa: BLE001 (its caller gets it)
                waiting.error = meaning(error)


def _run_alone(connection: Connection, waiting: _Waiting) -> None:
    """The transaction ends as its one operation does."""
    with connection.begin():
        waiting.result = waiting.op(connection)


def _run_together(connection: Connection, group: Sequence[_Waiting]) -> bool:
    """False: an operation has raised, and nothing of the whole group is kept."""
    transaction = connection.begin()
    for waiting in group:
        try:
            waiting.result = waiting.op(connection)
        except Exception:  # noqa: BLE001 (it is to raise once more, in a savepoint)
            transaction.rollback()
            return False
    transaction.commit()
    return True


def _run_guarded(connection: Connection, group: Sequence[_Waiting]) -> None:
    with connection.begin():
        driver = cast(sqlite3.Connection, connection.connection.driver_connection)
        for waiting in group:
            _run_in_savepoint(connection, driver, waiting)


def _run_in_savepoint(connection: Connection, driver: sqlite3.Connection, waiting: _Waiting) -> None:
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
