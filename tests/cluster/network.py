"""A whole network in one process: the dev chain and any number of SPs, talking through real gRPC and HTTP.

Nothing is simulated: each SP has its own directory with keystore, SQLite database and disk store, its own listeners,
and is started by the same `running(parts)` of each service that `sp run` uses. A test may change the configuration of
an SP, its piece store (wrapped by FaultyStore), which of its services run and how, and the chain's faults.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

import chain.dev.app
import downloader.app
import gateway.app
import p2p.app
import receiver.app
import signer.app
import tasknode.app
import uploader.app
from chain.client import Chain
from chain.dev.local import LocalChain
from chain.dev.node import Node
from chain.open import open_chain
from downloader.service import DownloaderService
from piecestore.config import PieceStoreConfig
from piecestore.faulty import FaultyStore
from piecestore.open import open_piece_store
from signer.service import SignerService
from sp.domain.ids import Address, ObjectId
from sp.domain.jobs import Job
from sp.domain.lifecycle import FINAL, JobState
from sp.domain.params import StorageParams
from sp.domain.placement import Candidate, rank
from sp.runtime.clock import SystemClock
from sp.runtime.config import ConfigFile
from sp.runtime.parts import Parts
from spdb.models import METADATA
from spdb.open import shared_database
from tasknode.client import JobDetail
from tasknode.service import TaskNodeService
from tests.cluster.making import REGION, Account, Plan, Sections, genesis_of, merged, plans

__all__ = ["KIB", "REGION", "RUNNERS", "Account", "Network", "Runner", "Sp", "running_network", "story"]

KIB = 1024

Runner = Callable[[Parts], AbstractAsyncContextManager[Any]]

RUNNERS: dict[str, Runner] = {
    "signer": signer.app.running,
    "p2p": p2p.app.running,
    "receiver": receiver.app.running,
    "tasknode": tasknode.app.running,
    "uploader": uploader.app.running,
    "downloader": downloader.app.running,
    "gateway": gateway.app.running,
}

LASTING = ("alembic_version", "cursors", "peers")
"""Tables that do not grow with objects: they stay though all objects have gone."""


@dataclass
class Sp:
    """One provider. `parts` and `services` are there while it runs; `runners` is how its services start."""

    plan: Plan
    sections: Sections
    runners: dict[str, Runner] = field(default_factory=lambda: dict(RUNNERS))
    parts: Parts | None = None
    faulty: FaultyStore | None = None
    services: dict[str, Any] = field(default_factory=dict)
    _stack: AsyncExitStack | None = None

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def dir(self) -> Path:
        return self.plan.dir

    @property
    def ports(self) -> Mapping[str, int]:
        return self.plan.ports

    @property
    def operator(self) -> Address:
        return self.plan.keys.operator

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports['gateway']}"

    @property
    def receiver_endpoint(self) -> str:
        return f"127.0.0.1:{self.ports['receiver']}"

    @property
    def runs(self) -> bool:
        return self._stack is not None

    @property
    def signer(self) -> SignerService:
        service: SignerService = self.services["signer"]
        return service

    @property
    def tasknode(self) -> TaskNodeService:
        service: TaskNodeService = self.services["tasknode"]
        return service

    @property
    def downloader(self) -> DownloaderService:
        service: DownloaderService = self.services["downloader"]
        return service

    @property
    def pieces(self) -> FaultyStore:
        assert self.faulty is not None
        return self.faulty

    async def start(self, *names: str) -> None:
        """Start these services (default all) in one process, in the order of `sp run`."""
        assert not self.runs, f"{self.name} runs already"
        file = ConfigFile.from_mapping(self.sections, self.dir)
        async with AsyncExitStack() as stack:
            parts = await stack.enter_async_context(
                Parts(file, clock=SystemClock(), manual_chores=self.plan.manual_chores)
            )
            disk = PieceStoreConfig(path=str(self.dir / "pieces"))
            true = await parts.once("disk store", lambda: open_piece_store(disk, parts.pool.executor))
            faulty = FaultyStore(true)
            await parts.once("piece_store", lambda: _as_opened(faulty))  # the name the services share it by
            self.parts, self.faulty = parts, faulty
            for name in names or self.runners:
                self.services[name] = await stack.enter_async_context(self.runners[name](parts))
            self._stack = stack.pop_all()

    async def stop(self) -> None:
        if self._stack is not None:
            stack, self._stack = self._stack, None
            self.services.clear()
            await stack.aclose()

    async def restart(self, changes: Mapping[str, Mapping[str, object]] | None = None) -> None:
        """Stop, change the configuration for good, start."""
        await self.stop()
        self.sections = merged(self.sections, changes or {})
        await self.start()

    async def restart_as_planned(self) -> bool:
        """Undo what a test did to this provider, but for what it has stored. False when no restart was needed."""
        if self.runs:
            self.pieces.heal()
            self.services["p2p"].answering.door.open()
        if self.runs and self.sections == self.plan.sections and self.runners == RUNNERS:
            return False
        await self.stop()
        self.sections, self.runners = self.plan.sections, dict(RUNNERS)
        await self.start()
        return True

    async def settle(self) -> int:
        assert self.parts is not None
        return await self.parts.settle()

    async def hears_of(self, height: int) -> None:
        """Once this provider has heard of the block, if it runs: tests look at the node itself, which is ahead."""
        if self.runs:
            assert self.parts is not None
            await (await open_chain(self.parts)).next_block(height - 1)

    async def keys(self) -> list[str]:
        """Every piece in its store, by name."""
        held = self.pieces.keys()
        return sorted([str(key) async for key in held])

    async def rows(self) -> dict[str, int]:
        """How many rows each table has, but for empty ones and LASTING ones."""
        assert self.parts is not None
        database = await shared_database(self.parts)
        tables = [table for table in METADATA.sorted_tables if table.name not in LASTING]
        counts = await database.read(
            lambda c: {t.name: c.execute(select(func.count()).select_from(t)).scalar_one() for t in tables}
        )
        return {name: count for name, count in counts.items() if count}


@asynccontextmanager
async def _as_opened(value: Any) -> AsyncIterator[Any]:
    yield value


@dataclass
class Network:
    dir: Path
    node: Node
    account: Account
    sps: list[Sp]

    @property
    def chain(self) -> Chain:
        """The chain as its own node sees it, ahead of every SP."""
        return LocalChain(self.node)

    def sp_of(self, operator: Address) -> Sp:
        return next(sp for sp in self.sps if sp.operator == operator)

    def next_holders(self, primary: Sp) -> list[Sp]:
        """`ranked` for the next object that is created on chain."""
        return self.ranked(primary, ObjectId(self.node.state.next_object_id), 0)

    def ranked(self, primary: Sp, object_id: ObjectId, version: int) -> list[Sp]:
        """The others in the order in which an object chooses among them; those in front will be among the six."""
        others = [Candidate(sp.operator) for sp in self.sps if sp is not primary]
        return [self.sp_of(operator) for operator in rank(others, object_id, version)]

    async def job(self, sp: Sp, bucket: str, name: str) -> Job:
        return (await sp.tasknode.get_job_of(bucket, name)).job

    async def until(self, sp: Sp, bucket: str, name: str, reached: Callable[[JobDetail], bool]) -> JobDetail:
        """The newest job of a name once this is true of it (by its own events, not by polling)."""
        job = await self.job(sp, bucket, name)
        last: JobDetail | None = None
        async for last in sp.tasknode.watch_job(job.id):
            if reached(last):
                return last
        assert last is not None
        raise AssertionError(f"job ended in {last.job.state.name}: {last.job.error}\n{story(last)}")

    async def settled(self, sp: Sp, bucket: str, name: str, until: frozenset[JobState] = FINAL) -> JobDetail:
        return await self.until(sp, bucket, name, lambda detail: detail.job.state in until)

    async def sealed(self, sp: Sp, bucket: str, name: str) -> JobDetail:
        detail = await self.settled(sp, bucket, name)
        assert detail.job.state is JobState.SEAL_OBJECT_DONE, story(detail)
        return detail

    async def settle(self, *sps: Sp) -> None:
        """Tick the (manual) chores of these providers, default all, until nothing moves."""
        for sp in sps or self.sps:
            await sp.hears_of(self.node.newest.height)
        while any([await sp.settle() for sp in sps or self.sps]):
            pass

    async def restart_as_planned(self) -> None:
        """Undo what a test did. The first provider starts anew: its channels to those that were down would wait."""
        if any([await sp.restart_as_planned() for sp in self.sps[1:]]):
            await self.sps[0].stop()
        await self.sps[0].restart_as_planned()


def story(detail: JobDetail) -> str:
    """A job's history, for the message of a failed assertion."""
    return "\n".join(f"{row.at_ms} {row.state.name} {row.event} {row.provider} {row.reason}" for row in detail.history)


@asynccontextmanager
async def running_network(
    dir: Path,
    sps: int = 8,
    params: StorageParams | None = None,
    changes: Mapping[str, Any] | None = None,
    chain_changes: Mapping[str, object] | None = None,
    manual_chores: bool = False,
) -> AsyncIterator[Network]:
    """A network below `dir`. Segments are 64 KiB unless `params` says otherwise, so that small objects have many.

    changes: configuration of every SP, by section; chain_changes: of the chain node
    manual_chores: the SPs' chores run in `Network.settle`, and only there
    """
    account = Account.new(1)
    chain_port, providers = plans(dir, sps, changes or {}, manual_chores)
    genesis = genesis_of(account, params or StorageParams(max_segment_size=64 * KIB), providers)
    (dir / "genesis.json").write_text(genesis.to_json())
    node_section: dict[str, object] = {
        "listen": f"127.0.0.1:{chain_port}",
        "genesis": "genesis.json",
        "production": "when_pending",
        "faults": True,
        **(chain_changes or {}),
    }
    async with AsyncExitStack() as stack:
        file = ConfigFile.from_mapping({"log": {"level": "warning"}, "chain_node": node_section}, dir)
        chain_parts = await stack.enter_async_context(Parts(file, clock=SystemClock()))
        node = await stack.enter_async_context(chain.dev.app.running(chain_parts))
        network = Network(dir, node, account, [Sp(plan, plan.sections) for plan in providers])
        for sp in network.sps:
            stack.push_async_callback(sp.stop)
        await asyncio.gather(*(sp.start() for sp in network.sps))
        for sp in network.sps:
            await import_account(sp, account, "tester")
        yield network


async def import_account(sp: Sp, account: Account, name: str) -> None:
    key = bytes.fromhex(account.key.reveal_hex().removeprefix("0x"))
    await sp.signer.import_account(name, key, account.access_key_id, account.secret_access_key)
