"""The edge to the database: transactions, groups, schema, several processes, sudden ends."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from sp.domain.errors import ConfigError, Overloaded, ServiceUnavailable
from sp.domain.ids import JobId
from sp.domain.lifecycle import JobState
from spdb.cursors import Cursors
from spdb.database import Database, open_database, parse_url
from spdb.lane import GUARDED_GROUPS
from spdb.migrations.upgrade import HEAD, alembic_config
from spdb.models import METADATA
from spdb.settings import PoolSettings
from tests.contracts.spdb_world import World
from tests.turns import turn

ROOT = Path(__file__).resolve().parents[2]


def process(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.contracts.spdb_process", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def set_cursor(connection: Connection, name: str, value: int) -> int:
    connection.execute(text("INSERT INTO cursors (name, value) VALUES (:name, :value)"), {"name": name, "value": value})
    return value


class Refused(Exception):
    """An operation changed its mind."""


async def test_an_operation_that_raises_undoes_itself_and_none_of_its_neighbours(db: Database) -> None:
    def write(number: int) -> "asyncio.Future[int]":
        def run(connection: Connection) -> int:
            set_cursor(connection, f"c{number}", number)
            if number % 5 == 2:
                raise Refused(number)
            return number

        return asyncio.ensure_future(db.write(run))

    outcomes = await asyncio.gather(*(write(i) for i in range(100)), return_exceptions=True)
    refused = {i for i, outcome in enumerate(outcomes) if isinstance(outcome, Refused)}
    assert refused == set(range(2, 100, 5))
    assert [outcome for outcome in outcomes if isinstance(outcome, int)] == [i for i in range(100) if i not in refused]
    cursors = Cursors(db)
    assert {i for i in range(1, 100) if await cursors.get(f"c{i}") == i} == set(range(1, 100)) - refused


async def test_a_group_of_which_one_raises_has_each_effect_of_the_others_once(db: Database) -> None:
    def increase(connection: Connection) -> int:
        row = connection.execute(text("UPDATE cursors SET value = value + 1 WHERE name = 'c' RETURNING value")).one()
        return int(row.value)

    def refuse(connection: Connection) -> None:
        increase(connection)
        raise Refused

    await db.write(lambda c: set_cursor(c, "c", 0))
    for _ in range(3):
        outcomes = await asyncio.gather(
            *(db.write(refuse if i == 30 else increase) for i in range(60)), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes if not isinstance(outcome, int)] == [Refused]
    assert await Cursors(db).get("c") == 3 * 59
    seen = await asyncio.gather(*(db.write(increase) for _ in range(60)))
    assert sorted(seen) == list(range(178, 238))


async def test_savepoints_are_for_groups_in_which_an_operation_has_just_raised(tmp_path: Path) -> None:
    """They cost as much as a small statement, each."""
    saved: list[str] = []

    def trace(connection: Connection) -> None:
        cast(sqlite3.Connection, connection.connection.driver_connection).set_trace_callback(
            lambda statement: saved.append(statement) if statement.startswith("SAVEPOINT") else None
        )

    def refuse(_: Connection) -> None:
        raise Refused

    async with open_database(f"sqlite:///{tmp_path}/spdb.sqlite") as database:

        async def group(first: Callable[[Connection], object]) -> int:
            """How many savepoints a group has that begins so."""
            saved.clear()
            entered, go_on = threading.Event(), threading.Event()

            def hold(_: Connection) -> None:
                entered.set()
                assert go_on.wait(10)

            running = asyncio.create_task(database.write(hold))
            assert await asyncio.to_thread(entered.wait, 10)
            writes = [asyncio.create_task(database.write(op)) for op in (first, lambda _: None, lambda _: None)]
            await turn()
            go_on.set()
            await asyncio.gather(running, *writes, return_exceptions=True)
            return len(saved)

        await database.write(trace)
        assert await group(lambda _: None) == 0
        assert await group(refuse) == 3
        assert [await group(lambda _: None) for _ in range(GUARDED_GROUPS)] == [3] * (GUARDED_GROUPS - 1) + [0]


async def test_an_operation_alone_that_raises_leaves_nothing(db: Database) -> None:
    def run(connection: Connection) -> None:
        set_cursor(connection, "c", 1)
        raise Refused

    with pytest.raises(Refused):
        await db.write(run)
    assert await Cursors(db).get("c") == 0


async def test_a_read_that_raises_does_not_spoil_another(db: Database) -> None:
    def broken(_: Connection) -> None:
        raise Refused

    async def read() -> int:
        return await db.read(lambda c: c.execute(text("SELECT 7")).scalar_one())

    outcomes = await asyncio.gather(*(db.read(broken) if i % 2 else read() for i in range(20)), return_exceptions=True)
    assert [outcome for outcome in outcomes if outcome == 7] == [7] * 10
    assert [type(outcome) for outcome in outcomes if outcome != 7] == [Refused] * 10


async def test_a_read_sees_what_was_acknowledged_before_it(db: Database) -> None:
    cursors = Cursors(db)
    for value in range(50):
        await cursors.set("c", value)
        assert await cursors.get("c") == value


async def test_a_caller_that_goes_away_harms_no_other(db: Database) -> None:
    writes = [asyncio.create_task(Cursors(db).set(f"c{i}", i + 1)) for i in range(40)]
    await turn()
    for write in writes[::2]:
        write.cancel()
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert outcomes[1::2] == [None] * 20
    assert [await Cursors(db).get(f"c{i}") for i in range(1, 40, 2)] == list(range(2, 41, 2))


async def test_a_full_queue_refuses_at_once_and_serves_those_it_took(tmp_path: Path) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow(_: Connection) -> str:
        entered.set()
        assert go_on.wait(10)
        return "done"

    async with open_database(f"sqlite:///{tmp_path}/spdb.sqlite", PoolSettings(queued_writes=3)) as database:
        running = asyncio.create_task(database.write(slow))
        assert await asyncio.to_thread(entered.wait, 10)
        waiting = [asyncio.create_task(database.write(lambda c: set_cursor(c, "a", 1))) for _ in range(3)]
        await turn()
        with pytest.raises(Overloaded):
            await database.write(lambda c: set_cursor(c, "b", 1))
        waiting[1].cancel()
        waiting[2].cancel()
        go_on.set()
        assert (await running, await waiting[0]) == ("done", 1)


async def test_closing_finishes_what_was_submitted_and_refuses_what_comes_after(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/spdb.sqlite"
    async with open_database(url) as database:
        writes = [asyncio.create_task(Cursors(database).set(f"c{i}", 1)) for i in range(30)]
        await turn()
    await asyncio.gather(*writes)
    with pytest.raises(ServiceUnavailable):
        await Cursors(database).set("late", 1)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("spdb-")]


async def test_migrations_from_empty_give_the_schema_of_the_models(db: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), METADATA))

    assert await db.read(differences) == []


def test_the_revision_that_needs_no_migration_is_the_newest_one() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_heads() == [HEAD]


async def test_an_open_schema_is_opened_again_with_what_it_holds(spdb_url: str) -> None:
    async with open_database(spdb_url) as database:
        job = await World(database).put()
    async with open_database(spdb_url) as database:
        assert await World(database).jobs.get(job.id) == job


async def test_a_newer_schema_is_refused_untouched(spdb_url: str) -> None:
    async with open_database(spdb_url) as database:
        await database.write(lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")) and None)
    with pytest.raises(ConfigError) as caught:
        async with open_database(spdb_url):
            pass
    assert "9999" in caught.value.reason


async def test_processes_that_start_at_once_all_open_an_empty_database(spdb_url: str) -> None:
    processes = [process("open", spdb_url, str(seed)) for seed in range(3)]
    outputs = await asyncio.gather(*(asyncio.to_thread(p.communicate, timeout=60) for p in processes))
    assert [out for out, _ in outputs] == ["opened\n"] * 3
    async with open_database(spdb_url) as database:
        assert [await Cursors(database).get(f"process {seed}") for seed in range(3)] == [1, 1, 1]


async def test_processes_that_write_at_once_share_one_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/spdb.sqlite"
    acknowledged = await asyncio.gather(*(asyncio.to_thread(puts_until_killed, url, seed, 60) for seed in (1, 2)))
    await all_are_kept(url, acknowledged[0] + acknowledged[1])


async def test_sigkill_in_the_middle_of_writes_loses_nothing_acknowledged(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/spdb.sqlite"
    for seed in (1, 2, 3):
        acknowledged = await asyncio.to_thread(puts_until_killed, url, seed, 40 * seed)
        await all_are_kept(url, acknowledged)


def puts_until_killed(url: str, seed: int, after: int) -> list[JobId]:
    """The puts a process acknowledged before SIGKILL met it in the middle of others."""
    writer = process("put", url, str(seed))
    assert writer.stdout is not None
    lines = [writer.stdout.readline() for _ in range(after)]
    writer.kill()
    lines += writer.stdout.readlines()
    writer.stdout.close()
    writer.wait(30)
    return [JobId(int(line)) for line in lines if line.endswith("\n")]


async def all_are_kept(url: str, acknowledged: list[JobId]) -> None:
    async with open_database(url) as database:
        world = World(database)
        assert acknowledged
        for job_id in acknowledged:
            job = await world.jobs.get(job_id)
            assert job.state is JobState.UPLOAD_OBJECT_DONE
            assert len(await world.jobs.history(job_id)) == 3
            assert await world.objects.head(job.bucket, job.object_name) is not None
        assert (await database.read(lambda c: c.execute(text("PRAGMA integrity_check")).scalar())) == "ok"


@pytest.mark.parametrize("url", ["", "spdb.sqlite", "sqlite://", "sqlite:///:memory:", "mysql://localhost/spdb"])
def test_a_url_of_no_database_of_ours_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigError):
        parse_url(url)


def test_a_password_with_special_characters_reaches_the_server_as_it_is() -> None:
    assert parse_url("postgresql://sp:p%40ss@db:5432/sp").postgres_url == "postgresql+asyncpg://sp:p%40ss@db:5432/sp"
