"""Providers leave while everything else goes wrong, too: in the end every object is whole, with others."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from sp.domain.ids import Address
from sp.domain.ledger import EventType, ObjectStatus, SpStatus, Visibility
from sp.domain.messages import MsgCreateBucket, MsgStorageProviderForcedExit
from tests.sim.chaos import Profile
from tests.sim.checker import Checker
from tests.sim.run import in_calm, simulate, summary
from tests.sim.workload import Client, Name
from tests.sim.world import World

FIRST_SEED = int(os.environ.get("SIM_FIRST_SEED", "506"))
SEEDS = int(os.environ.get("SIM_SEEDS", "4"))


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SEEDS))
def test_the_promises_hold_though_a_provider_leaves(seed: int) -> None:
    profile = replace(Profile.of(Random(f"{seed} profile")), departures=True)
    outcome = simulate(seed, profile)
    assert not outcome.violations, summary(outcome)


def test_without_other_faults_all_columns_of_the_leaver_are_with_others_within_minutes() -> None:
    async def work(world: World) -> None:
        primary = world.providers[0]
        account = world.plan.account
        bucket = MsgCreateBucket(world.plan.genesis.authority, "kept", Visibility.PRIVATE, primary.operator)
        assert (await world.execute(account, bucket)).code == 0
        names = [Name("kept", f"n{number}", primary) for number in range(4)]
        wrong: list[str] = []
        client = Client(world, 0, Address(account.address), names, world.chance("client"), 0, 1.0, wrong, Counter())
        for name in names:
            while name.acknowledged is None:
                await client.put(name)
        checker = Checker(world, names)
        assert await checker.until_quiet(600.0) == []
        sealed = [o for o in world.node.state.objects.values() if o.status is ObjectStatus.SEALED and o.payload_size]
        assert sealed
        leaver = world.provider_of(sealed[0].secondaries[0])
        due = sum(leaver.operator in each.secondaries for each in sealed)
        forced = MsgStorageProviderForcedExit(world.plan.genesis.authority, leaver.operator)
        assert (await world.execute(account, forced)).code == 0
        leaver.disk.pieces.clear()
        assert await checker.until_quiet(600.0) == []
        events = [event for block in world.node.history.blocks for event in block.events]
        assert sum(event.type is EventType.COMPLETE_SWAP_IN for event in events) == due
        assert world.node.state.providers[leaver.operator].status is SpStatus.FORCED_EXITING
        assert await checker.check() == []
        assert not wrong

    in_calm(work)
