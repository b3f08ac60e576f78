"""What every suite may ask for: a private PostgreSQL server, and a fresh database on it."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests import postgres as pg

# gRPC's handlers around a fork may fail in a child that only execs another program, such as PostgreSQL's.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

# How long one example takes says nothing on a machine that does other work; a test has its own timeout.
settings.register_profile("ours", parent=settings.default, deadline=None)
settings.load_profile("ours")

pytest.register_assert_rewrite("tests.clients.operations", "tests.clients.names")

collect_ignore = [] if pg.backends() else ["contracts/test_private_postgres.py"]


def pytest_configure() -> None:
    if pg.required() and pg.programs() is None:
        raise pytest.UsageError(f"SP_REQUIRE_POSTGRES=1, but {pg.MISSING}")


def pytest_report_header() -> str:
    return pg.report_line()


@pytest.fixture(scope="session")
def postgres() -> Iterator[pg.PostgresServer]:
    """One server for the whole session (for each worker, under xdist)."""
    if pg.programs() is None:
        pytest.fail(pg.MISSING, pytrace=False)
    with pg.running_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: pg.PostgresServer) -> Iterator[str]:
    """The URL of an empty database of the test's own. Leaves the server running, though the test killed it."""
    url = postgres.create_database()
    yield url
    if not postgres.running:
        postgres.start()
    postgres.drop_database(url)
