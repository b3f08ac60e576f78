"""A provider's way to the simulation's chain, held to the suite of the real ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest

from chain.dev.config import ChainNodeConfig, Production
from chain.dev.local import LocalChain
from sp.runtime.clock import ManualClock
from sp.runtime.pool import CpuPool
from tests.chain_world import GENESIS
from tests.contracts import test_chain
from tests.contracts.test_chain import World
from tests.sim.chain import ChainRates, UnreliableChain, memory_node
from tests.turns import turn


@pytest.fixture
async def world() -> AsyncIterator[World]:
    config = ChainNodeConfig(production=Production.WHEN_PENDING, max_pool_txs=20)
    async with CpuPool(1) as threads:
        node = memory_node(config, GENESIS, ManualClock(), threads)
        making = asyncio.create_task(node.run())

        async def pause() -> None:
            await turn()

        true = LocalChain(node)
        yield World(
            node,
            UnreliableChain(true, node, ChainRates(), Random(0), pause, lambda kind: None, lambda s, callback: None),
        )
        await node.close()
        await making


globals().update({name: test for name, test in vars(test_chain).items() if name.startswith("test_")})
