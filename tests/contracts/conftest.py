"""The databases that SPDB's contract holds for."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spdb.database import Database, open_database
from tests import postgres as pg
from tests.contracts.spdb_world import World

collect_ignore = [] if pg.backends() else ["test_spdb_postgres.py"]


@pytest.fixture(params=["sqlite", *pg.backends()])
def spdb_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database that is not there yet, or empty."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/spdb.sqlite"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def db(spdb_url: str) -> AsyncIterator[Database]:
    async with open_database(spdb_url) as database:
        yield database


@pytest.fixture
def world(db: Database) -> World:
    return World(db)
