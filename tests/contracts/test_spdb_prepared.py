"""A prepared statement says and does what the same statement does through SQLAlchemy, on both databases."""

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, DateTime, bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from sp.domain.errors import ServiceUnavailable
from sp.domain.lifecycle import JobState
from spdb.cursors import Cursors
from spdb.database import Database
from spdb.faults import meaning
from spdb.models.cursors import cursors
from spdb.models.jobs import history, jobs
from spdb.models.resumables import resumables
from spdb.prepared import Prepared
from tests.contracts.spdb_world import World
from tests.sim.database import memory_database

_SET = Prepared(
    update(cursors)
    .where(cursors.c.name >= bindparam("b_from"), cursors.c.value != 7)
    .values(value=cursors.c.value + bindparam("b_more"))
    .returning(cursors.c.name, cursors.c.value)
)
_ADD = Prepared(insert(cursors))
_NAMES = select(cursors.c.name).order_by(cursors.c.name)


def added(connection: Connection, **values: int) -> None:
    _ADD.run_each(connection, [{"name": name, "value": value} for name, value in values.items()])


@pytest.mark.parametrize("table", [jobs, history, resumables], ids=str)
async def test_rows_hold_the_same_values_of_the_same_types(world: World, table: Any) -> None:
    await world.put()
    await world.lead(await world.put("other"), JobState.ALLOC_SECONDARY_DOING)
    columns = [*table.c, (table.c.job_id if "job_id" in table.c else table.c.id).is_(None).label("nobodys")]
    query = select(*columns).order_by(*table.primary_key.columns)
    prepared = Prepared(query)

    def both(connection: Connection) -> tuple[list[Any], list[Any]]:
        return list(connection.execute(query)), list(prepared.all(connection, {}))

    expected, actual = await world.db.read(both)
    assert [tuple(row) for row in actual] == [tuple(row) for row in expected]
    assert [row._fields for row in actual] == [row._fields for row in expected]
    assert [list(map(type, row)) for row in actual] == [list(map(type, row)) for row in expected]
    assert [[getattr(row, name) for name in row._fields] for row in actual] == [list(row) for row in expected]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (jobs.c.given_up, True),
        (jobs.c.given_up, False),
        (jobs.c.root, b"\0\xff"),
        (jobs.c.root, None),
        (jobs.c.error, "\u20ac"),
        (jobs.c.created_at_ms, 2**63 - 1),
        (jobs.c.object_id, None),
    ],
    ids=repr,
)
async def test_a_value_comes_back_as_it_went_in(world: World, column: Any, value: object) -> None:
    job = await world.put()
    change = Prepared(
        update(jobs).where(jobs.c.id == bindparam("b_id")).values({column: bindparam("b_value")}).returning(column)
    )
    read = Prepared(select(column.label("it")).where(jobs.c.id == bindparam("b_id")))
    returned = await world.db.write(lambda c: change.first(c, {"b_id": job.id, "b_value": value}))
    assert returned is not None
    assert (returned[0], type(returned[0])) == (value, type(value))
    found = await world.db.read(lambda c: read.first(c, {"b_id": job.id}))
    assert found is not None
    assert (found.it, type(found.it)) == (value, type(value))


async def test_a_change_with_returning_is_whole_though_only_its_first_row_is_wanted(db: Database) -> None:
    await db.write(lambda c: added(c, a=1, b=2, c=3, d=7))
    row = await db.write(lambda c: _SET.first(c, {"b_from": "b", "b_more": 10}))
    assert row is not None
    assert row.value == {"b": 12, "c": 13}[row.name]
    assert [await Cursors(db).get(name) for name in "abcd"] == [1, 12, 13, 7]
    assert await db.write(lambda c: _SET.first(c, {"b_from": "x", "b_more": 1})) is None


async def test_rows_that_are_not_wanted_do_not_hold_up_what_follows(db: Database) -> None:
    """A statement of SQLite's that was not read to its end would let no table change."""
    names = Prepared(_NAMES)

    def work(connection: Connection) -> list[str]:
        added(connection, a=1, b=2, c=3)
        assert names.first(connection, {}) is not None
        assert _SET.first(connection, {"b_from": "a", "b_more": 1}) is not None
        connection.exec_driver_sql("CREATE TABLE another (x INTEGER)")
        connection.exec_driver_sql("DROP TABLE another")
        return [row.name for row in names.all(connection, {})]

    assert await db.write(work) == ["a", "b", "c"]


async def test_run_tells_how_many_rows_it_changed(db: Database) -> None:
    await db.write(lambda c: added(c, a=1, b=2, c=3))
    some = Prepared(delete(cursors).where(cursors.c.value > bindparam("b_value")))
    assert [await db.write(lambda c: some.run(c, {"b_value": 1})) for _ in range(2)] == [2, 0]


async def test_the_dialect_chooses_among_the_words(db: Database) -> None:
    def upsert(dialect: Any) -> Any:
        statement = dialect.insert(cursors)
        return statement.on_conflict_do_update(
            index_elements=[cursors.c.name], set_={"value": statement.excluded.value}
        )

    put = Prepared({"sqlite": upsert(sqlite), "postgresql": upsert(postgresql)})
    for value in (1, 2):
        await db.write(lambda c, value=value: put.run(c, {"name": "a", "value": value}))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    assert await Cursors(db).get("a") == 2


async def test_a_broken_constraint_stays_what_it_is_and_undoes_its_operation(db: Database) -> None:
    def twice(connection: Connection) -> None:
        added(connection, a=1)
        added(connection, b=1, a=2)

    with pytest.raises((sqlite3.IntegrityError, DBAPIError)) as caught:
        await db.write(twice)
    assert meaning(caught.value) is caught.value
    assert [await Cursors(db).get(name) for name in "ab"] == [0, 0]


@pytest.fixture
def memory() -> Iterator[Connection]:
    with memory_database() as connection, connection.begin():
        yield connection
    connection.engine.dispose()


def test_parameters_that_do_not_fit_are_refused_at_first_use_and_later(memory: Connection) -> None:
    """Left to the driver, one too many would be lost in silence."""
    find = Prepared(select(cursors.c.value).where(cursors.c.name == bindparam("b_name")))
    misfits: list[dict[str, str]] = [{}, {"b_name": "a", "b_more": "b"}, {"b_other": "a"}]
    for values in misfits:
        with pytest.raises(AssertionError):
            find.first(memory, values)
    assert find.first(memory, {"b_name": "a"}) is None
    for values in misfits:
        with pytest.raises((AssertionError, KeyError)):
            find.first(memory, values)


def test_what_is_not_for_it_is_refused(memory: Connection) -> None:
    for statement in (
        select(cursors).where(cursors.c.name.in_(bindparam("b_names", expanding=True))),
        select(cursors).where(cursors.c.name == bindparam("b_names", type_=DateTime())),
    ):
        with pytest.raises(AssertionError):
            Prepared(statement).first(memory, {"b_names": ["a"]})


def test_it_is_for_transactions_alone() -> None:
    with memory_database() as connection, pytest.raises(AssertionError):
        Prepared(_NAMES).all(connection, {})
    connection.engine.dispose()


@pytest.mark.parametrize("error", [sqlite3.OperationalError("database is locked"), sqlite3.InterfaceError("gone")])
def test_what_the_driver_itself_raises_is_translated(error: sqlite3.Error) -> None:
    found = meaning(error)
    assert isinstance(found, ServiceUnavailable)
    assert str(error) in str(found)


@pytest.mark.parametrize("error", [sqlite3.IntegrityError("UNIQUE"), sqlite3.ProgrammingError("closed")])
def test_our_own_mistakes_stay(error: sqlite3.Error) -> None:
    assert meaning(error) is error
