"""The operations on buckets, and on the provider, over HTTP."""

from __future__ import annotations

import json
from typing import Final

from aiohttp import web

from gateway.acls import BUCKET_ACLS
from gateway.auth.scheme import Identity
from gateway.buckets import Buckets
from gateway.canned import of_canned
from gateway.errors import BucketIsYours, InvalidArgument, InvalidLocationConstraint, NotSupported
from gateway.http_call import Call
from gateway.request import RequestHead
from gateway.routes import configuration_missing
from gateway.s3_xml import buckets, buckets_query, location, location_constraint
from sp.domain.ledger import Visibility
from sp.runtime.pool import CpuPool

MAX_XML_BYTES: Final = 65_536

_OWNERSHIP: Final = "BucketOwnerEnforced"
"""On Greenfield the bucket's owner owns every object in it."""

_OTHER_OWNERSHIPS: Final = frozenset({"BucketOwnerPreferred", "ObjectWriter"})


class BucketOperations:
    def __init__(self, buckets: Buckets, pool: CpuPool, region: str) -> None:
        self._buckets = buckets
        self._pool = pool
        self._region = region

    async def create(self, call: Call) -> web.StreamResponse:
        head, identity, bucket = _parts(call)
        visibility = _visibility_of(head)
        body = await call.body.small(head, identity.body_check, MAX_XML_BYTES, self._pool)
        region = location_constraint(body)
        if region not in ("", self._region):
            raise InvalidLocationConstraint(region[:64], self._region)
        made = await self._buckets.create(identity, bucket, visibility)
        differs = (made.visibility is Visibility.PUBLIC_READ) is not (visibility is Visibility.PUBLIC_READ)
        if differs and head.values("x-amz-acl"):
            raise BucketIsYours(bucket)
        return call.respond(200, {"Location": f"/{bucket}"})

    async def check_owner(self, bucket: str, expected: str) -> None:
        """AccessDenied when the bucket is another account's."""
        await self._buckets.access.check_owner(bucket, expected)

    async def head(self, call: Call) -> web.StreamResponse:
        _, identity, bucket = _parts(call)
        await self._buckets.head(identity, bucket)
        return call.respond(200, {"x-amz-bucket-region": self._region})

    async def delete(self, call: Call) -> web.StreamResponse:
        _, identity, bucket = _parts(call)
        await self._buckets.delete(identity, bucket)
        return call.respond(204)

    async def location(self, call: Call) -> web.StreamResponse:
        _, identity, bucket = _parts(call)
        await self._buckets.head(identity, bucket)
        return call.xml(location(self._region))

    async def configuration(self, call: Call) -> web.StreamResponse:
        """Policies, CORS and the like: a bucket that exists has none of them."""
        head, identity, bucket = _parts(call)
        await self._buckets.head(identity, bucket)
        raise configuration_missing(head, bucket)

    async def list(self, call: Call) -> web.StreamResponse:
        assert call.head is not None
        assert call.identity is not None
        query = buckets_query(call.head, self._region)
        owned = await self._buckets.list(call.identity)
        return call.xml(buckets(call.identity.account or "", owned, query, self._region))

    async def status(self, call: Call) -> web.StreamResponse:
        """Who this provider is and what it knows of the chain; public."""
        shown = json.dumps(await self._buckets.status()).encode()
        return call.respond(200, {"Content-Type": "application/json"}, shown)


def _visibility_of(head: RequestHead) -> Visibility:
    """Of a new bucket. NotSupported for anything else that its head asks for, InvalidArgument for what nobody could."""
    for name in head.header_names():
        if name.startswith("x-amz-grant-"):
            raise NotSupported(f"the header {name}; a bucket is private or public-read")
    acl = head.header("x-amz-acl") or "private"
    visibility = of_canned(acl, BUCKET_ACLS)
    if head.header("x-amz-bucket-object-lock-enabled", "false").lower() == "true":
        raise NotSupported("object lock")
    ownership = head.header("x-amz-object-ownership", _OWNERSHIP)
    if ownership in _OTHER_OWNERSHIPS:
        raise NotSupported(f"object ownership other than {_OWNERSHIP}")
    if ownership != _OWNERSHIP:
        raise InvalidArgument("x-amz-object-ownership", "there is no such object ownership")
    return visibility


def _parts(call: Call) -> tuple[RequestHead, Identity, str]:
    assert call.head is not None
    assert call.identity is not None
    assert call.target.bucket is not None
    return call.head, call.identity, call.target.bucket
