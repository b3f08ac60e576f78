"""The development chain as the services see it: chain.client.Chain over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Final

import grpc

from chain.config import ChainConfig
from chain.dev.caches import Caches
from chain.dev.faults import Faults
from chain.dev.follower import Follower, Watch
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


class DevChainClient:
    """Caches stay right through the stream of blocks; while that is down, questions whose answer may have changed are
    asked again. A node that restarts is found again within a second or so, and nobody who waits needs to know."""

    def __init__(self, channel: grpc.aio.Channel, config: ChainConfig, clock: Clock, random: Random) -> None:
        self._stub: ChainAsyncStub = ChainStub(channel)
        self._caches = Caches(config.permissions_cached)
        self._follower = Follower(self._blocks, self._caches.hear, clock, random, config.patience_s)
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
        return wire.bucket(await self._stub.HeadBucket(pb.HeadBucketRequest(bucket=bucket)))

    async def list_buckets(self, owner: Address) -> list[Bucket]:
        reply = await self._stub.ListBuckets(pb.ListBucketsRequest(owner=owner))
        return [wire.bucket(bucket) for bucket in reply.buckets]

    async def head_object(self, bucket: str, object_name: str) -> ChainObject:
        request = pb.HeadObjectRequest(bucket=bucket, object_name=object_name)
        return wire.chain_object(await self._stub.HeadObject(request))

    async def head_object_by_id(self, object_id: ObjectId) -> ChainObject:
        return wire.chain_object(await self._stub.HeadObjectById(pb.HeadObjectByIdRequest(object_id=object_id)))

    async def list_objects(
        self, *, bucket: str = "", secondary: Address | None = None, after: ObjectId = NO_OBJECT, limit: int = 100
    ) -> list[ChainObject]:
        request = pb.ListObjectsRequest(bucket=bucket, secondary=secondary or "", after=after, limit=limit)
        return [wire.chain_object(each) for each in (await self._stub.ListObjects(request)).objects]

    async def verify_permission(
        self, operator: Address | None, bucket: str, object_name: str | None, action: Action
    ) -> bool:
        question = (operator, bucket, object_name, action)
        known = self._caches.permission(question) if self._follower.connected else None
        if known is not None:
            return known
        height = self._follower.newest.height
        reply = await self._stub.VerifyPermission(wire.permission_request_pb(*question))
        answer = wire.allowed(reply)
        self._caches.keep_permission(question, answer, height)
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
        request = pb.GetEventsRequest(after_height=after_height, limit_blocks=limit_blocks)
        reply = await self._stub.GetEvents(request)
        return reply.last_height, [wire.event(event) for event in reply.events]

    # --- transactions and blocks

    async def broadcast(self, signed_tx: bytes) -> TxHash:
        return wire.tx_hash((await self._stub.Broadcast(pb.BroadcastRequest(signed_tx=signed_tx))).tx_hash)

    async def wait_tx(self, tx_hash: TxHash, until_height: int) -> TxResult:
        """Asks at the start, when the stream shows the transaction, and after each gap in the stream."""
        follower = self._follower
        with follower.watch(tx_hash) as watch:
            while True:
                connections, height = follower.connections, follower.newest.height
                watch.seen = False
                try:
                    result = wire.tx_result(tx_hash, await self._stub.GetTx(pb.GetTxRequest(tx_hash=tx_hash)))
                except (ServiceUnavailable, DeadlineExceeded):
                    await self._moved(connections, height)
                    continue
                if result is not None:
                    return await self._caught_up(result)
                if height > until_height and follower.connections:
                    raise TxNotSeen(tx_hash)
                await follower.until(partial(_worth_asking, follower, watch, until_height, connections))

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

    async def _caught_up(self, result: TxResult) -> TxResult:
        """What is asked after this must not be answered from before that block."""
        follower = self._follower
        await follower.until(lambda: not follower.connected or follower.newest.height >= result.height)
        return result

    async def _blocks(self) -> AsyncIterator[Block]:
        async for message in self._stub.Follow(pb.FollowRequest(), timeout=STREAM_S, wait_for_ready=True):
            yield wire.block(message)


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
        client = DevChainClient(channel, config, clock, random)
        following = spawn(client.follow(), "follow chain")
        try:
            yield client
        finally:
            following.cancel()
            await asyncio.wait([following])
