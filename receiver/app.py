"""Wire the Receiver: the only file of this folder that names concrete parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from chain.client import Chain
from chain.open import open_chain
from downloader import client as downloader
from piecestore.open import shared_piece_store
from receiver import scrub
from receiver.checking import PieceChecker
from receiver.chores import ChainFollower, Collector, chores
from receiver.claims import Claims
from receiver.client import Gatherer, open_receivers
from receiver.config import ReceiverConfig
from receiver.damage import CHORE as MENDING
from receiver.damage import DamagedPieces, DamageMender
from receiver.inspecting import GroupInspector
from receiver.mending import Mender
from receiver.proofs import Prover
from receiver.recovering import GroupRecoverer
from receiver.rpc import MAX_MESSAGE_BYTES, served, served_inside
from receiver.scrub import PieceScrubber
from receiver.service import ReceiverService
from signer import client as signer
from sp.crypto.ec import best_kernel
from sp.runtime.chores import Chore
from sp.runtime.limits import ByteBudget, Slots, SlotsBySender
from sp.runtime.pace import Pace
from sp.runtime.parts import Parts
from sp.runtime.rpc import serving
from sp.runtime.work import Work
from spdb.cursors import Cursors
from spdb.open import shared_database
from spdb.passes import Passes
from spdb.received import Received

MAX_ORDERS = 2
"""Checks that operators wait for, at once."""


@asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[ReceiverService]:
    """Serve other providers until exit. `python -m receiver`, `sp run` and the cluster tests all enter here."""
    config = parts.file.section("receiver", ReceiverConfig)
    database, chain = await shared_database(parts), await open_chain(parts)
    records, cursors = Received(database, parts.clock), Cursors(database)
    receiver = await _receiver(parts, config, chain, records)
    calls = config.max_openings + config.max_streams + config.max_reads
    inside, tls = parts.common.endpoint.receiver, parts.common.tls
    async with (
        serving(
            config.listen,
            [served(receiver)],
            max_message_bytes=MAX_MESSAGE_BYTES,
            max_calls=calls,
            work=Work.REPLICATION,
        ) as address,
        serving(inside, [served_inside(receiver)], tls=tls) as inside_address,
        AsyncExitStack() as until_end,
    ):
        all_chores = await _chores(parts, config, receiver, cursors, until_end)
        running_chores = await until_end.enter_async_context(parts.chores(*all_chores))
        receiver.damaged.added = lambda: running_chores.wake(MENDING)
        parts.listens("receiver for other providers", address)
        parts.listens("receiver", inside_address)
        parts.publish("receiver", receiver)
        yield receiver


async def _chores(
    parts: Parts, config: ReceiverConfig, receiver: ReceiverService, cursors: Cursors, until_end: AsyncExitStack
) -> list[Chore]:
    records, checker = receiver.records, receiver.inspector.checker
    follower = ChainFollower(receiver, receiver.chain, records, cursors)
    collector = Collector(receiver, records, parts.clock, config.unsealed_ttl_s)
    mender = DamageMender(receiver.damaged, records, checker, parts.clock)
    made = [*chores(follower, collector, config.collect_interval_s), mender.chore()]
    if config.scrub_bytes_per_s:
        passes = Passes(cursors, parts.clock, scrub.CHORE, int(config.scrub_pause_s * 1000))
        until_end.push_async_callback(passes.release)
        pace = Pace(config.scrub_bytes_per_s, parts.clock, parts.pool.busy)
        scrubber = PieceScrubber(records, checker, passes, pace, parts.clock)
        await scrubber.tell_last_pass()
        made.append(scrubber.chore())
    return made


async def _receiver(parts: Parts, config: ReceiverConfig, chain: Chain, records: Received) -> ReceiverService:
    store, keys = await shared_piece_store(parts), await signer.connect(parts)
    parts.ready.add("chain", chain.latest_block)
    parts.ready.add("signer", keys.keys)
    parts.ready.add("piece store", store.free_bytes)
    claims = Claims(config.takeover_timeout_s)
    gatherer = Gatherer(keys, await open_receivers(parts), parts.pool, parts.clock, config.piece_timeout_s)
    budget = ByteBudget(config.mend_memory_bytes, "pieces being mended, bytes")
    mender = Mender(chain, store, records, claims, gatherer, best_kernel(), budget)
    checker = PieceChecker(store, mender, keys, parts.pool)
    orders = Slots("checks on order", MAX_ORDERS)
    prover = Prover(gatherer, best_kernel())
    recoverer = GroupRecoverer(chain, store, records, keys, claims, prover, budget)
    return ReceiverService(
        chain=chain,
        store=store,
        records=records,
        signer=keys,
        clock=parts.clock,
        pool=parts.pool,
        config=config,
        claims=claims,
        openings=Slots("streams whose sender is not known yet", config.max_openings),
        streams=Slots("streams of replicate data groups", config.max_streams),
        reads=Slots("pieces being read by other providers", config.max_reads),
        streams_each=SlotsBySender("streams", config.max_streams_per_sp),
        segments=await downloader.connect(parts),
        damaged=DamagedPieces(parts.clock),
        inspector=GroupInspector(chain, records, checker, parts.clock, orders, config.checks_at_once, recoverer),
    )
