"""Wire the Receiver: the only file of this folder that names concrete parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chain.client import Chain
from chain.open import open_chain
from piecestore.open import shared_piece_store
from receiver.chores import ChainFollower, Collector, chores
from receiver.claims import Claims
from receiver.config import ReceiverConfig
from receiver.rpc import MAX_MESSAGE_BYTES, served
from receiver.service import ReceiverService
from signer import client as signer
from sp.runtime.limits import Slots
from sp.runtime.parts import Parts
from sp.runtime.rpc import serving
from spdb.cursors import Cursors
from spdb.open import shared_database
from spdb.received import Received


@asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[ReceiverService]:
    """Serve other providers until exit. `python -m receiver`, `sp run` and the cluster tests all enter here."""
    config = parts.file.section("receiver", ReceiverConfig)
    database, chain = await shared_database(parts), await open_chain(parts)
    records = Received(database, parts.clock)
    receiver = await _receiver(parts, config, chain, records)
    follower = ChainFollower(receiver, chain, records, Cursors(database))
    collector = Collector(receiver, records, parts.clock, config.unsealed_ttl_s)
    calls = config.max_openings + config.max_streams + config.max_reads
    async with (
        serving(config.listen, [served(receiver)], max_message_bytes=MAX_MESSAGE_BYTES, max_calls=calls) as address,
        parts.chores(*chores(follower, collector, config.collect_interval_s)),
    ):
        parts.listens("receiver for other providers", address)
        parts.publish("receiver", receiver)
        yield receiver


async def _receiver(parts: Parts, config: ReceiverConfig, chain: Chain, records: Received) -> ReceiverService:
    store, keys = await shared_piece_store(parts), await signer.connect(parts)
    parts.ready.add("chain", chain.latest_block)
    parts.ready.add("signer", keys.keys)
    parts.ready.add("piece store", store.free_bytes)
    return ReceiverService(
        chain=chain,
        store=store,
        records=records,
        signer=keys,
        clock=parts.clock,
        pool=parts.pool,
        config=config,
        claims=Claims(config.takeover_timeout_s),
        openings=Slots("streams whose sender is not known yet", config.max_openings),
        streams=Slots("streams of replicate data groups", config.max_streams),
        reads=Slots("pieces being read by other providers", config.max_reads),
    )
