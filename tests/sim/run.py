"""One seed, from a network that starts to a checked one at rest. `python -m tests.sim.run SEED`: a summary of it."""

from __future__ import annotations

import asyncio
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from sp.crypto.private import PrivateKey
from sp.domain.ids import Address
from sp.domain.ledger import EventType, Visibility
from sp.domain.messages import MsgCreateBucket
from tests.sim.chaos import Chaos, Profile
from tests.sim.checker import Checker
from tests.sim.making import UNSEALED_TTL_S
from tests.sim.provider import SimProvider
from tests.sim.workload import Client, Name
from tests.sim.world import World, collected_at_its_end, simulated_edges

QUIET_LIMIT_S: Final = 24 * 3600.0
GARBAGE_S: Final = 200.0
"""After all is done: long enough for every collector to have come by twice."""


@dataclass(slots=True)
class Outcome:
    """hours: simulated; violations: promises broken, in words"""

    seed: int
    profile: str
    digest: str = ""
    lines: int = 0
    hours: float = 0.0
    steps: int = 0
    wall_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    tail: list[str] = field(default_factory=list)


MakeClients = Callable[[World, Outcome], Coroutine[Any, Any, list[Client]]]


@collected_at_its_end()
def simulate(
    seed: int,
    profile: Profile | None = None,
    *,
    keep: bool = False,
    clients: MakeClients | None = None,
    beside: Callable[[World], Coroutine[Any, Any, None]] | None = None,
) -> Outcome:
    """profile: which faults; by default chosen by the seed. keep: all lines of the trace, not the newest alone
    clients: who uses the network; beside: runs as long as the faults do"""
    started = time.perf_counter()
    world = World(seed)
    chosen = profile or Profile.of(world.chance("profile"))
    outcome = Outcome(seed, str(chosen))
    if keep:
        world.trace.kept = []
    with simulated_edges(world):
        try:
            world.run(_whole(world, chosen, outcome, clients or _clients, beside))
        except Exception as error:  # noqa: BLE001 - a simulation that breaks down is a finding too
            outcome.violations.append("broke down: " + "".join(traceback.format_exception(error)))
    outcome.violations += world.mishaps
    outcome.digest, outcome.lines = world.trace.digest, world.trace.lines
    outcome.hours, outcome.steps = world.loop.now_s / 3600, world.loop.steps
    outcome.faults = world.faults
    outcome.tail = world.trace.kept or list(world.trace.tail)
    outcome.wall_s = time.perf_counter() - started
    return outcome


async def _whole(
    world: World,
    profile: Profile,
    outcome: Outcome,
    make_clients: MakeClients,
    beside: Callable[[World], Coroutine[Any, Any, None]] | None,
) -> None:
    world.build()
    for provider in world.providers:
        provider.start()
    await _all_run(world)
    clients = await make_clients(world, outcome)
    chaos = Chaos(world, profile, world.chance("chaos"))
    storms = [world.loop.spawn(world.process, chaos.run(), "chaos")]
    if beside is not None:
        storms.append(world.loop.spawn(world.process, beside(world), "beside"))
    work = [world.loop.spawn(client.process, client.run(), f"client {client.number}") for client in clients]
    await asyncio.wait(work)
    for task in work:
        task.result()
    await asyncio.sleep(world.chance("storm").uniform(60.0, 400.0))  # what was acknowledged last meets faults too
    for storm in storms:
        storm.cancel()
    await asyncio.wait(storms)
    outcome.done["pieces deleted while faults lasted"] += world.deletions
    chaos.heal()
    world.trace.note("healed")
    await _all_run(world)
    checker = Checker(world, [name for client in clients for name in client.names])
    outcome.violations += await checker.until_quiet(QUIET_LIMIT_S)
    world.wall.ahead_ms += int(UNSEALED_TTL_S * 1000) + 3_600_000
    world.trace.note("a day later")
    await asyncio.sleep(GARBAGE_S)
    outcome.violations += await checker.until_quiet(QUIET_LIMIT_S)
    await checker.scrub()
    outcome.violations += await checker.check()
    outcome.states = checker.states
    events = [event for block in world.node.history.blocks for event in block.events]
    outcome.done["columns taken over"] += sum(event.type is EventType.COMPLETE_SWAP_IN for event in events)
    world.network.rates = type(world.network.rates)()


@collected_at_its_end()
def in_calm(work: Callable[[World], Coroutine[Any, Any, None]], seed: int = 0) -> None:
    """A scenario of a test's own, in a network without faults."""
    world = World(seed)

    async def whole() -> None:
        world.build()
        for provider in world.providers:
            provider.start()
        await _all_run(world)
        await work(world)

    with simulated_edges(world):
        world.run(whole())
    assert not world.mishaps, world.mishaps


async def _all_run(world: World) -> None:
    async with asyncio.timeout(3600):
        while not all(provider.runs for provider in world.providers):  # noqa: ASYNC110 - of virtual time
            await asyncio.sleep(0.5)


async def _clients(world: World, outcome: Outcome) -> list[Client]:
    """Buckets on a few primaries, and who uses them: an account whose key the providers keep, a user with its own."""
    chance = world.chance("clients")
    account = await buckets(world, world.plan.account, "kept", chance)
    user = await buckets(world, world.plan.user, "own", chance)
    clients = []
    for number in range(chance.randrange(1, 4)):
        places = [(chance.choice(account), False) for _ in range(chance.randrange(1, 4))]
        places += [(chance.choice(user), True) for _ in range(chance.choice((0, 0, 1, 2)))]
        names = [
            Name(bucket, f"c{number}-{count}", primary, by_user=by_user)
            for count, ((bucket, primary), by_user) in enumerate(places)
        ]
        client = Client(
            world,
            number,
            Address(world.plan.account.address),
            names,
            world.chance(f"client {number}"),
            chance.randrange(4, 14),
            chance.choice((0.2, 5.0, 60.0)),
            outcome.violations,
            outcome.done,
        )
        clients.append(client)
    return clients


async def buckets(world: World, owner: PrivateKey, prefix: str, chance: Random) -> list[tuple[str, SimProvider]]:
    made = []
    for primary in chance.sample(world.providers, chance.randrange(1, 4)):
        bucket = f"{prefix}-{primary.name}"
        message = MsgCreateBucket(Address(owner.address), bucket, Visibility.PRIVATE, primary.operator)
        result = await world.execute(owner, message)
        assert result.code == 0, result
        made.append((bucket, primary))
    return made


def summary(outcome: Outcome) -> str:
    lines = [
        f"seed {outcome.seed}: {outcome.profile}",
        f"  trace {outcome.digest} ({outcome.lines} lines), {outcome.hours:.2f} simulated hours, "
        f"{outcome.steps} steps, {outcome.wall_s:.2f} s",
        *(f"  {count:6} {kind}" for kind, count in sorted(outcome.done.items())),
        *(f"  {count:6} jobs {kind}" for kind, count in sorted(outcome.states.items())),
        "  faults:",
        *(f"  {count:6} {kind}" for kind, count in sorted(outcome.faults.items())),
        f"  violations: {len(outcome.violations)}",
        *(f"    {violation}" for violation in outcome.violations),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    run = simulate(int(sys.argv[1]), keep="--trace" in sys.argv)
    if "--trace" in sys.argv:
        print("\n".join(run.tail))
    print(summary(run))
    sys.exit(bool(run.violations))
