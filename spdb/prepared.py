"""Statements that run often, without SQLAlchemy's cost for each run: on SQLite a tenth of it.

    _RENEW: Final = Prepared(update(jobs).where(jobs.c.id == bindparam("b_id")).values(...).returning(jobs.c.id))
    row = _RENEW.first(connection, {"b_id": 7})  # a named tuple of the columns, or None

Made once, where it is written; used with any connection, in a transaction. On a connection of sqlite3's own it goes to
the driver, as text that was compiled at its first use and that the driver keeps prepared. On any other it is an
ordinary `connection.execute`.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Boolean, Connection, Dialect, Executable, Integer, LargeBinary, String
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import NullType, TypeEngine

Values = Mapping[str, Any]
"""A value for each parameter that has none in the statement, by name: the same names in each run."""

_NATIVE: Final = (Integer, String, LargeBinary, Boolean, NullType)
"""Types whose values sqlite3 takes as they are. It gives them back so, too, but for Boolean."""


class Prepared:
    """One statement. Rows have their columns as attributes, and must all be wanted: a result is read to its end, before
    which SQLite has not finished a change with RETURNING.

    statement: its columns have different names; no `expanding` parameter. Where the databases need different words:
      one for each name of a dialect
    """

    def __init__(self, statement: Executable | Mapping[str, Executable]) -> None:
        self._statement = statement
        self._on_sqlite: _OnSqlite | None = None

    def first(self, connection: Connection, values: Values) -> Any | None:
        """The first row, or None."""
        driver = _driver(connection)
        if driver is None:
            return connection.execute(self._for(connection), values).first()
        rows = self._compiled(connection, values).rows(driver, values)
        return rows[0] if rows else None

    def all(self, connection: Connection, values: Values) -> Sequence[Any]:
        """The rows."""
        driver = _driver(connection)
        if driver is None:
            return connection.execute(self._for(connection), values).all()
        return self._compiled(connection, values).rows(driver, values)

    def run(self, connection: Connection, values: Values) -> int:
        """For a statement without rows: how many it changed."""
        driver = _driver(connection)
        if driver is None:
            return connection.execute(self._for(connection), values).rowcount
        return self._compiled(connection, values).run(driver, values)

    def run_each(self, connection: Connection, many: Sequence[Values]) -> None:
        """Once for each of `many` (one at least), for a statement without rows."""
        driver = _driver(connection)
        if driver is None:
            connection.execute(self._for(connection), many)
        else:
            self._compiled(connection, many[0]).run_each(driver, many)

    def _for(self, connection: Connection) -> Executable:
        if isinstance(self._statement, Mapping):
            return self._statement[connection.dialect.name]
        return self._statement

    def _compiled(self, connection: Connection, values: Values) -> _OnSqlite:
        if self._on_sqlite is None:
            self._on_sqlite = _OnSqlite(self._for(connection), connection.dialect, values)
        return self._on_sqlite


def for_dialects(make: Callable[[Any], Executable]) -> Prepared:
    """make: the statement for one database, from its SQLAlchemy dialect (`sqlite`, `postgresql`: `insert` differs)"""
    return Prepared({"sqlite": make(sqlite), "postgresql": make(postgresql)})


def _driver(connection: Connection) -> sqlite3.Connection | None:
    """Of a connection in a transaction; None when it is not sqlite3's."""
    driver: Any = connection.connection.dbapi_connection
    if not isinstance(driver, sqlite3.Connection):
        return None
    assert driver.in_transaction, "SQLAlchemy, which begins one by itself, does not see this statement"
    return driver


class _OnSqlite:
    """What sqlite3 needs to run a statement."""

    def __init__(self, statement: Any, dialect: Dialect, values: Values) -> None:
        """values: of its first run"""
        compiled: SQLCompiler = statement.compile(dialect=dialect, column_keys=list(values))
        assert not compiled.post_compile_params, "an expanding parameter"
        names = compiled.positiontup or []
        fixed = _fixed(compiled, names)
        wanted = set(names) - fixed.keys()
        assert wanted == values.keys(), f"parameters {sorted(wanted)}, not {sorted(values)}"
        self._text = str(compiled)
        self._count = len(wanted)
        self._parameters = _parameters(names, fixed)
        columns = statement.exported_columns
        self._row = partial(tuple.__new__, namedtuple("Row", columns.keys()))
        self._booleans = [i for i, column in enumerate(columns) if isinstance(_native(column.type), Boolean)]

    def rows(self, driver: sqlite3.Connection, values: Values) -> list[Any]:
        assert len(values) == self._count
        rows: list[Any] = driver.execute(self._text, self._parameters(values)).fetchall()
        make = self._row
        return [make(self._with_booleans(row)) for row in rows] if self._booleans else [make(row) for row in rows]

    def run(self, driver: sqlite3.Connection, values: Values) -> int:
        assert len(values) == self._count
        return driver.execute(self._text, self._parameters(values)).rowcount

    def run_each(self, driver: sqlite3.Connection, many: Sequence[Values]) -> None:
        assert all(len(values) == self._count for values in many)
        driver.executemany(self._text, [self._parameters(values) for values in many])

    def _with_booleans(self, row: tuple[Any, ...]) -> list[Any]:
        changed = list(row)
        for i in self._booleans:
            if changed[i] is not None:
                changed[i] = bool(changed[i])
        return changed


def _fixed(compiled: SQLCompiler, names: Sequence[str]) -> dict[str, Any]:
    """The parameters that the statement brings with it: `state == 3` has one."""
    binds = {name: compiled.binds[name] for name in names}
    for bind in binds.values():
        _native(bind.type)
    return {name: bind.effective_value for name, bind in binds.items() if not bind.required}


def _native(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    assert isinstance(kind, _NATIVE), f"sqlite3 does not take {kind!r} as it is"
    return kind


def _parameters(names: Sequence[str], fixed: dict[str, Any]) -> Callable[[Values], Sequence[Any]]:
    """Values by name, in the order of the text's question marks."""
    if not names:
        return lambda _: ()
    pick: Any = itemgetter(*names) if len(names) > 1 else lambda values: (values[names[0]],)
    return (lambda values: pick({**fixed, **values})) if fixed else pick
