"""A provider's way to the simulation's chain, held to the suite of the real ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from random import Random
from typing import Any

import pytest

from chain.config import ChainConfig
from chain.dev.config import ChainNodeConfig, Production
from sp.runtime.clock import ManualClock
from sp.runtime.pool import CpuPool
from tests.chain_world import GENESIS
from tests.contracts import test_chain
from tests.contracts.test_chain import World
from tests.sim.chain import ChainRates, UnreliableStub, memory_node, open_sim_chain
from tests.turns import turn


@pytest.fixture
async def world() -> AsyncIterator[World]:
    config = ChainNodeConfig(production=Production.WHEN_PENDING, max_pool_txs=20)
    async with CpuPool(1) as threads:
        node = memory_node(config, GENESIS, ManualClock(), threads)
        making = asyncio.create_task(node.run())

        async def pause() -> None:
            await turn()

        stub = UnreliableStub(node, ChainRates(), Random(0), pause, lambda kind: None, lambda s, callback: None)
        async with open_sim_chain(stub, ChainConfig(), ManualClock(), Random(0), _task) as chain:
            yield World(node, chain)
        await node.close()
        await making


def _task(coro: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    return asyncio.create_task(coro, name=name)


globals().update({name: test for name, test in vars(test_chain).items() if name.startswith("test_")})
