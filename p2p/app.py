"""Wire the P2P node: the only file of this folder that names concrete parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from chain.client import Chain
from chain.open import open_chain
from p2p.answering import Answering, Door
from p2p.asking import Asking
from p2p.chores import pings
from p2p.client import GrpcPeers
from p2p.config import P2PConfig
from p2p.policy import Rules
from p2p.replay import SeenNonces
from p2p.rpc import PEER_MESSAGE_BYTES, served, served_to_peers
from p2p.service import P2PService
from piecestore.open import shared_piece_store
from signer import client as signer
from signer.client import Signer
from sp.domain.addresses import parse_address
from sp.runtime.channels import Channels
from sp.runtime.limits import Slots, SlotsBySender
from sp.runtime.parts import Parts
from sp.runtime.rpc import dial, serving
from sp.runtime.work import Work
from spdb.open import shared_database
from spdb.peers import Peers


@asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[P2PService]:
    """Serve both listeners until exit. `python -m p2p`, `sp run` and the cluster tests all enter here."""
    config = parts.file.section("p2p", P2PConfig)
    async with Channels(
        lambda endpoint: dial(endpoint, timeout_s=config.ask_timeout_s), parts.clock, limit=config.max_channels
    ) as channels:
        node = await _node(parts, config, channels)
        peers_serving = serving(
            config.peer_listen,
            [served_to_peers(node)],
            max_message_bytes=PEER_MESSAGE_BYTES,
            work=Work.REPLICATION,
        )
        own_serving = serving(parts.common.endpoint.p2p, [served(node)], tls=parts.common.tls)
        async with (
            peers_serving as peer_address,
            own_serving as address,
            parts.chores(pings(node, config.ping_interval_s)),
        ):
            parts.listens("p2p", address)
            parts.listens("p2p for other providers", peer_address)
            parts.publish("p2p", node)
            yield node


async def _node(parts: Parts, config: P2PConfig, channels: Channels) -> P2PService:
    chain, keys = await open_chain(parts), await signer.connect(parts)
    records = Peers(await shared_database(parts), parts.clock)
    parts.ready.add("chain", chain.latest_block)
    parts.ready.add("signer", keys.keys)
    peers = GrpcPeers(channels, parts.clock)
    asking = Asking(chain, keys, peers, records, parts.clock, parts.random, config)
    answering = await _answering(parts, config, chain, keys)
    return P2PService(chain, keys, peers, records, parts.clock, asking, answering)


async def _answering(parts: Parts, config: P2PConfig, chain: Chain, keys: Signer) -> Answering:
    rules = Rules(
        config.max_object_bytes,
        config.reserve_bytes,
        frozenset(config.blocked_buckets),
        frozenset(map(parse_address, config.blocked_providers)),
    )
    return Answering(
        chain=chain,
        store=await shared_piece_store(parts),
        signer=keys,
        clock=parts.clock,
        rules=rules,
        door=Door("" if config.accepting else "switched off by the operator"),
        seen=SeenNonces(config.replay_entries),
        lifetime_s=config.approval_lifetime_s,
        version=version("greenfield-sp"),
        questions=Slots("questions for approvals", config.max_questions),
        questions_each=SlotsBySender("questions for approvals", config.max_questions_per_sp),
    )
