"""What S3 does with objects beyond putting and getting them, over HTTP: copies, tags, ACLs, attributes."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from gateway.acls import MAX_XML_BYTES, OBJECT_ACLS, Acls, acl_document, requested
from gateway.attributes import attributes, attributes_of
from gateway.conditions import http_date
from gateway.copying import Copies, Copy, copy_of, copy_result
from gateway.http_call import Call, Serve
from gateway.http_slow import answered
from gateway.puts import put_without_body
from gateway.routes import Operation
from gateway.tagging import Tagging
from gateway.tags import MAX_XML_BYTES as MAX_TAGGING_BYTES
from gateway.tags import tagging, tags_of_xml
from sp.domain.errors import InvalidRequest
from sp.domain.jobs import ObjectEntry
from sp.runtime.pool import CpuPool

_NO_OBJECT_LOCK: Final = "Bucket is missing Object Lock Configuration"


class ObjectDetails:
    """blank_interval_s: a copy that takes longer sends a blank so often"""

    def __init__(self, copies: Copies, tags: Tagging, acls: Acls, pool: CpuPool, blank_interval_s: float) -> None:
        self._copies = copies
        self._tags = tags
        self._acls = acls
        self._pool = pool
        self._blank_interval_s = blank_interval_s

    def table(self) -> dict[Operation, Serve]:
        return {
            Operation.COPY_OBJECT: self.copy,
            Operation.TAGGING: self.tagging,
            Operation.PUT_TAGGING: self.put_tagging,
            Operation.DELETE_TAGGING: self.delete_tagging,
            Operation.OBJECT_ACL: self.acl,
            Operation.PUT_OBJECT_ACL: self.put_acl,
            Operation.ATTRIBUTES: self.attributes,
            Operation.OBJECT_LOCK: self.object_lock,
        }

    async def copy(self, call: Call) -> web.StreamResponse:
        head, identity, bucket, name = call.object_parts()
        await call.body.small(head, identity.body_check, 0, self._pool)  # there is none
        copy = copy_of(head, put_without_body(head, bucket, name, call.request_id))
        entry = await self._copies.source(identity, copy.source, head)
        return await answered(call, self._copied(call, copy, entry), self._blank_interval_s)

    async def _copied(self, call: Call, copy: Copy, entry: ObjectEntry) -> bytes:
        _, identity, _, _ = call.object_parts()
        return copy_result(await self._copies.copy(identity, copy, entry))

    async def tagging(self, call: Call) -> web.StreamResponse:
        _, identity, bucket, name = call.object_parts()
        return call.xml(tagging(await self._tags.of(identity, bucket, name)))

    async def put_tagging(self, call: Call) -> web.StreamResponse:
        head, identity, bucket, name = call.object_parts()
        await self._tags.check_may_change(identity, bucket, name)
        body = await call.body.small(head, identity.body_check, MAX_TAGGING_BYTES, self._pool)
        await self._tags.replace(identity, bucket, name, tags_of_xml(body))
        return call.respond(200)

    async def delete_tagging(self, call: Call) -> web.StreamResponse:
        _, identity, bucket, name = call.object_parts()
        await self._tags.replace(identity, bucket, name, {})
        return call.respond(204)

    async def acl(self, call: Call) -> web.StreamResponse:
        _, identity, bucket, name = call.object_parts()
        owner, public = await self._acls.of_object(identity, bucket, name)
        return call.xml(acl_document(owner, public=public))

    async def put_acl(self, call: Call) -> web.StreamResponse:
        head, identity, bucket, name = call.object_parts()
        owner, _ = await self._acls.of_object(identity, bucket, name)
        body = await call.body.small(head, identity.body_check, MAX_XML_BYTES, self._pool)
        await self._acls.set_object(identity, bucket, name, requested(head, body, OBJECT_ACLS, owner))
        return call.respond(200)

    async def attributes(self, call: Call) -> web.StreamResponse:
        head, identity, bucket, name = call.object_parts()
        asked = attributes_of(head)
        entry = await self._copies.gateway.head_object(identity, bucket, name)
        return call.xml(attributes(head, entry, asked), {"Last-Modified": http_date(entry.updated_at_ms)})

    async def object_lock(self, call: Call) -> web.StreamResponse:
        _, identity, bucket, name = call.object_parts()
        await self._copies.gateway.head_object(identity, bucket, name)
        raise InvalidRequest(_NO_OBJECT_LOCK)
