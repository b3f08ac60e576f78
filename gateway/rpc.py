"""The Gateway service on the wire. Every call is authenticated like the HTTP request that it is equivalent to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from gateway.auth.scheme import Authenticator, Identity
from gateway.buckets import Buckets
from gateway.errors import InvalidArgument
from gateway.puts import put_of
from gateway.request import RequestHead, object_name_of
from gateway.rpc_head import equivalent_head
from gateway.service import Gateway, status_of
from gateway.streams import closed_after
from proto import common_pb2 as common
from proto import gateway_pb2 as pb
from proto.gateway_pb2_grpc import GatewayServicer, add_GatewayServicer_to_server
from sp.domain.errors import InvalidRequest
from sp.domain.jobs import ObjectEntry
from sp.domain.ledger import Bucket, Visibility
from sp.domain.segments import resolve_range
from sp.runtime import log
from sp.runtime.chunks import chunks_of
from sp.runtime.clock import Clock
from sp.runtime.rpc import Serving

SERVICE: Final = "greenfield_sp.gateway.v1.Gateway"
MAX_LISTED: Final = 1000


@dataclass(frozen=True, slots=True)
class Asker:
    """Authenticates calls by their metadata."""

    authenticator: Authenticator
    clock: Clock

    async def identify(
        self,
        context: Any,
        method: str,
        bucket: str = "",
        object_name: str = "",
        more: Mapping[str, str] | None = None,
        size: int | None = None,
    ) -> tuple[RequestHead, Identity]:
        """more: headers that travel in the message, not in the metadata; one name is in one place only."""
        sent = [(name, value) for name, value in context.invocation_metadata() or () if isinstance(value, str)]
        extra = [(name.lower(), value) for name, value in (more or {}).items()]
        twice = {name for name, _ in sent} & {name for name, _ in extra}
        if twice:
            raise InvalidArgument(min(twice), "it is in the metadata and in the message")
        head = equivalent_head(method, bucket, object_name, [*sent, *extra], size)
        return head, await self.authenticator.authenticate(head, self.clock.now_ms() // 1000)


def served(rpc: GatewayRpc) -> Serving:
    return Serving(add_GatewayServicer_to_server, rpc, SERVICE)


class GatewayRpc(GatewayServicer):
    def __init__(self, gateway: Gateway, buckets: Buckets, asker: Asker) -> None:
        self._gateway = gateway
        self._buckets = buckets
        self._asker = asker

    async def PutObject(self, request_iterator: AsyncIterator[pb.PutObjectFrame], context: Any) -> pb.PutObjectReply:
        frames = aiter(request_iterator)
        first = await anext(frames, pb.PutObjectFrame())
        if first.WhichOneof("frame") != "open":
            raise InvalidRequest("a put begins with its opening frame")
        opened = first.open
        name = object_name_of(opened.object_name.encode())
        size = opened.payload_size if opened.HasField("payload_size") else None
        head, identity = await self._asker.identify(context, "PUT", opened.bucket, name, opened.headers, size)
        put = put_of(head, opened.bucket, name, identity, log.current("request_id") or "")
        async with aclosing(_payload(frames)) as body:
            result = await self._gateway.put_object(identity, put, body)
        return pb.PutObjectReply(etag=result.etag, job_id=result.job_id, payload_size=result.payload_size)

    async def GetObject(self, request: pb.GetObjectRequest, context: Any) -> AsyncIterator[pb.GetObjectFrame]:
        _, identity = await self._asker.identify(context, "GET", request.bucket, request.object_name)
        entry = await self._gateway.head_object(identity, request.bucket, request.object_name)
        start, stop = _range_of(request, entry.job.payload_size or 0)
        yield pb.GetObjectFrame(head=_head_pb(entry))
        if start < stop:
            chunks = self._gateway.read(entry, start, stop)
            async with closed_after(chunks):
                async for chunk in chunks:
                    for part in chunks_of(chunk):
                        yield pb.GetObjectFrame(chunk=part)

    async def HeadObject(self, request: pb.ObjectKey, context: Any) -> pb.ObjectHead:
        _, identity = await self._asker.identify(context, "HEAD", request.bucket, request.object_name)
        return _head_pb(await self._gateway.head_object(identity, request.bucket, request.object_name))

    async def DeleteObject(self, request: pb.ObjectKey, context: Any) -> common.Empty:
        _, identity = await self._asker.identify(context, "DELETE", request.bucket, request.object_name)
        request_id = log.current("request_id") or ""
        await self._gateway.delete_object(identity, request.bucket, request.object_name, request_id)
        return common.Empty()

    async def ListObjects(self, request: pb.ListObjectsRequest, context: Any) -> pb.ListObjectsReply:
        _, identity = await self._asker.identify(context, "GET", request.bucket)
        limit = min(request.limit or MAX_LISTED, MAX_LISTED)
        _, page = await self._gateway.list_objects(
            identity, request.bucket, request.prefix, request.delimiter, request.marker, limit
        )
        return pb.ListObjectsReply(
            objects=[pb.ListedObject(object_name=e.job.object_name, head=_head_pb(e)) for e in page.entries],
            common_prefixes=page.common_prefixes,
            next_marker=page.next_marker,
        )

    async def CreateBucket(self, request: pb.CreateBucketRequest, context: Any) -> pb.BucketHead:
        _, identity = await self._asker.identify(context, "PUT", request.bucket)
        return _bucket_pb(await self._buckets.create(identity, request.bucket, _visibility(request.visibility)))

    async def HeadBucket(self, request: pb.BucketKey, context: Any) -> pb.BucketHead:
        _, identity = await self._asker.identify(context, "HEAD", request.bucket)
        return _bucket_pb(await self._buckets.head(identity, request.bucket))

    async def DeleteBucket(self, request: pb.BucketKey, context: Any) -> common.Empty:
        _, identity = await self._asker.identify(context, "DELETE", request.bucket)
        await self._buckets.delete(identity, request.bucket)
        return common.Empty()

    async def ListBuckets(self, request: common.Empty, context: Any) -> pb.ListBucketsReply:
        _, identity = await self._asker.identify(context, "GET")
        return pb.ListBucketsReply(buckets=[_bucket_pb(bucket) for bucket in await self._buckets.list(identity)])


async def _payload(frames: AsyncIterator[pb.PutObjectFrame]) -> AsyncGenerator[bytes, None]:
    """The chunks up to the end frame. A stream that stops before it is an upload that its sender aborted."""
    async for frame in frames:
        match frame.WhichOneof("frame"):
            case "chunk":
                yield frame.chunk
            case "end":
                return
            case other:
                raise InvalidRequest(f"unexpected frame in a put: {other}")
    raise InvalidRequest("the stream stopped without its end frame")


def _range_of(request: pb.GetObjectRequest, payload_size: int) -> tuple[int, int]:
    first = request.first if request.HasField("first") else None
    last = request.last if request.HasField("last") else None
    if first is None and last is None:
        return 0, payload_size
    return resolve_range(first, last, payload_size)


def _visibility(number: int) -> Visibility:
    """0 is private, as over HTTP."""
    if number not in (Visibility.UNSPECIFIED, Visibility.PUBLIC_READ, Visibility.PRIVATE):
        raise InvalidArgument("visibility", "a bucket is private (2) or public-read (1)")
    return Visibility(number) or Visibility.PRIVATE


def _head_pb(entry: ObjectEntry) -> pb.ObjectHead:
    return pb.ObjectHead(
        payload_size=entry.job.payload_size or 0,
        etag=entry.etag,
        updated_at_ms=entry.updated_at_ms,
        headers=entry.job.shown_headers,
        status=status_of(entry),
        object_id=entry.job.object_id or 0,
    )


def _bucket_pb(bucket: Bucket) -> pb.BucketHead:
    return pb.BucketHead(
        bucket=bucket.name, owner=bucket.owner, create_at_s=bucket.create_at, visibility=bucket.visibility
    )
