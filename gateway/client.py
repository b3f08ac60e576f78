"""The Gateway as a client of its gRPC service sees it. The S3 interface (http.py) has the same operations."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import grpc

from gateway import errors as errors  # registers them: an error that comes back is raised as its own class
from gateway.request import RequestHead
from gateway.rpc_head import equivalent_head
from proto import common_pb2 as common
from proto import gateway_pb2 as pb
from proto.gateway_pb2_grpc import GatewayStub
from sp.domain.errors import InvalidRequest
from sp.domain.ids import Address
from sp.domain.ledger import Visibility
from sp.runtime.chunks import chunks_of

TRANSFER_TIMEOUT_S: Final = 24 * 3600.0
"""A transfer lasts as long as its body."""

SignHead = Callable[[RequestHead], Iterable[tuple[str, str]]]
"""The headers to add to a request: gateway.sign with a key filled in, or `lambda head: ()` to stay anonymous."""


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """status: CREATED, or SEALED once the chain has sealed it. headers: kept with the object"""

    payload_size: int
    etag: str
    updated_at_ms: int
    headers: dict[str, str]
    status: str
    object_id: int


@dataclass(frozen=True, slots=True)
class ObjectsPage:
    objects: tuple[tuple[str, ObjectFacts], ...]
    common_prefixes: tuple[str, ...]
    next_marker: str | None


@dataclass(frozen=True, slots=True)
class BucketFacts:
    bucket: str
    owner: Address
    create_at_s: int
    visibility: Visibility


class GatewayClient:
    """host: what the signatures name as Host; any name that both sides agree on."""

    def __init__(self, channel: grpc.aio.Channel, sign: SignHead, host: str) -> None:
        self._stub = GatewayStub(channel)
        self._sign = sign
        self._host = host

    async def put_object(
        self,
        bucket: str,
        object_name: str,
        body: AsyncIterator[bytes],
        payload_size: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Its etag. The put is committed only when `body` ends by itself."""
        kept = dict(headers or {})
        opening = pb.PutObjectOpen(bucket=bucket, object_name=object_name, payload_size=payload_size, headers=kept)

        async def frames() -> AsyncGenerator[pb.PutObjectFrame, None]:
            yield pb.PutObjectFrame(open=opening)
            async for chunk in body:
                for part in chunks_of(chunk):
                    yield pb.PutObjectFrame(chunk=part)
            yield pb.PutObjectFrame(end=common.Empty())

        metadata = self._metadata("PUT", bucket, object_name, kept, payload_size)
        reply = await self._stub.PutObject(frames(), timeout=TRANSFER_TIMEOUT_S, metadata=metadata)
        return reply.etag

    async def get_object(
        self, bucket: str, object_name: str, first: int | None = None, last: int | None = None
    ) -> AsyncGenerator[ObjectFacts | bytes, None]:
        """The object's facts, then its bytes (of the inclusive range first-last, as in HTTP)."""
        request = pb.GetObjectRequest(bucket=bucket, object_name=object_name, first=first, last=last)
        metadata = self._metadata("GET", bucket, object_name)
        call = self._stub.GetObject(request, timeout=TRANSFER_TIMEOUT_S, metadata=metadata)
        try:
            async for frame in call:
                yield _facts(frame.head) if frame.HasField("head") else frame.chunk
        finally:
            call.cancel()

    async def head_object(self, bucket: str, object_name: str) -> ObjectFacts:
        key = pb.ObjectKey(bucket=bucket, object_name=object_name)
        return _facts(await self._stub.HeadObject(key, metadata=self._metadata("HEAD", bucket, object_name)))

    async def delete_object(self, bucket: str, object_name: str) -> None:
        key = pb.ObjectKey(bucket=bucket, object_name=object_name)
        await self._stub.DeleteObject(key, metadata=self._metadata("DELETE", bucket, object_name))

    async def list_objects(
        self, bucket: str, prefix: str = "", delimiter: str = "", marker: str = "", limit: int = 1000
    ) -> ObjectsPage:
        request = pb.ListObjectsRequest(bucket=bucket, prefix=prefix, delimiter=delimiter, marker=marker, limit=limit)
        reply = await self._stub.ListObjects(request, metadata=self._metadata("GET", bucket))
        objects = tuple((listed.object_name, _facts(listed.head)) for listed in reply.objects)
        marker_after = reply.next_marker if reply.HasField("next_marker") else None
        return ObjectsPage(objects, tuple(reply.common_prefixes), marker_after)

    async def create_bucket(self, bucket: str, visibility: Visibility = Visibility.PRIVATE) -> BucketFacts:
        request = pb.CreateBucketRequest(bucket=bucket, visibility=visibility)
        return _bucket(await self._stub.CreateBucket(request, metadata=self._metadata("PUT", bucket)))

    async def head_bucket(self, bucket: str) -> BucketFacts:
        key = pb.BucketKey(bucket=bucket)
        return _bucket(await self._stub.HeadBucket(key, metadata=self._metadata("HEAD", bucket)))

    async def delete_bucket(self, bucket: str) -> None:
        await self._stub.DeleteBucket(pb.BucketKey(bucket=bucket), metadata=self._metadata("DELETE", bucket))

    async def list_buckets(self) -> list[BucketFacts]:
        reply = await self._stub.ListBuckets(common.Empty(), metadata=self._metadata("GET", ""))
        return [_bucket(bucket) for bucket in reply.buckets]

    def _metadata(
        self,
        method: str,
        bucket: str,
        object_name: str = "",
        headers: Mapping[str, str] | None = None,
        size: int | None = None,
    ) -> tuple[tuple[str, str], ...]:
        """Host and signature. The headers that travel in the message are signed too."""
        host = ("host", self._host)
        head = equivalent_head(method, bucket, object_name, [host, *(headers or {}).items()], size)
        return (host, *((name.lower(), value) for name, value in self._sign(head)))


def _facts(message: pb.ObjectHead) -> ObjectFacts:
    if not message.etag:
        raise InvalidRequest("the gateway answered without an etag")
    return ObjectFacts(
        message.payload_size,
        message.etag,
        message.updated_at_ms,
        dict(message.headers),
        message.status,
        message.object_id,
    )


def _bucket(message: pb.BucketHead) -> BucketFacts:
    return BucketFacts(message.bucket, Address(message.owner), message.create_at_s, Visibility(message.visibility))
