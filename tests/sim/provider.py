"""One simulated provider: its disk and its database stay, its processes come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select, update

import downloader.app
import p2p.app
import receiver.app
import signer.app
import tasknode.app
import uploader.app
from chain.config import ChainConfig
from chain.dev.client import DevChainClient
from downloader.client import Downloader
from sp.domain.errors import SpError
from sp.domain.ids import Address, JobId, SegmentIndex
from sp.domain.pieces import PieceKey, SegmentKey
from sp.runtime.config import ConfigFile
from sp.runtime.parts import Parts
from spdb.database import Database
from spdb.models.small_segments import small_segments
from tasknode.client import TaskNode
from tests.sim import guard
from tests.sim.chain import ChainRates, UnreliableStub, open_sim_chain
from tests.sim.clock import SimClock
from tests.sim.database import ChanceFaults, NoFaults, SimDatabase, memory_database
from tests.sim.disk import ChanceFails, Disk, SimStore
from tests.sim.loop import Owner
from tests.sim.making import Site
from tests.sim.parts import SimParts
from uploader.client import Uploader

if TYPE_CHECKING:
    from tests.sim.world import World

RUNNERS: dict[str, Callable[[Any], Any]] = {
    "signer": signer.app.running,
    "p2p": p2p.app.running,
    "receiver": receiver.app.running,
    "tasknode": tasknode.app.running,
    "uploader": uploader.app.running,
    "downloader": downloader.app.running,
}
"""In the order of `sp run`. The gateway is left out: clients call what stands behind it."""


@dataclass(slots=True)
class ProviderRates:
    """database, disk: how often an operation fails; chain: see ChainRates"""

    database: float = 0.0
    disk: float = 0.0
    chain: ChainRates = field(default_factory=ChainRates)


@dataclass(eq=False)
class SimProvider:
    """process: its present life; None or dead while it is down. lives: how many it has had"""

    world: World
    site: Site
    chance: Random
    disk: Disk = field(default_factory=Disk)
    spdb: Connection = field(default_factory=memory_database)
    rates: ProviderRates = field(default_factory=ProviderRates)
    process: Owner | None = None
    lives: int = 0
    services: dict[str, Any] = field(default_factory=dict)
    _stopping: asyncio.Event | None = None

    def __post_init__(self) -> None:
        self.clock = SimClock(self.world.wall)
        self.disk.deleting = partial(guard.deleting, self)
        guard.watch_rows(self)

    @property
    def name(self) -> str:
        return self.site.name

    @property
    def operator(self) -> Address:
        return self.site.keys.operator

    @property
    def runs(self) -> bool:
        """Whether a process is there that has started."""
        return self.process is not None and self.process.alive and len(self.services) == len(RUNNERS)

    @property
    def uploader(self) -> Uploader:
        found: Uploader = self.services["uploader"]
        return found

    @property
    def downloader(self) -> Downloader:
        found: Downloader = self.services["downloader"]
        return found

    @property
    def tasknode(self) -> TaskNode:
        found: TaskNode = self.services["tasknode"]
        return found

    def database(self) -> Database:
        """For the checker: without faults, from outside."""
        return SimDatabase(self.spdb, NoFaults())

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Its database, between two operations of its own, as it is now."""
        with self.spdb.begin():
            yield self.spdb

    # --- what it has stored

    def rows(self) -> dict[PieceKey, bytes]:
        """Segments that lie in its database."""
        with self.reading() as connection:
            found = connection.execute(select(small_segments)).all()
        return {SegmentKey(JobId(row.job_id), SegmentIndex(0)): row.payload for row in found}

    def pieces(self) -> dict[PieceKey, bytes]:
        """On the disk and in the database."""
        return {**self.rows(), **self.disk.pieces}

    def rot(self, key: PieceKey, at: int) -> None:
        """One bit turns."""
        piece = self.pieces()[key]
        self._harm(key, piece[:at] + bytes([piece[at] ^ 1]) + piece[at + 1 :])

    def cut(self, key: PieceKey, size: int) -> None:
        self._harm(key, self.pieces()[key][:size])

    def _harm(self, key: PieceKey, piece: bytes) -> None:
        if key in self.disk.pieces:
            self.disk.pieces[key] = piece
            return
        assert isinstance(key, SegmentKey)
        with self.reading() as connection:
            connection.execute(
                update(small_segments).where(small_segments.c.job_id == key.job_id).values(payload=piece)
            )

    # --- life and death

    def start(self) -> None:
        assert self.process is None or not self.process.alive
        self.lives += 1
        self.services = {}
        self.disk.restarted()
        process = Owner(self.name, network=self.world.network)
        self.process = process
        self.world.processes.append(process)
        process.on_death = self._died
        self.world.trace.note("start", self.name, self.lives)
        self.world.tasks.append(self.world.loop.spawn(process, self._run(process), f"{self.name} life {self.lives}"))

    def kill(self, *, power_lost: bool = False) -> None:
        """As if by kill -9; power_lost: nobody answers for its connections."""
        if self.process is not None and self.process.alive:
            self.process.power_lost = power_lost
            self.world.loop.kill(self.process)

    def stop(self) -> None:
        """An orderly end: everything is given back, and closed."""
        if self._stopping is not None:
            self._stopping.set()

    def _died(self, process: Owner) -> None:
        self.world.trace.note("died", self.name, process.steps)
        self.world.network.died(process, power_lost=process.power_lost)
        self.world.process_died(process)

    async def _run(self, process: Owner) -> None:
        """A whole life. What ends it early ends the process, as it would a real one."""
        try:
            async with AsyncExitStack() as stack:
                parts = await stack.enter_async_context(self._parts())
                for name, running in RUNNERS.items():
                    self.services[name] = await stack.enter_async_context(running(parts))
                self._stopping = parts.stopping
                self.world.trace.note("started", self.name)
                await parts.stopping.wait()
        except SpError as error:
            self.world.count("process ended by an error at its start or end")
            self.world.trace.note("ended", self.name, type(error).__name__)
        finally:
            if process is self.process and process.alive:
                self.world.loop.kill(process)

    @asynccontextmanager
    async def _parts(self) -> AsyncIterator[Parts]:
        file = ConfigFile.from_mapping(self.site.sections, self.site.dir)
        async with SimParts(file, self.clock, self.chance) as parts:
            for key, opened in (("spdb", self._database()), ("piece_store", self._store())):
                await parts.once(key, _yielding(opened))
            await parts.once("chain", lambda: self._chain(parts))
            yield parts

    def _database(self) -> SimDatabase:
        return SimDatabase(self.spdb, self._database_faults())

    def _database_faults(self) -> ChanceFaults:
        return ChanceFaults(self.chance, self.world.pause, self.world.count, lambda: self.rates.database)

    def _store(self) -> SimStore:
        return SimStore(
            self.disk, self.world.pause, ChanceFails(self.chance, self.world.count, lambda: self.rates.disk)
        )

    def _chain(self, parts: Parts) -> AbstractAsyncContextManager[DevChainClient]:
        world = self.world
        stub = UnreliableStub(world.node, self.rates.chain, self.chance, world.pause, world.count, world.later)
        return open_sim_chain(stub, ChainConfig(), self.clock, self.chance, parts.spawn)


def _yielding(value: Any) -> Callable[[], Any]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        yield value

    return opened
