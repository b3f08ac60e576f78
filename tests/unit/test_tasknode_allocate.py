"""A job that finds nobody to ask waits aside, so that ten thousand of them do not ask one after the other in vain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from sp.domain.errors import TooFewReachable
from sp.domain.ids import ObjectId
from sp.domain.jobs import Job
from sp.runtime.clock import ManualClock
from spdb.database import open_database
from tasknode.allocate import Allocator
from tasknode.places import Places
from tests.contracts.spdb_world import World
from tests.turns import turn

WAIT_S = 5.0


@dataclass
class Deserted:
    """Nobody can be asked."""

    asked: int = 0

    async def get_approvals(self, *wanted: object) -> Any:
        self.asked += 1
        raise TooFewReachable(6, "nobody is there")


@pytest.fixture
async def job(tmp_path: Path) -> AsyncIterator[Job]:
    async with open_database(f"sqlite:///{tmp_path}/spdb.sqlite") as database:
        stored = await World(database).put("photo")
        yield replace(stored, delegated=False, object_id=ObjectId(7))


async def test_a_job_with_nobody_to_ask_leaves_its_place_and_asks_once_more_before_it_fails(job: Job) -> None:
    clock, peers, freed = ManualClock(), Deserted(), asyncio.Event()
    places = Places(1, 1, freed.set)
    absent = cast("Any", None)
    allocator = Allocator(absent, absent, cast("Any", peers), 2, "test", clock, Random(1), WAIT_S)

    async def carry() -> None:
        with places.taken():
            await allocator.run(job)

    carrying = asyncio.create_task(carry())
    while not peers.asked:
        await turn()
    await turn()
    assert places.free == 1, "another job may be taken meanwhile"
    clock.advance(1.5 * WAIT_S)
    with pytest.raises(TooFewReachable):
        await carrying
    assert peers.asked == 2


async def test_those_who_wait_are_bounded_and_no_further_job_is_taken_in_vain(job: Job) -> None:
    clock, peers = ManualClock(), Deserted()
    places = Places(1, 1, lambda: None)
    absent = cast("Any", None)
    allocator = Allocator(absent, absent, cast("Any", peers), 2, "test", clock, Random(1), WAIT_S)

    async def carry() -> None:
        with places.taken():
            await allocator.run(job)

    carrying = [asyncio.create_task(carry()) for _ in range(2)]
    while peers.asked < 2:
        await turn()
    await turn()
    assert places.free == 0
    clock.advance(1.5 * WAIT_S)
    await asyncio.gather(*carrying, return_exceptions=True)
    assert places.free == 1
