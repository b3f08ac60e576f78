"""The chain within one process: the same Protocol as over the network, straight from the node."""

from __future__ import annotations

from chain.dev import queries
from chain.dev.node import Node
from sp.domain.errors import TxNotSeen
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


class LocalChain:
    """Implements chain.client.Chain. Waits as long as the node runs; ServiceUnavailable when it stops."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def chain_id(self) -> str:
        return self._node.state.genesis.chain_id

    async def latest_block(self) -> Block:
        return self._node.newest

    async def params_at(self, time_s: int) -> StorageParams:
        return self._node.state.params_at(time_s)

    async def head_bucket(self, bucket: str) -> Bucket:
        return queries.head_bucket(self._node.state, bucket)

    async def list_buckets(self, owner: Address) -> list[Bucket]:
        return queries.list_buckets(self._node.state, owner)

    async def head_object(self, bucket: str, object_name: str) -> ChainObject:
        return queries.head_object(self._node.state, bucket, object_name)

    async def head_object_by_id(self, object_id: ObjectId, *, newest: bool = False) -> ChainObject:
        return queries.head_object_by_id(self._node.state, object_id)

    async def list_objects(
        self, *, bucket: str = "", secondary: Address | None = None, after: ObjectId = NO_OBJECT, limit: int = 100
    ) -> list[ChainObject]:
        return queries.list_objects(self._node.state, bucket, secondary, after, limit)

    async def verify_permission(
        self, operator: Address | None, bucket: str, object_name: str | None, action: Action
    ) -> bool:
        return queries.verify_permission(self._node.state, operator, bucket, object_name, action)

    async def storage_providers(self) -> dict[Address, StorageProvider]:
        return dict(self._node.state.providers)

    async def account(self, address: Address) -> ChainAccount:
        return self._node.state.account(address)

    async def broadcast(self, signed_tx: bytes) -> TxHash:
        return self._node.broadcast(signed_tx)

    async def wait_tx(self, tx_hash: TxHash, until_height: int) -> TxResult:
        while True:
            result = self._node.history.results.get(tx_hash)
            if result is not None:
                return result
            if self._node.newest.height > until_height:
                raise TxNotSeen(tx_hash)
            await self._node.wait_above(self._node.newest.height)

    async def events(self, after_height: int, limit_blocks: int) -> tuple[int, list[ChainEvent]]:
        return self._node.history.events_after(after_height, limit_blocks, self._node.newest.height)

    async def next_block(self, after_height: int) -> Block:
        return await self._node.wait_above(after_height)
