"""What only a server can do: restart under its clients, and undo one of two transactions that wait for each other."""

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from sp.domain.errors import ServiceUnavailable
from spdb.cursors import Cursors
from spdb.database import open_database
from tests.postgres import PostgresServer


async def test_a_server_that_restarts_is_found_again(postgres: PostgresServer, postgres_url: str) -> None:
    async with open_database(postgres_url) as database:
        cursors = Cursors(database)
        await cursors.set("c", 1)
        postgres.kill()
        with pytest.raises(ServiceUnavailable):
            await cursors.set("c", 2)
        with pytest.raises(ServiceUnavailable):
            await cursors.get("c")
        postgres.start()
        assert await cursors.get("c") == 1
        await cursors.set("c", 3)
        assert await cursors.get("c") == 3


NO_FAULT_OF_OURS = {
    "08006": "connection failure",
    "25P03": "idle in transaction for too long",
    "53100": "disk full",
    "53200": "out of memory",
    "53300": "too many connections",
    "55P03": "lock not available",
    "57014": "the statement's time is over",
    "57P01": "shut down by an operator",
    "57P02": "another process of the server crashed",
    "57P03": "starting up, or shutting down",
    "58030": "I/O error",
}


@pytest.mark.parametrize("state", NO_FAULT_OF_OURS, ids=NO_FAULT_OF_OURS.get)
async def test_what_the_server_says_of_itself_is_unavailability_and_no_mistake(postgres_url: str, state: str) -> None:
    def fail(connection: Connection) -> None:
        connection.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$"))

    async with open_database(postgres_url) as database:
        for operation in (database.read, database.write):
            with pytest.raises(ServiceUnavailable):
                await operation(fail)


async def test_a_wrong_statement_stays_a_mistake(postgres_url: str) -> None:
    async with open_database(postgres_url) as database:
        with pytest.raises(DBAPIError):
            await database.read(lambda c: c.execute(text("SELECT 1 / 0")) and None)
        with pytest.raises(DBAPIError):
            await database.read(lambda c: c.execute(text("SELECT nothing FROM nowhere")) and None)


async def test_transactions_that_deadlock_are_run_again_until_both_succeed(postgres_url: str) -> None:
    async with open_database(postgres_url) as database:
        for name in "ab":
            await Cursors(database).set(name, 0)

        def add(first: str, second: str) -> Callable[[Connection], None]:
            def run(connection: Connection) -> None:
                for name in (first, second):
                    connection.execute(text("UPDATE cursors SET value = value + 1 WHERE name = :name"), {"name": name})
                    connection.execute(text("SELECT pg_sleep(0.05)"))

            return run

        await asyncio.gather(database.write(add("a", "b")), database.write(add("b", "a")))
        assert [await Cursors(database).get(name) for name in "ab"] == [2, 2]
