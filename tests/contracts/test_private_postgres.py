"""The PostgreSQL server other suites rely on: it keeps what it acknowledged, and tests do not see each other."""

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from tests.postgres import PostgresServer


async def connect(url: str) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))


async def test_a_committed_row_outlives_sigkill_of_the_server(postgres: PostgresServer, postgres_url: str) -> None:
    writer = await connect(postgres_url)
    await writer.execute("CREATE TABLE kept (n int)")
    await writer.execute("INSERT INTO kept VALUES (7)")
    postgres.kill()
    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        await writer.execute("INSERT INTO kept VALUES (8)")
    writer.terminate()
    postgres.start()
    reader = await connect(postgres_url)
    assert [row["n"] for row in await reader.fetch("SELECT n FROM kept")] == [7]
    await reader.close()


async def test_a_restart_keeps_the_address_and_ends_open_connections(
    postgres: PostgresServer, postgres_url: str
) -> None:
    before = await connect(postgres_url)
    postgres.restart()
    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        await before.execute("SELECT 1")
    before.terminate()
    after = await connect(postgres_url)
    assert await after.fetchval("SELECT 1") == 1
    await after.close()


async def test_two_databases_share_no_table(postgres: PostgresServer, postgres_url: str) -> None:
    other_url = postgres.create_database()
    one, other = await connect(postgres_url), await connect(other_url)
    await one.execute("CREATE TABLE only_here (n int)")
    assert await other.fetchval("SELECT to_regclass('only_here')") is None
    await one.close()
    postgres.drop_database(other_url)  # with `other` still connected
    other.terminate()


async def test_the_server_syncs_every_commit_and_wants_a_password(postgres: PostgresServer, postgres_url: str) -> None:
    connection = await connect(postgres_url)
    assert await connection.fetchval("SHOW fsync") == "on"
    assert await connection.fetchval("SHOW synchronous_commit") == "on"
    await connection.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await connect(postgres_url.replace(postgres.password, "wrong"))
