"""What only a server can do: restart under its clients, and undo one of two transactions that wait for each other."""

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, text

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
