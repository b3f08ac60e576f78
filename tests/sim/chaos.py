"""What goes wrong, when: by the seed. Each seed has its own mixture, so that rare ones meet each other too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from random import Random

from sqlalchemy import select

from signer.keystore import open_keystore
from sp.domain.ids import ObjectId
from sp.domain.ledger import ChainObject, ObjectStatus
from sp.domain.lifecycle import JobState
from sp.domain.messages import MsgStorageProviderExit, MsgStorageProviderForcedExit
from sp.domain.pieces import EcPieceKey, PieceKey, SegmentKey
from spdb.models.jobs import KEPT, jobs
from tests.sim.chain import ChainRates
from tests.sim.making import PASSWORD
from tests.sim.network import Rates
from tests.sim.provider import SimProvider
from tests.sim.world import World


@dataclass(frozen=True, slots=True)
class Profile:
    """Which kinds of faults a seed has."""

    crashes: bool = False
    stops: bool = False
    freezes: bool = False
    partitions: bool = False
    network: bool = False
    slowness: bool = False
    liars: bool = False
    database: bool = False
    disk: bool = False
    full_disks: bool = False
    rot: bool = False
    clocks: bool = False
    chain: bool = False
    departures: bool = False

    @classmethod
    def of(cls, chance: Random) -> Profile:
        share = chance.choice((0.0, 0.15, 0.4, 0.4, 0.8))
        return cls(**{kind.name: chance.random() < share for kind in fields(cls)})

    def __str__(self) -> str:
        return " ".join(kind.name for kind in fields(self) if getattr(self, kind.name)) or "no faults"


@dataclass(eq=False)
class Chaos:
    world: World
    profile: Profile
    chance: Random

    def __post_init__(self) -> None:
        self.mean_s = self.chance.choice((1.0, 4.0, 15.0))
        self._left = False

    async def run(self) -> None:
        """Until cancelled: one thing after the other, each of which lasts a while."""
        acts = [getattr(self, f"_{kind.name}") for kind in fields(Profile) if getattr(self.profile, kind.name)]
        while acts:
            await asyncio.sleep(self.chance.expovariate(1 / self.mean_s))
            self.chance.choice(acts)()

    def heal(self) -> None:
        """All faults end. What is broken stays broken until someone mends it."""
        world = self.world
        world.network.rates = Rates()
        world.network.cuts.clear()
        world.network.slow_hosts.clear()
        world.network.liars.clear()
        world.node.faults.pause_blocks = False
        world.node.set_faults(world.node.faults)
        for provider in world.providers:
            provider.rates.database = provider.rates.disk = 0.0
            self._chain_rates(provider, ChainRates())
            provider.disk.capacity_bytes = 1 << 40
            provider.clock.wrong_by_ms = 0
            if provider.process is not None:
                provider.process.dies_at = None
                world.loop.thaw(provider.process)

    # --- acts

    def _someone(self) -> SimProvider:
        return self.chance.choice(self.world.providers)

    def _for_a_while(self, seconds: float, undo: Callable[[], object]) -> None:
        self.world.later(self.chance.uniform(0.1, 2.0) * seconds, undo)

    def _crashes(self) -> None:
        """Killed at some step soon, whatever it is then in the middle of."""
        provider = self._someone()
        if provider.process is None or not provider.process.alive:
            return
        power_lost = self.chance.random() < 0.3
        provider.process.power_lost = power_lost
        provider.process.dies_at = provider.process.steps + int(self.chance.expovariate(1 / 150)) + 1
        self.world.count("power lost" if power_lost else "process killed")

    def _stops(self) -> None:
        self._someone().stop()
        self.world.count("process stopped in an orderly way")

    def _freezes(self) -> None:
        provider = self._someone()
        process = provider.process
        if process is None or process.frozen:
            return
        process.frozen = True
        self.world.count("process frozen")
        self._for_a_while(40.0, lambda: self.world.loop.thaw(process))

    def _partitions(self) -> None:
        network, names = self.world.network, [provider.name for provider in self.world.providers]
        one = self.chance.choice(names)
        others = [n for n in names if n != one]
        cut = {frozenset((one, other)) for other in self.chance.sample(others, self.chance.choice((1, 3, len(others))))}
        network.cuts |= cut
        self.world.count("provider cut off from others")
        self._for_a_while(60.0, lambda: network.cuts.difference_update(cut))

    def _network(self) -> None:
        c = self.chance
        self.world.network.rates = Rates(*(c.choice((0.0, 0.02, 0.1, 0.3)) for _ in fields(Rates)))
        self._for_a_while(60.0, lambda: setattr(self.world.network, "rates", Rates()))

    def _slowness(self) -> None:
        provider = self._someone()
        self.world.network.slow_hosts[provider.name] = self.chance.choice((0.5, 3.0, 12.0))
        self.world.count("provider slow")
        self._for_a_while(60.0, lambda: self.world.network.slow_hosts.pop(provider.name, None))

    def _liars(self) -> None:
        """At most two at a time."""
        if len(self.world.network.liars) < 2:
            provider = self._someone()
            self.world.network.liars.add(provider.name)
            self.world.count("provider turned hostile")
            self._for_a_while(90.0, lambda: self.world.network.liars.discard(provider.name))

    def _database(self) -> None:
        provider = self._someone()
        provider.rates.database = self.chance.choice((0.01, 0.05, 0.3))
        self._for_a_while(40.0, lambda: setattr(provider.rates, "database", 0.0))

    def _disk(self) -> None:
        provider = self._someone()
        provider.rates.disk = self.chance.choice((0.01, 0.05, 0.3))
        self._for_a_while(40.0, lambda: setattr(provider.rates, "disk", 0.0))

    def _full_disks(self) -> None:
        provider = self._someone()
        provider.disk.capacity_bytes = provider.disk.used_bytes + self.chance.choice((0, 30, 300))
        self.world.count("disk full")
        self._for_a_while(60.0, lambda: setattr(provider.disk, "capacity_bytes", 1 << 40))

    def _rot(self) -> None:
        """Of what is redundant: segments of the primary, and one column of an object. Two more may go with any two
        providers: then there are still four."""
        found = self.world.node.state.objects
        sealed = [o for o in found.values() if o.status is ObjectStatus.SEALED and o.payload_size and not o.update]
        if not sealed:
            return
        target = self.chance.choice(sealed)
        bucket = self.world.node.state.buckets[target.bucket]
        if self.chance.random() < 0.5:
            provider = self.world.provider_of(bucket.primary_sp)
            keys = self._segments(provider)
        else:
            column = self._column_of(target.id, target.version)
            provider = self.world.provider_of(target.secondaries[column])
            keys = self._pieces(provider, target, column)
        if keys:
            self._damage(provider, self.chance.choice(keys))

    def _segments(self, provider: SimProvider) -> Sequence[PieceKey]:
        """Of sealed objects, in an order of their own."""
        sealed = sealed_jobs(provider)
        found = [key for key in provider.pieces() if isinstance(key, SegmentKey) and key.job_id in sealed]
        return sorted(found, key=lambda key: (key.job_id, key.segment))

    def _pieces(self, provider: SimProvider, target: ChainObject, column: int) -> Sequence[PieceKey]:
        wanted = (target.id, target.version, column)
        found = [key for key in provider.disk.pieces if isinstance(key, EcPieceKey)]
        return sorted(
            (key for key in found if (key.object_id, key.version, key.column) == wanted), key=lambda key: key.segment
        )

    def _column_of(self, object_id: ObjectId, version: int) -> int:
        """The one column of an object that may rot."""
        return Random(f"{self.world.seed} {object_id} {version}").randrange(6)

    def _damage(self, provider: SimProvider, key: PieceKey) -> None:
        size, where = len(provider.pieces()[key]), "" if key in provider.disk.pieces else " in the database"
        if self.chance.random() < 0.7:
            provider.rot(key, self.chance.randrange(size))
            self.world.count(f"bit rot{where}")
        elif where or self.chance.random() < 0.5:
            provider.cut(key, self.chance.randrange(size))
            self.world.count(f"piece cut short{where}")
        else:
            del provider.disk.pieces[key]
            self.world.count("piece lost")

    def _clocks(self) -> None:
        provider = self._someone()
        provider.clock.wrong_by_ms = int(self.chance.choice((1, -1)) * self.chance.choice((500, 20_000, 600_000)))
        self.world.count("clock jumped")
        self._for_a_while(120.0, lambda: setattr(provider.clock, "wrong_by_ms", 0))

    def _chain(self) -> None:
        act = self.chance.randrange(4)
        node = self.world.node
        if act == 0:
            node.faults.pause_blocks = True
            self.world.count("chain made no blocks for a while")
            self._for_a_while(60.0, self._resume)
        elif act == 1 and len(node.pool):
            txs = node.pool.oldest(self.chance.randrange(1, 1 + len(node.pool)))
            node.pool.settle(txs)
            self.world.faults["waiting transaction evicted, nonces gone back"] += len(txs)
        else:
            provider = self._someone()
            c = self.chance
            rates = ChainRates(*(c.choice((0.0, 0.05, 0.3)) for _ in fields(ChainRates)))
            self._chain_rates(provider, rates)
            self._for_a_while(60.0, lambda: self._chain_rates(provider, ChainRates()))

    def _departures(self) -> None:
        """One provider leaves, of its own will or by force; in the second case its disk is gone, too. Not a primary:
        its users would have to take their buckets elsewhere first. The seven others are just enough."""
        state = self.world.node.state
        primaries = {bucket.primary_sp for bucket in state.buckets.values()}
        free = [provider for provider in self.world.providers if provider.operator not in primaries]
        if self._left or not free:
            return
        self._left = True
        leaver, forced = self.chance.choice(free), self.chance.random() < 0.4
        self.world.count("provider made to leave, its disk lost" if forced else "provider left")
        self.world.tasks.append(
            self.world.loop.spawn(self.world.process, self._leave(leaver, forced=forced), f"{leaver.name} leaves")
        )

    async def _leave(self, leaver: SimProvider, *, forced: bool) -> None:
        plan = self.world.plan
        if forced:
            message = MsgStorageProviderForcedExit(plan.genesis.authority, leaver.operator)
            result = await self.world.execute(plan.account, message)
            leaver.disk.pieces.clear()
        else:
            key = open_keystore(leaver.site.dir / "signer" / "keystore.json", PASSWORD).keys["operator"]
            result = await self.world.execute(key, MsgStorageProviderExit(leaver.operator))
        assert result.code == 0, result
        self.world.trace.note("left", leaver.name, forced)

    def _resume(self) -> None:
        node = self.world.node
        node.faults.pause_blocks = False
        node.set_faults(node.faults)

    def _chain_rates(self, provider: SimProvider, rates: ChainRates) -> None:
        for rate in fields(ChainRates):
            setattr(provider.rates.chain, rate.name, getattr(rates, rate.name))


def sealed_jobs(provider: SimProvider) -> set[int]:
    query = select(jobs.c.id).where(jobs.c.state == JobState.SEAL_OBJECT_DONE, jobs.c.collect == KEPT)
    with provider.reading() as connection:
        return set(connection.execute(query).scalars())
