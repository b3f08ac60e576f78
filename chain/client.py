"""What an SP asks of the chain: a narrow interface, whatever chain is behind it."""

from __future__ import annotations

from typing import Protocol

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


class Chain(Protocol):
    """Queries answer from the newest finished block, or from the newest that was heard of, a moment before: never from
    one before a block, a result or an event that was told here. Every call has a deadline; ServiceUnavailable when it
    passes."""

    async def chain_id(self) -> str:
        """For example "greenfield_9000-121"; part of every transaction's signed bytes. Cached."""

    async def latest_block(self) -> Block:
        """Height and time of the newest block. Answered from the block stream, without a call, while it is up."""

    async def params_at(self, time_s: int) -> StorageParams:
        """The storage parameters valid at this unix time. Cached."""

    async def head_bucket(self, bucket: str) -> Bucket:
        """NoSuchBucket."""

    async def list_buckets(self, owner: Address) -> list[Bucket]:
        """In name order."""

    async def head_object(self, bucket: str, object_name: str) -> ChainObject:
        """NoSuchBucket, NoSuchObject. Always from the newest finished block: users change objects themselves."""

    async def head_object_by_id(self, object_id: ObjectId, *, newest: bool = False) -> ChainObject:
        """NoSuchObjectId: rejected, deleted or never created.

        newest: from the newest finished block, though it was not heard of: for whoever was told of it by others
        """

    async def list_objects(
        self, *, bucket: str = "", secondary: Address | None = None, after: ObjectId = NO_OBJECT, limit: int = 100
    ) -> list[ChainObject]:
        """The first objects with ids above `after`, in the order of their ids, at most `limit` (1 to 100).

        bucket: only of this one, "" of any; secondary: only those sealed with this provider
        """

    async def verify_permission(
        self, operator: Address | None, bucket: str, object_name: str | None, action: Action
    ) -> bool:
        """The chain's VerifyPermission (GREENFIELD.md 6.2). operator None: anonymous. NoSuchBucket, NoSuchObject."""

    async def storage_providers(self) -> dict[Address, StorageProvider]:
        """All registered ones by operator address. Cached until the chain says PROVIDERS_CHANGED."""

    async def account(self, address: Address) -> ChainAccount:
        """An account that never appeared has nonce 0."""

    async def broadcast(self, signed_tx: bytes) -> TxHash:
        """Hand a signed transaction (proto SignedTx) to the chain's pool, where it waits for a block.

        TxRefused when its signature is wrong or its nonce not the next one (sdk 32), counting those that wait. What its
        message asks is decided in the block: the TxResult has that code. Overloaded when the pool is full.
        ServiceUnavailable leaves open whether it arrived.
        """

    async def wait_tx(self, tx_hash: TxHash, until_height: int) -> TxResult:
        """The transaction's result, a refusal too, as soon as it is in a block; TxNotSeen once the chain is past
        `until_height`. Goes on through a restart of the node; ServiceUnavailable when there is none for long."""

    async def events(self, after_height: int, limit_blocks: int) -> tuple[int, list[ChainEvent]]:
        """Events of the blocks after `after_height`, of at most `limit_blocks` of them that have any: (last height
        covered, events). (after_height, []) when there is no newer block. EventsPruned: no longer known."""

    async def next_block(self, after_height: int) -> Block:
        """Wait until there is a block above `after_height`; the newest. How chores follow the chain without polling.
        Heights may be skipped. ServiceUnavailable when there is no node for long."""
