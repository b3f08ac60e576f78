"""A chain in a test's hand: what it answers is what the test has written into it. Follows chain.client.Chain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from chain.client import Chain
from sp.domain.errors import NoSuchBucket, NoSuchObject, NoSuchObjectId, TxRefused
from sp.domain.ids import Address, Checksum, ObjectId, TxHash
from sp.domain.ledger import (
    NO_OBJECT,
    Action,
    Block,
    Bucket,
    BucketStatus,
    ChainAccount,
    ChainEvent,
    ChainObject,
    EventType,
    ObjectStatus,
    RedundancyType,
    StorageProvider,
    TxResult,
    Visibility,
)
from sp.domain.params import StorageParams
from sp.wire.transactions import parse_signed_tx, parse_tx_body

NOW_S = 1_700_000_000
PARAMS = StorageParams(max_segment_size=1000, data_chunks=4, parity_chunks=2)


@dataclass
class LedgerDouble:
    """pool: nonces of transactions accepted and in no block yet, by account; `block` executes them."""

    providers: dict[Address, StorageProvider] = field(default_factory=dict)
    params: StorageParams = PARAMS
    height: int = 10
    time_s: int = NOW_S
    buckets: dict[str, Bucket] = field(default_factory=dict)
    objects: dict[ObjectId, ChainObject] = field(default_factory=dict)
    log: list[ChainEvent] = field(default_factory=list)
    nonces: dict[Address, int] = field(default_factory=dict)
    pool: dict[Address, int] = field(default_factory=dict)
    accepted: list[tuple[Address, int, str]] = field(default_factory=list)
    on_broadcast: Callable[[int], Exception | None] = lambda count: None
    broadcasts: int = 0
    _new_block: asyncio.Event = field(default_factory=asyncio.Event)

    # --- what tests do

    def add_bucket(self, name: str, primary: Address, visibility: Visibility = Visibility.PRIVATE) -> None:
        owner = Address("0x" + "11" * 20)
        self.buckets[name] = Bucket(1, name, owner, visibility, primary, NOW_S, BucketStatus.CREATED)

    def add_object(
        self, object_id: int, bucket: str, name: str, size: int, checksums: tuple[Checksum, ...] = (), version: int = 0
    ) -> ChainObject:
        owner = self.buckets[bucket].owner
        made = ChainObject(
            ObjectId(object_id),
            bucket,
            name,
            owner,
            owner,
            size,
            Visibility.INHERIT,
            "",
            NOW_S,
            ObjectStatus.CREATED,
            RedundancyType.EC,
            checksums,
            (),
            version,
        )
        self.objects[made.id] = made
        return made

    def seal(self, object_id: int, secondaries: tuple[Address, ...]) -> None:
        found = self.objects[ObjectId(object_id)]
        sealed = replace(found, status=ObjectStatus.SEALED, secondaries=secondaries)
        kind = EventType.SEAL_OBJECT
        if found.update is not None:
            kind = EventType.UPDATE_OBJECT_CONTENT_SUCCESS
            sealed = replace(sealed, version=found.update.version, payload_size=found.update.payload_size, update=None)
        self.objects[found.id] = sealed
        self.event(kind, found)

    def event(self, kind: EventType, found: ChainObject) -> None:
        self.block()
        self.log.append(ChainEvent(self.height, kind, found.bucket, found.name, found.id, found.version))

    def block(self) -> None:
        self.height += 1
        self.time_s += 1
        for account, count in self.pool.items():
            self.nonces[account] = self.nonces.get(account, 0) + count
        self.pool.clear()
        self._new_block.set()
        self._new_block = asyncio.Event()

    # --- Chain

    async def chain_id(self) -> str:
        return "greenfield_9000-121"

    async def latest_block(self) -> Block:
        return Block(self.height, self.time_s)

    async def params_at(self, time_s: int) -> StorageParams:
        return self.params

    async def head_bucket(self, bucket: str) -> Bucket:
        if bucket not in self.buckets:
            raise NoSuchBucket(bucket)
        return self.buckets[bucket]

    async def list_buckets(self, owner: Address) -> list[Bucket]:
        return [bucket for bucket in self.buckets.values() if bucket.owner == owner]

    async def head_object(self, bucket: str, object_name: str) -> ChainObject:
        for found in self.objects.values():
            if (found.bucket, found.name) == (bucket, object_name):
                return found
        raise NoSuchObject(bucket, object_name)

    async def head_object_by_id(self, object_id: ObjectId, *, newest: bool = False) -> ChainObject:
        if object_id not in self.objects:
            raise NoSuchObjectId(object_id)
        return self.objects[object_id]

    async def list_objects(
        self, *, bucket: str = "", secondary: Address | None = None, after: ObjectId = NO_OBJECT, limit: int = 100
    ) -> list[ChainObject]:
        found = sorted(self.objects.values(), key=lambda each: each.id)
        wanted = [each for each in found if each.id > after and bucket in ("", each.bucket)]
        return [each for each in wanted if secondary is None or secondary in each.secondaries][:limit]

    async def verify_permission(
        self, operator: Address | None, bucket: str, object_name: str | None, action: Action
    ) -> bool:
        return self.buckets[bucket].visibility is Visibility.PUBLIC_READ

    async def storage_providers(self) -> dict[Address, StorageProvider]:
        return self.providers

    async def account(self, address: Address) -> ChainAccount:
        return ChainAccount(address, self.nonces.get(address, 0), 0, 0)

    async def broadcast(self, signed_tx: bytes) -> TxHash:
        """Nonces in order, counting those in the pool, as the chain's check does. on_broadcast may fail the n-th call
        (from 1): a TxRefused instead of it, anything else after it has been accepted."""
        self.broadcasts += 1
        failure = self.on_broadcast(self.broadcasts)
        if isinstance(failure, TxRefused):
            raise failure
        body = parse_tx_body(parse_signed_tx(signed_tx).body)
        expected = self.nonces.get(body.signer, 0) + self.pool.get(body.signer, 0)
        if body.nonce != expected:
            raise TxRefused("sdk", 32, f"expected {expected}, got {body.nonce}")
        self.pool[body.signer] = self.pool.get(body.signer, 0) + 1
        self.accepted.append((body.signer, body.nonce, type(body.message).__name__))
        if failure is not None:
            raise failure
        return TxHash(f"{self.broadcasts:064x}")

    async def wait_tx(self, tx_hash: TxHash, until_height: int) -> TxResult:
        raise NotImplementedError

    async def events(self, after_height: int, limit_blocks: int) -> tuple[int, list[ChainEvent]]:
        last = min(self.height, after_height + limit_blocks)
        return last, [event for event in self.log if after_height < event.height <= last]

    async def next_block(self, after_height: int) -> Block:
        while self.height <= after_height:
            await self._new_block.wait()
        return await self.latest_block()


def _is_a_chain(double: LedgerDouble) -> Chain:
    return double
