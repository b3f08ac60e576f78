"""The development chain over gRPC."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any, Final

from chain.dev import queries
from chain.dev.faults import Faults
from chain.dev.news import news_pb
from chain.dev.node import Node
from proto import chain_pb2 as pb
from proto.chain_pb2_grpc import ChainServicer
from proto.common_pb2 import Empty
from sp.domain.addresses import parse_address
from sp.domain.errors import InvalidRequest
from sp.domain.ids import ObjectId
from sp.domain.ledger import Action, Block
from sp.wire import chain as wire
from sp.wire import common

SERVICE: Final = "greenfield_sp.chain.v1.Chain"
MAX_OBJECTS: Final = 100
"""In one answer: with the longest names and updates under way it still fits into one message."""
NEWS_KEPT: Final = 8
"""Of so many newest blocks, for followers who are a little late."""


class ChainRpc(ChainServicer):
    def __init__(self, node: Node) -> None:
        self._node = node
        self._news: OrderedDict[int, pb.News] = OrderedDict()

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.GetStatusReply:
        genesis, interval_ms = self._node.state.genesis, self._node.config.block_interval_ms
        latest = wire.block_pb(self._node.newest)
        return pb.GetStatusReply(
            chain_id=genesis.chain_id, latest=latest, block_interval_ms=interval_ms, authority=genesis.authority
        )

    async def GetParams(self, request: pb.GetParamsRequest, context: Any) -> pb.GetParamsReply:
        return pb.GetParamsReply(params=common.params_pb(self._node.state.params_at(request.time_s)))

    async def HeadBucket(self, request: pb.HeadBucketRequest, context: Any) -> pb.Bucket:
        return wire.bucket_pb(queries.head_bucket(self._node.state, request.bucket))

    async def ListBuckets(self, request: pb.ListBucketsRequest, context: Any) -> pb.ListBucketsReply:
        buckets = queries.list_buckets(self._node.state, parse_address(request.owner))
        return pb.ListBucketsReply(buckets=[wire.bucket_pb(bucket) for bucket in buckets])

    async def HeadObject(self, request: pb.HeadObjectRequest, context: Any) -> pb.Object:
        return wire.chain_object_pb(queries.head_object(self._node.state, request.bucket, request.object_name))

    async def HeadObjectById(self, request: pb.HeadObjectByIdRequest, context: Any) -> pb.Object:
        return wire.chain_object_pb(queries.head_object_by_id(self._node.state, ObjectId(request.object_id)))

    async def ListObjects(self, request: pb.ListObjectsRequest, context: Any) -> pb.ListObjectsReply:
        found = queries.list_objects(
            self._node.state,
            request.bucket,
            wire.operator(request.secondary),
            ObjectId(request.after),
            min(request.limit or MAX_OBJECTS, MAX_OBJECTS),
        )
        return pb.ListObjectsReply(objects=map(wire.chain_object_pb, found))

    async def VerifyPermission(self, request: pb.VerifyPermissionRequest, context: Any) -> pb.VerifyPermissionReply:
        allowed = queries.verify_permission(
            self._node.state,
            wire.operator(request.operator),
            request.bucket,
            request.object_name or None,
            wire.enum_member(Action, request.action),
        )
        return wire.permission_reply_pb(allowed)

    async def ListStorageProviders(
        self, request: pb.ListStorageProvidersRequest, context: Any
    ) -> pb.ListStorageProvidersReply:
        providers = self._node.state.providers.values()
        return pb.ListStorageProvidersReply(providers=[wire.provider_pb(provider) for provider in providers])

    async def GetAccount(self, request: pb.GetAccountRequest, context: Any) -> pb.GetAccountReply:
        return wire.account_pb(self._node.state.account(parse_address(request.address)))

    async def Broadcast(self, request: pb.BroadcastRequest, context: Any) -> pb.BroadcastReply:
        return pb.BroadcastReply(tx_hash=self._node.broadcast(request.signed_tx))

    async def GetTx(self, request: pb.GetTxRequest, context: Any) -> pb.GetTxReply:
        asked = wire.tx_hash(request.tx_hash)
        result = self._node.history.results.get(asked)
        if result is None:
            return pb.GetTxReply(pending=asked in self._node.pool)
        return wire.tx_result_pb(result, self._node.history.bodies.get(asked))

    async def GetEvents(self, request: pb.GetEventsRequest, context: Any) -> pb.GetEventsReply:
        last_height, events = self._node.history.events_after(
            request.after_height, request.limit_blocks, self._node.newest.height
        )
        return pb.GetEventsReply(last_height=last_height, events=[wire.event_pb(event) for event in events])

    async def Follow(self, request: pb.FollowRequest, context: Any) -> AsyncIterator[pb.News]:
        async for block in self._node.follow(request.after_height):
            yield self._news_of(block)

    def _news_of(self, block: Block) -> pb.News:
        """Made once for all followers who keep up."""
        if block.height not in self._news:
            self._news[block.height] = news_pb(block, self._node.state, self._node.history)
            if len(self._news) > NEWS_KEPT:
                self._news.popitem(last=False)
        return self._news[block.height]

    async def SetFaults(self, request: pb.SetFaultsRequest, context: Any) -> Empty:
        if not self._node.config.faults:
            raise InvalidRequest("this node was not started for tests: [chain_node] faults is off")
        self._node.set_faults(
            Faults(
                pause_blocks=request.pause_blocks,
                drop_next_txs=request.drop_next_txs,
                fail_next_broadcasts=request.fail_next_broadcasts,
                block_delay_ms=request.block_delay_ms,
            )
        )
        return Empty()
