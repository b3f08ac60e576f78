"""The simulation's database in memory, held to the suites of the real ones: all but what needs a URL to open."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import pytest

from spdb.database import Database
from tests.contracts import (
    test_spdb_conditions,
    test_spdb_database,
    test_spdb_jobs,
    test_spdb_objects,
    test_spdb_passes,
    test_spdb_queue,
    test_spdb_received,
    test_spdb_resumables,
    test_spdb_secondaries,
    test_spdb_small_segments,
)
from tests.sim.database import NoFaults, SimDatabase, memory_database


class _Conflicts(NoFaults):
    """Every transaction is rolled back once, and run again."""

    def conflicts(self) -> bool:
        return True


@pytest.fixture(params=[NoFaults, _Conflicts], ids=["quiet", "every transaction runs twice"])
async def db(request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    connection = memory_database()
    yield SimDatabase(connection, request.param())
    connection.close()
    connection.engine.dispose()


resumables = test_spdb_resumables.resumables
"""That suite's own fixture."""


def _suite(module: ModuleType) -> dict[str, Any]:
    tests = {name: test for name, test in vars(module).items() if name.startswith("test_") and callable(test)}
    return {name: test for name, test in tests.items() if {"db", "world"} & set(inspect.signature(test).parameters)}


for _module in (
    test_spdb_conditions,
    test_spdb_database,
    test_spdb_jobs,
    test_spdb_objects,
    test_spdb_passes,
    test_spdb_queue,
    test_spdb_received,
    test_spdb_resumables,
    test_spdb_secondaries,
    test_spdb_small_segments,
):
    globals().update(_suite(_module))
