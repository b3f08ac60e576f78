"""The dev chain in virtual time, its log in memory, and each provider's unreliable way to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, cast

from chain.config import ChainConfig
from chain.dev.client import DevChainClient, Spawn
from chain.dev.config import ChainNodeConfig
from chain.dev.genesis import Genesis
from chain.dev.history import History
from chain.dev.node import Node
from chain.dev.rpc import ChainRpc
from chain.dev.state import State, initial_state
from chain.dev.store import LoggedBlock, Store
from proto import chain_pb2 as pb
from sp.domain.errors import ServiceUnavailable, SpError
from sp.runtime.clock import Clock
from sp.runtime.pool import CpuPool

HISTORY_TXS = 1_000_000


@dataclass(slots=True)
class MemoryLog:
    """In the place of chain.dev.store.Store: what was appended is kept, and nothing is ever read again, since the chain
    itself does not crash in the simulation (tests/unit/test_chain_store.py crashes it)."""

    blocks: list[LoggedBlock] = field(default_factory=list)
    reserved: int = 0
    replay_weight: int = 0

    def append(self, block: LoggedBlock) -> None:
        self.blocks.append(block)
        self.reserved = max(self.reserved, block.height)

    def reserve(self, height: int, time_s: int) -> None:
        self.reserved = height

    def start_segment(self, next_height: int, time_s: int) -> None:
        raise AssertionError("it never grows heavy, so that no snapshot is due")

    def write_snapshot(self, state: State, history: History) -> None:
        raise AssertionError("it never grows heavy, so that no snapshot is due")

    def close(self, height: int, time_s: int) -> None:
        return


def memory_node(config: ChainNodeConfig, genesis: Genesis, clock: Clock, threads: CpuPool) -> Node:
    """A node that has not begun to make blocks: `Node.run` does."""
    log = cast(Store, MemoryLog())
    return Node(config, log, initial_state(genesis), History(HISTORY_TXS), clock, threads)


@dataclass(slots=True)
class ChainRates:
    """unavailable: a call fails; landed: a broadcast arrives and its answer is lost; dropped: a transaction is taken
    and forgotten; late: it arrives minutes after its sender was told that it had not; torn: the stream of blocks breaks
    before one of them; lagging: one is heard of long after it was made, and so are those behind it"""

    unavailable: float = 0.0
    landed: float = 0.0
    dropped: float = 0.0
    late: float = 0.0
    torn: float = 0.0
    lagging: float = 0.0


Call = Callable[[Any, Any], Awaitable[Any]]


@dataclass(slots=True)
class UnreliableStub:
    """In the place of a ChainStub: the node as one provider reaches it, so that its client, with all that this
    remembers, is the one that runs outside of the simulation. Questions and answers each take their time."""

    node: Node
    rates: ChainRates
    chance: Random
    pause: Callable[[], Awaitable[None]]
    count: Callable[[str], None]
    later: Callable[[float, Callable[[], object]], None]
    _rpc: ChainRpc = field(init=False)

    def __post_init__(self) -> None:
        self._rpc = ChainRpc(self.node)

    def __getattr__(self, method: str) -> Callable[[Any], Awaitable[Any]]:
        return partial(self._call, getattr(self._rpc, method))

    async def Broadcast(self, request: pb.BroadcastRequest) -> pb.BroadcastReply:
        await self._way()
        if self._strikes(self.rates.late, "transaction arrived late, after its sender was told that it failed"):
            self.later(self.chance.uniform(5.0, 300.0), lambda: self._too_late(request.signed_tx))
            raise ServiceUnavailable("chain", "no answer to a broadcast")
        with self._dropping(self._strikes(self.rates.dropped, "transaction taken by the chain and dropped")):
            reply = await self._rpc.Broadcast(request, None)
        if self._strikes(self.rates.landed, "broadcast landed, its answer was lost"):
            raise ServiceUnavailable("chain", "no answer to a broadcast")
        await self.pause()
        return reply

    async def Follow(self, request: pb.FollowRequest, **_: object) -> AsyncIterator[pb.News]:
        await self._way()
        async for news in self._rpc.Follow(request, None):
            await self.pause()
            if self._strikes(self.rates.lagging, "blocks heard of late"):
                await asyncio.sleep(self.chance.uniform(0.5, 20.0))
            if self._strikes(self.rates.torn, "stream of blocks broke"):
                raise ServiceUnavailable("chain", "the stream broke")
            yield news

    async def _call(self, call: Call, request: Any) -> Any:
        await self._way()
        reply = await call(request, None)
        await self.pause()
        return reply

    async def _way(self) -> None:
        await self.pause()
        if self._strikes(self.rates.unavailable, "chain did not answer"):
            raise ServiceUnavailable("chain", "no answer")

    def _strikes(self, rate: float, kind: str) -> bool:
        if not rate or self.chance.random() >= rate:
            return False
        self.count(kind)
        return True

    @contextmanager
    def _dropping(self, dropped: bool) -> Iterator[None]:
        before = self.node.faults.drop_next_txs
        if dropped:
            self.node.faults.drop_next_txs = 1
        try:
            yield
        finally:
            if dropped:
                self.node.faults.drop_next_txs = before

    def _too_late(self, signed_tx: bytes) -> None:
        try:
            self.node.broadcast(signed_tx)
        except SpError:
            self.count("late transaction refused, its nonce was taken by then")


@asynccontextmanager
async def open_sim_chain(
    stub: UnreliableStub, config: ChainConfig, clock: Clock, chance: Random, spawn: Spawn
) -> AsyncIterator[DevChainClient]:
    """As `open_dev_chain`, over a stub that needs no network."""
    client = DevChainClient(cast(Any, stub), config, clock, chance)
    following = spawn(client.follow(), "follow chain")
    try:
        yield client
    finally:
        following.cancel()
        await asyncio.wait([following])
