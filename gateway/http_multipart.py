"""Multipart uploads over HTTP: parse, ask the gateway, answer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Final

from aiohttp import web

from gateway import multipart_requests as requests
from gateway import multipart_xml as xml
from gateway.body import body_plan
from gateway.checksums import CHECKSUM_HEADERS, CHECKSUM_TYPE
from gateway.copying import Copies, source_of
from gateway.http_call import BYTES_IN, Call, Serve
from gateway.http_slow import answered
from gateway.multipart import MultipartUploads, UploadKey
from gateway.preconditions import precondition_of
from gateway.puts import refuse_unsupported
from gateway.request import percent_encoded
from gateway.routes import Operation
from sp.domain.errors import AccessDenied
from sp.domain.ledger import Action
from sp.domain.multipart import UploadsPage
from sp.runtime.pool import CpuPool

MAX_EMPTY_BYTES: Final = 1024
"""Of a body that says nothing: some clients send blanks."""

MAX_XML_BYTES: Final = 4 * 1024**2
"""Ten thousand parts with ETag and SHA-256, and blanks between them, are about 2.5 MB."""


class MultipartOperations:
    """blank_interval_s: an answer that takes longer begins, and sends a blank so often"""

    def __init__(self, uploads: MultipartUploads, copies: Copies, pool: CpuPool, blank_interval_s: float) -> None:
        self._uploads = uploads
        self._copies = copies
        self._pool = pool
        self._blank_interval_s = blank_interval_s

    def table(self) -> Mapping[Operation, Serve]:
        return {
            Operation.CREATE_UPLOAD: self.create,
            Operation.UPLOAD_PART: self.put_part,
            Operation.COPY_PART: self.copy_part,
            Operation.LIST_PARTS: self.list_parts,
            Operation.LIST_UPLOADS: self.list_uploads,
            Operation.COMPLETE_UPLOAD: self.complete,
            Operation.ABORT_UPLOAD: self.abort,
        }

    async def create(self, call: Call) -> web.StreamResponse:
        head, identity, bucket, name = call.object_parts()
        if identity.account is None:
            raise AccessDenied(identity.scheme, Action.CREATE_OBJECT.name, bucket)
        order = requests.upload_order_of(head, bucket, name, identity.account)
        await call.body.small(head, identity.body_check, MAX_EMPTY_BYTES, self._pool)
        upload = await self._uploads.create(identity, order)
        headers = {}
        if order.checksum_algorithm:
            headers["x-amz-checksum-algorithm"] = order.checksum_algorithm.upper()
            headers[CHECKSUM_TYPE] = order.checksum_type
        return call.xml(xml.initiated(upload), headers)

    async def put_part(self, call: Call) -> web.StreamResponse:
        head, identity, _, _ = call.object_parts()
        refuse_unsupported(head)
        key, number = _key(call), requests.part_number_of(head.parameters()["partNumber"])
        plan = body_plan(head, identity.body_check)
        async with aclosing(call.body.chunks()) as body:
            part = await self._uploads.put_part(identity, key, number, plan, body)
        BYTES_IN.inc(part.size)
        shown = {name: value for name, value in part.checksums.items() if name in CHECKSUM_HEADERS}
        return call.respond(200, {"ETag": f'"{part.etag}"', **shown})

    async def copy_part(self, call: Call) -> web.StreamResponse:
        head, identity, _, _ = call.object_parts()
        refuse_unsupported(head)
        key, number = _key(call), requests.part_number_of(head.parameters()["partNumber"])
        await self._uploads.open_upload(identity, key)
        entry = await self._copies.source(identity, source_of(head), head)
        start, stop = requests.copied_range(head, entry.job.payload_size or 0)

        async def work() -> bytes:
            return xml.part_copied(await self._uploads.copy_part(identity, key, number, entry, start, stop))

        return await answered(call, work(), self._blank_interval_s)

    async def list_parts(self, call: Call) -> web.StreamResponse:
        head, identity, _, _ = call.object_parts()
        query = requests.parts_query(head)
        upload, parts = await self._uploads.parts(identity, _key(call), query.after, query.limit)
        more = False
        if parts and len(parts) == query.limit:
            more = bool((await self._uploads.parts(identity, _key(call), parts[-1].number, 1))[1])
        return call.xml(xml.parts_listed(upload, query, parts, more=more))

    async def list_uploads(self, call: Call) -> web.StreamResponse:
        head, identity, bucket = call.bucket_parts()
        query, url_encoding = requests.uploads_query(head, bucket), requests.url_encoding(head)
        page = await self._uploads.uploads(identity, query)
        return call.xml(
            xml.uploads_listed(query, page if query.limit else UploadsPage((), ()), url_encoding=url_encoding)
        )

    async def complete(self, call: Call) -> web.StreamResponse:
        head, identity, bucket, name = call.object_parts()
        key, precondition = _key(call), precondition_of(head)
        plain = requests.without_object_checksums(head)
        body = await call.body.small(plain, identity.body_check, MAX_XML_BYTES, self._pool)
        asked = await self._pool.run(requests.completion_of, head, body)
        checksum_type = head.header(CHECKSUM_TYPE).upper()
        path = f"/{bucket}/{percent_encoded(name.encode(), keep='/')}"

        async def work() -> bytes:
            upload = await self._uploads.complete(identity, key, asked, checksum_type, precondition, call.request_id)
            return xml.completed(upload, f"{call.request.scheme}://{head.host}{path}")

        return await answered(call, work(), self._blank_interval_s)

    async def abort(self, call: Call) -> web.StreamResponse:
        _, identity, _, _ = call.object_parts()
        await self._uploads.abort(identity, _key(call))
        return call.respond(204)


def _key(call: Call) -> UploadKey:
    head, _, bucket, name = call.object_parts()
    return UploadKey(bucket, name, requests.upload_id_of(head.parameters()["uploadId"]))
