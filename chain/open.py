"""The chain that a process uses, opened once and shared by its services."""

from __future__ import annotations

from chain.client import Chain
from chain.config import ChainConfig
from chain.dev.app import NAME
from chain.dev.client import open_dev_chain
from chain.dev.local import LocalChain
from chain.dev.node import Node
from sp.runtime.parts import Parts
from sp.runtime.rpc import listen_address


async def open_chain(parts: Parts) -> Chain:
    """By `[chain]`; straight to the node where that runs in this very process."""
    node = parts.local(NAME)
    if isinstance(node, Node):
        return LocalChain(node)
    config = parts.file.section("chain", ChainConfig)
    address = listen_address(parts.file, config.address)
    return await parts.once("chain", lambda: open_dev_chain(config, address, parts.clock, parts.random, parts.spawn))
