"""Collectors race with uploads, overwrites, deletions, repairs and providers that leave (docs/garbage-collection.md).

`guard.deleting` looks on at every single deletion: a live, whole piece that goes is a mishap. At rest the checker finds
every piece that nobody accounts for, and every promised one that is not there.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from sp.domain.errors import SpError
from sp.domain.findings import ScrubOrder
from sp.domain.ids import Address
from sp.runtime.log import get_logger
from tests.sim.chaos import Profile
from tests.sim.run import Outcome, buckets, simulate, summary
from tests.sim.workload import Client, Name
from tests.sim.world import World

log = get_logger(__name__)

FIRST_SEED = int(os.environ.get("SIM_FIRST_SEED", "700"))
SEEDS = int(os.environ.get("SIM_SEEDS", "3"))

RACES = Profile(crashes=True, stops=True, freezes=True, rot=True, database=True, disk=True, chain=True, departures=True)


async def few_names_often(world: World, outcome: Outcome) -> list[Client]:
    """Three names, put and deleted again and again: what one call makes garbage, the next is about to replace."""
    chance = world.chance("clients")
    places = await buckets(world, world.plan.account, "kept", chance)
    clients = []
    for number in range(3):
        bucket, primary = chance.choice(places)
        names = [Name(bucket, f"c{number}-0", primary)]
        account, stream = Address(world.plan.account.address), world.chance(f"client {number}")
        clients.append(Client(world, number, account, names, stream, 20, 4.0, outcome.violations, outcome.done))
    return clients


async def repairs(world: World) -> None:
    """`sp repair --all` at one provider after the other, without end."""
    chance = world.chance("repairs")
    while True:
        await asyncio.sleep(chance.uniform(0.5, 10.0))
        provider = chance.choice(world.providers)
        if provider.runs and provider.process is not None:
            service = chance.choice(("downloader", "receiver"))
            scrub = provider.services[service].scrub(ScrubOrder(repair=True))
            world.tasks.append(world.loop.spawn(provider.process, _exhausted(scrub), f"repair at {provider.name}"))


async def _exhausted(findings: Any) -> None:
    """Its own failures are an operator's to see, and to try again."""
    try:
        async for _ in findings:
            pass
    except* SpError as failed:
        log.info("repair failed", error=str(failed))


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SEEDS))
def test_no_live_piece_is_collected_and_nothing_is_left_over(seed: int) -> None:
    outcome = simulate(seed, RACES, clients=few_names_often, beside=repairs)
    assert not outcome.violations, summary(outcome)
    assert outcome.done["pieces deleted while faults lasted"] > 0, "a race without a collector proves nothing"


def test_the_guard_sees_a_collector_that_takes_what_is_live(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof is worth something only if it can fail: here is a collector that takes every sealed job for garbage."""
    import uploader.chores

    class Greedy(uploader.chores.SegmentCollector):
        async def tick(self) -> bool:
            page, _ = await self.jobs.walk(0, 100)
            for job in page:
                await self._delete_segments(job)
            return await super().tick()

    monkeypatch.setattr("uploader.app.SegmentCollector", Greedy)
    outcome = simulate(FIRST_SEED, Profile(), clients=_one_client)
    assert any("alive" in violation for violation in outcome.violations), outcome.violations


async def _one_client(world: World, outcome: Outcome) -> list[Client]:
    return (await few_names_often(world, outcome))[:1]
