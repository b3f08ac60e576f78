"""The dev chain in virtual time, its log in memory, and each provider's unreliable way to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import cast

from chain.dev.config import ChainNodeConfig
from chain.dev.genesis import Genesis
from chain.dev.history import History
from chain.dev.local import LocalChain
from chain.dev.node import Node
from chain.dev.state import State, initial_state
from chain.dev.store import LoggedBlock, Store
from sp.domain.errors import ServiceUnavailable, SpError
from sp.domain.ids import Address, ObjectId, TxHash
from sp.domain.ledger import (
    NO_OBJECT,
    Action,
    Block,
    Bucket,
    ChainAccount,
    ChainEvent,
    ChainObject,
    StorageProvider,
    TxResult,
)
from sp.domain.params import StorageParams
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
    and forgotten; late: it arrives minutes after its sender was told that it had not"""

    unavailable: float = 0.0
    landed: float = 0.0
    dropped: float = 0.0
    late: float = 0.0


@dataclass(slots=True)
class UnreliableChain:
    """chain.client.Chain as one provider reaches it."""

    true: LocalChain
    node: Node
    rates: ChainRates
    chance: Random
    pause: Callable[[], Awaitable[None]]
    count: Callable[[str], None]
    later: Callable[[float, Callable[[], object]], None]

    async def _way(self) -> None:
        await self.pause()
        if self._strikes(self.rates.unavailable, "chain did not answer"):
            raise ServiceUnavailable("chain", "no answer")

    def _strikes(self, rate: float, kind: str) -> bool:
        if not rate or self.chance.random() >= rate:
            return False
        self.count(kind)
        return True

    async def chain_id(self) -> str:
        return await self.true.chain_id()

    async def latest_block(self) -> Block:
        return await self.true.latest_block()

    async def params_at(self, time_s: int) -> StorageParams:
        await self._way()
        return await self.true.params_at(time_s)

    async def head_bucket(self, bucket: str) -> Bucket:
        await self._way()
        return await self.true.head_bucket(bucket)

    async def list_buckets(self, owner: Address) -> list[Bucket]:
        await self._way()
        return await self.true.list_buckets(owner)

    async def head_object(self, bucket: str, object_name: str) -> ChainObject:
        await self._way()
        return await self.true.head_object(bucket, object_name)

    async def head_object_by_id(self, object_id: ObjectId) -> ChainObject:
        await self._way()
        return await self.true.head_object_by_id(object_id)

    async def list_objects(
        self, *, bucket: str = "", secondary: Address | None = None, after: ObjectId = NO_OBJECT, limit: int = 100
    ) -> list[ChainObject]:
        await self._way()
        return await self.true.list_objects(bucket=bucket, secondary=secondary, after=after, limit=limit)

    async def verify_permission(
        self, operator: Address | None, bucket: str, object_name: str | None, action: Action
    ) -> bool:
        await self._way()
        return await self.true.verify_permission(operator, bucket, object_name, action)

    async def storage_providers(self) -> dict[Address, StorageProvider]:
        return await self.true.storage_providers()

    async def account(self, address: Address) -> ChainAccount:
        await self._way()
        return await self.true.account(address)

    async def broadcast(self, signed_tx: bytes) -> TxHash:
        await self._way()
        if self._strikes(self.rates.late, "transaction arrived late, after its sender was told that it failed"):
            self.later(self.chance.uniform(5.0, 300.0), lambda: self._too_late(signed_tx))
            raise ServiceUnavailable("chain", "no answer to a broadcast")
        with self._dropping(self._strikes(self.rates.dropped, "transaction taken by the chain and dropped")):
            tx_hash = await self.true.broadcast(signed_tx)
        if self._strikes(self.rates.landed, "broadcast landed, its answer was lost"):
            raise ServiceUnavailable("chain", "no answer to a broadcast")
        await self.pause()
        return tx_hash

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

    async def wait_tx(self, tx_hash: TxHash, until_height: int) -> TxResult:
        await self._way()
        return await self.true.wait_tx(tx_hash, until_height)

    async def events(self, after_height: int, limit_blocks: int) -> tuple[int, list[ChainEvent]]:
        await self._way()
        return await self.true.events(after_height, limit_blocks)

    async def next_block(self, after_height: int) -> Block:
        return await self.true.next_block(after_height)
