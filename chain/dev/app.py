"""Wire one node of the development chain: the only file of this folder that names concrete parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from chain.dev.config import ChainNodeConfig
from chain.dev.genesis import load_genesis
from chain.dev.node import Node, open_node
from chain.dev.rpc import SERVICE, ChainRpc
from proto.chain_pb2_grpc import add_ChainServicer_to_server
from sp.runtime.parts import Parts
from sp.runtime.rpc import Serving, listen_address, serving

NAME: Final = "chain_node"
GRACE_S: Final = 0.2
"""At a stop, for calls in flight. Short, because the streams of blocks never end by themselves."""


@asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[Node]:
    """Open the node's folder, make blocks and serve until exit. `python -m chain.dev` and the cluster tests both enter
    here."""
    config = parts.file.section(NAME, ChainNodeConfig)
    genesis = await parts.pool.run(load_genesis, config.genesis)
    async with open_node(config, genesis, config.dir, parts.clock, parts.pool, parts.spawn) as node:
        chain_rpc = Serving(add_ChainServicer_to_server, ChainRpc(node), SERVICE)
        async with serving(listen_address(parts.file, config.listen), [chain_rpc], grace_s=GRACE_S) as bound:
            parts.listens(NAME, bound)
            parts.publish(NAME, node)
            yield node
