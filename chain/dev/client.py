"""The development chain as the services see it: chain.client.Chain over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Final

from chain.config import ChainConfig
from chain.dev.caches import Caches, Recent
from chain.dev.eventlog import EventLog
from chain.dev.faults import Faults
from chain.dev.follower import Follower, Watch
from chain.dev.news import News, news
from chain.tx import hash_of
from proto import chain_pb2 as pb
from proto.chain_pb2_grpc import ChainStub
from sp.domain.errors import DeadlineExceeded, ServiceUnavailable, TxNotSeen
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
from sp.runtime.rpc import dial
from sp.wire import chain as wire
from sp.wire import common

if TYPE_CHECKING:
    from proto.chain_pb2_grpc import ChainAsyncStub

Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]

STREAM_S: Final = 3000.0
"""A stream is opened anew after this: every call has a deadline."""
SENT_KEPT: Final = 4096
"""Transactions that were sent and are in no block yet, as far as the stream has shown."""


class DevChainClient:
    """Caches stay right through the stream of blocks; while that is down, questions whose answer may have changed are
    asked again. A node that restarts is found again within a second or so, and nobody who waits needs to know."""

    def __init__(self, stub: ChainAsyncStub, config: ChainConfig, clock: Clock, random: Random) -> None:
        self._stub = stub
        self._caches = Caches(config.permissions_cached, config.objects_cached)
        self._events = EventLog()
        self._follower = Follower(self._blocks, self._hear, clock, random, config.patience_s)
        self._sent: Recent[TxHash, int] = Recent(SENT_KEPT)
        self._chain_id: str | None = None

    async def follow(self) -> None:
        """Keep the stream open, until cancelled. `open_dev_chain` runs it."""
        await self._follower.run()

    # --- questions

    async def chain_id(self) -> str:
        if self._chain_id is None:
            self._chain_id = (await self._stub.GetStatus(pb.GetStatusRequest())).chain_id
        return self._chain_id

    async def latest_block(self) -> Block:
        if self._follower.connected:
            return self._follower.newest
        return wire.block((await self._stub.GetStatus(pb.GetStatusRequest())).latest)

    async def params_at(self, time_s: int) -> StorageParams:
        known = self._caches.params_at(time_s)
        if known is not None:
            return known
        ticket = self._caches.params_ticket
        reply = await self._stub.GetParams(pb.GetParamsRequest(time_s=time_s))
        params = common.params(reply.params)
        self._caches.keep_params(time_s, params, ticket)
        return params

    async def head_bucket(self, bucket: str) -> Bucket:
        known = self._caches.bucket(bucket) if self._follower.connected else None
        if known is not None:
            return known
        ticket = self._caches.ticket
        found = wire.bucket(await self._stub.HeadBucket(pb.HeadBucketRequest(bucket=bucket)))
        self._caches.keep_bucket(found, ticket)
        return found

    async def list_buckets(self, owner: Address) -> list[Bucket]:
        reply = await self._stub.ListBuckets(pb.ListBucketsRequest(owner=owner))
        return [wire.bucket(bucket) for bucket in reply.buckets]

    async def head_object(self, bucket: str, object_name: str) -> ChainObject:
        request = pb.HeadObjectRequest(bucket=bucket, object_name=object_name)
        return wire.chain_object(await self._stub.HeadObject(request))

    async def head_object_by_id(self, object_id: ObjectId, *, newest: bool = False) -> ChainObject:
        known = self._caches.object(object_id) if self._follower.connected and not newest else None
        if known is not None:
            return known
        ticket = self._caches.ticket
        found = wire.chain_object(await self._stub.HeadObjectById(pb.HeadObjectByIdRequest(object_id=object_id)))
        self._caches.keep_object(found, ticket)
        return found

    async def list_objects(
        self, *, bucket: str = "", secondary: Address | None = None, after: ObjectId = NO_OBJECT, limit: int = 100
    ) -> list[ChainObject]:
        request = pb.ListObjectsRequest(bucket=bucket, secondary=secondary or "", after=after, limit=limit)
        return [wire.chain_object(each) for each in (await self._stub.ListObjects(request)).objects]

    async def verify_permission(
        self, operator: Address | None, bucket: str, object_name: str | None, action: Action
    ) -> bool:
        question = (operator, bucket, object_name, action)
        known = self._caches.permissions.get(question) if self._follower.connected else None
        if known is not None:
            return known
        ticket = self._caches.ticket
        answer = wire.allowed(await self._stub.VerifyPermission(wire.permission_request_pb(*question)))
        self._caches.keep_permission(question, answer, ticket)
        return answer

    async def storage_providers(self) -> dict[Address, StorageProvider]:
        cached = self._caches.providers
        if cached.value is not None:
            return dict(cached.value)
        ticket = cached.ticket
        reply = await self._stub.ListStorageProviders(pb.ListStorageProvidersRequest())
        providers = {provider.operator: provider for provider in map(wire.provider, reply.providers)}
        if self._follower.connected:
            cached.keep(providers, ticket)
        return dict(providers)

    async def account(self, address: Address) -> ChainAccount:
        return wire.account(await self._stub.GetAccount(pb.GetAccountRequest(address=address)))

    async def events(self, after_height: int, limit_blocks: int) -> tuple[int, list[ChainEvent]]:
        known = self._events.after(after_height, limit_blocks) if self._follower.connected else None
        if known is not None:
            return known
        request = pb.GetEventsRequest(after_height=after_height, limit_blocks=limit_blocks)
        reply = await self._stub.GetEvents(request)
        await self._caught_up(reply.last_height)
        return reply.last_height, [wire.event(event) for event in reply.events]

    # --- transactions and blocks

    async def broadcast(self, signed_tx: bytes) -> TxHash:
        """Noted before it is sent: from then on the stream, while it is up, shows the block that it comes into."""
        if self._follower.connected:
            self._sent.put(hash_of(signed_tx), self._follower.connections)
        return wire.tx_hash((await self._stub.Broadcast(pb.BroadcastRequest(signed_tx=signed_tx))).tx_hash)

    async def wait_tx(self, tx_hash: TxHash, until_height: int) -> TxResult:
        """From the news of its block. Asks at the start, if it may have been in a block before the stream was up, after
        each gap, and before it gives up."""
        follower = self._follower
        with follower.watch(tx_hash) as watch:
            watch.result = self._caches.results.get(tx_hash) if follower.connected else None
            if watch.result is None and self._sent_in_sight(tx_hash):
                await follower.until(partial(_worth_asking, follower, watch, until_height, follower.connections))
            while watch.result is None:
                connections, height = follower.connections, follower.newest.height
                watch.seen = False
                try:
                    result = wire.tx_result(tx_hash, await self._stub.GetTx(pb.GetTxRequest(tx_hash=tx_hash)))
                except (ServiceUnavailable, DeadlineExceeded):
                    await self._moved(connections, height)
                    continue
                if result is not None:
                    await self._caught_up(result.height)
                    return result
                if height > until_height and follower.connections and not watch.seen:
                    raise TxNotSeen(tx_hash)
                await follower.until(partial(_worth_asking, follower, watch, until_height, connections))
            return watch.result

    def _sent_in_sight(self, tx_hash: TxHash) -> bool:
        """Whether the stream has been up since before the transaction was sent, and has shown it in no block."""
        return self._follower.connected and self._sent.get(tx_hash) == self._follower.connections

    async def next_block(self, after_height: int) -> Block:
        follower = self._follower
        await follower.until(lambda: follower.connected and follower.newest.height > after_height)
        return follower.newest

    async def set_faults(self, faults: Faults) -> None:
        """For tests: InvalidRequest where the node does not allow it."""
        await self._stub.SetFaults(
            pb.SetFaultsRequest(
                pause_blocks=faults.pause_blocks,
                drop_next_txs=faults.drop_next_txs,
                fail_next_broadcasts=faults.fail_next_broadcasts,
                block_delay_ms=faults.block_delay_ms,
            )
        )

    async def _moved(self, connections: int, height: int) -> None:
        """After a failed call: until there is a reason to hope for another answer."""
        follower = self._follower
        await follower.until(lambda: follower.connections != connections or follower.newest.height != height)

    async def _caught_up(self, height: int) -> None:
        """What is asked after this must not be answered from before that block."""
        follower = self._follower
        await follower.until(lambda: not follower.connected or follower.newest.height >= height)

    def _hear(self, told: News | None) -> None:
        self._caches.hear(told)
        self._events.hear(None if told is None else told.block)
        if told is not None:
            for tx_hash in told.block.tx_hashes:
                self._sent.forget(tx_hash)

    async def _blocks(self) -> AsyncIterator[News]:
        async for message in self._stub.Follow(pb.FollowRequest(), timeout=STREAM_S, wait_for_ready=True):
            yield news(message)


def _worth_asking(follower: Follower, watch: Watch, until_height: int, connections: int) -> bool:
    """Whether the answer about a transaction may be another one by now."""
    return watch.seen or follower.newest.height > until_height or follower.connections != connections


@asynccontextmanager
async def open_dev_chain(
    config: ChainConfig, address: str, clock: Clock, random: Random, spawn: Spawn
) -> AsyncIterator[DevChainClient]:
    """A client of the node at `address`, which need not be up yet.

    spawn: runs the task that follows the chain; told of it when that fails by our own mistake
    """
    async with dial(address, timeout_s=config.call_timeout_s) as channel:
        client = DevChainClient(ChainStub(channel), config, clock, random)
        following = spawn(client.follow(), "follow chain")
        try:
            yield client
        finally:
            following.cancel()
            await asyncio.wait([following])
