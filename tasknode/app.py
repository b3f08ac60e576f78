"""Wire the TaskNode: the only file of this folder that names concrete parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chain.client import Chain
from chain.open import open_chain
from p2p import client as p2p
from piecestore.open import shared_piece_store
from receiver.client import open_receivers
from signer import client as signer
from signer.client import Signer
from sp.crypto.ec import best_kernel
from sp.runtime.chores import Chore
from sp.runtime.ids import JobIds, actor_name
from sp.runtime.limits import ByteBudget
from sp.runtime.parts import Parts
from sp.runtime.rpc import serving
from spdb.cursors import Cursors
from spdb.database import Database
from spdb.deletions import Deletions
from spdb.jobs import Jobs
from spdb.objects import Objects
from spdb.open import shared_database
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
    chores = parts.chores(*_chores(parts, config, database, chain, keys, onchain, worker, actor))
    tasknode = TaskNodeService(jobs, Objects(database, parts.clock), worker, changes, chores, actor)
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
    feeder = ColumnFeeder(await shared_piece_store(parts), parts.pool, best_kernel(), ByteBudget(config.memory_bytes))
    receivers = await open_receivers(parts)
    return Pipeline(
        jobs=jobs,
        objects=Objects(database, parts.clock),
        onchain=onchain,
        allocator=Allocator(jobs, onchain, peers, config.spares, actor),
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
    actor: str,
) -> list[Chore]:
    deleter = Deleter(
        Deletions(database, parts.clock), chain, onchain, keys, worker, config.retry, parts.clock, parts.random
    )
    follower = ChainFollower(
        chain, Cursors(database), worker.jobs, Objects(database, parts.clock), onchain, keys, actor
    )
    return [
        Chore("deletions", config.deletion_interval_s, deleter.tick),
        Chore("chain events", config.deletion_interval_s, follower.tick),
    ]
