"""Wire the TaskNode: the only file of this folder that names concrete parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chain.client import Chain
from chain.open import open_chain
from downloader import client as downloader
from p2p import client as p2p
from piecestore.open import shared_notes, shared_piece_store
from piecestore.small import WithSmallSegments
from receiver.client import open_receivers
from signer import client as signer
from signer.client import Signer
from sp.crypto.ec import best_kernel
from sp.domain.ids import SegmentIndex
from sp.domain.jobs import Job
from sp.runtime.chores import Chore
from sp.runtime.ids import JobIds, actor_name
from sp.runtime.limits import ByteBudget
from sp.runtime.pace import Pace
from sp.runtime.parts import Parts
from sp.runtime.rpc import serving
from spdb.cursors import Cursors
from spdb.database import Database
from spdb.deletions import Deletions
from spdb.jobs import Jobs
from spdb.objects import Objects
from spdb.open import shared_database
from spdb.small_segments import SmallSegments
from spdb.swap_ins import SwapIns
from tasknode.allocate import Allocator
from tasknode.columns import ColumnFeeder
from tasknode.config import TaskNodeConfig
from tasknode.deletions import ChainFollower, Deleter
from tasknode.onchain import OnChain
from tasknode.pipeline import Pipeline
from tasknode.replicate import Replicator
from tasknode.rpc import served
from tasknode.seal import Sealer
from tasknode.service import JobChanges, TaskNodeService
from tasknode.swapping import SwapCarrier
from tasknode.vacancies import VacancyFinder
from tasknode.worker import Worker


@asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[TaskNodeService]:
    """Serve until exit. `python -m tasknode`, `sp run` and the cluster tests all enter here."""
    config = parts.file.section("tasknode", TaskNodeConfig)
    actor = actor_name("tasknode", parts.random)
    database = await shared_database(parts)
    chain, keys = await open_chain(parts), await signer.connect(parts)
    onchain = OnChain(chain, keys, config.create_timeout_blocks)
    jobs = Jobs(database, parts.clock, JobIds(parts.clock, parts.random).next)
    changes = JobChanges()
    pipeline = await _pipeline(parts, config, database, jobs, chain, keys, onchain, changes, actor)
    worker = Worker(jobs, pipeline, parts.clock, config, actor)
    carrier = await _swap_carrier(parts, config, database, chain, keys, onchain, actor)
    chores = parts.chores(*_chores(parts, config, database, chain, keys, onchain, worker, carrier, actor))
    tasknode = TaskNodeService(jobs, Objects(database, parts.clock), carrier.swaps, worker, changes, chores, actor)
    endpoint, tls = parts.common.endpoint.tasknode, parts.common.tls
    async with serving(endpoint, [served(tasknode)], tls=tls) as address, chores:
        parts.listens("tasknode", address)
        parts.publish("tasknode", tasknode)
        working = parts.spawn(worker.run(), "tasknode worker")
        try:
            yield tasknode
        finally:
            await worker.stop(working)


async def _pipeline(
    parts: Parts,
    config: TaskNodeConfig,
    database: Database,
    jobs: Jobs,
    chain: Chain,
    keys: Signer,
    onchain: OnChain,
    changes: JobChanges,
    actor: str,
) -> Pipeline:
    peers = await p2p.connect(parts)
    budget = ByteBudget(config.memory_bytes, "segments being replicated, bytes")
    pieces = WithSmallSegments(await shared_piece_store(parts), SmallSegments(database))
    feeder = ColumnFeeder(pieces, parts.pool, best_kernel(), budget, notes=await shared_notes(parts))
    receivers = await open_receivers(parts)
    return Pipeline(
        jobs=jobs,
        objects=Objects(database, parts.clock),
        onchain=onchain,
        allocator=Allocator(jobs, onchain, peers, config.spares, actor, parts.clock, parts.random, config.reach_wait_s),
        replicator=Replicator(jobs, chain, onchain, keys, peers, receivers, feeder, parts.clock, config, actor),
        sealer=Sealer(jobs, chain, onchain, keys, config.seal_timeout_blocks, actor),
        retry=config.retry,
        clock=parts.clock,
        random=parts.random,
        changed=changes.changed,
        actor=actor,
    )


def _chores(
    parts: Parts,
    config: TaskNodeConfig,
    database: Database,
    chain: Chain,
    keys: Signer,
    onchain: OnChain,
    worker: Worker,
    carrier: SwapCarrier,
    actor: str,
) -> list[Chore]:
    deleter = Deleter(
        Deletions(database, parts.clock), chain, onchain, keys, worker, config.retry, parts.clock, parts.random
    )
    follower = ChainFollower(
        chain, Cursors(database), worker.jobs, Objects(database, parts.clock), onchain, keys, carrier.finder, actor
    )
    return [
        Chore("deletions", config.deletion_interval_s, deleter.tick),
        Chore("chain events", config.deletion_interval_s, follower.tick),
        Chore("chain round", config.deletion_interval_s, follower.round),
        Chore("find vacancies", config.deletion_interval_s, carrier.finder.tick),
        Chore("swap in", config.deletion_interval_s, carrier.tick),
    ]


async def _swap_carrier(
    parts: Parts,
    config: TaskNodeConfig,
    database: Database,
    chain: Chain,
    keys: Signer,
    onchain: OnChain,
    actor: str,
) -> SwapCarrier:
    swaps = SwapIns(database, parts.clock)
    pause_ms = int(config.swap_in_pause_s * 1000)
    own_downloader = await downloader.connect(parts)

    async def rebuilt(job: Job, index: SegmentIndex) -> bytes:
        assert job.object_id is not None
        blocks = own_downloader.segment(job.object_id, job.version, index)
        return b"".join([bytes(block) async for block in blocks])

    feeder = ColumnFeeder(
        WithSmallSegments(await shared_piece_store(parts), SmallSegments(database)),
        parts.pool,
        best_kernel(),
        ByteBudget(config.swap_in_memory_bytes, "segments being swapped in, bytes"),
        Pace(config.swap_in_bytes_per_s, parts.clock, parts.pool.busy),
        rebuilt,
    )
    return SwapCarrier(
        swaps=swaps,
        finder=VacancyFinder(swaps, chain, Cursors(database), parts.clock, pause_ms),
        chain=chain,
        onchain=onchain,
        signer=keys,
        p2p=await p2p.connect(parts),
        receivers=await open_receivers(parts),
        feeder=feeder,
        clock=parts.clock,
        random=parts.random,
        config=config,
        actor=actor,
    )
