"""The operations on objects over HTTP: parse, ask the gateway, answer."""

from __future__ import annotations

from contextlib import aclosing
from typing import Final

from aiohttp import web

from gateway.auth.scheme import Identity
from gateway.checksums import CHECKSUM_PREFIX, checksum_headers
from gateway.conditions import check_conditions, http_date, requested_range
from gateway.errors import InvalidArgument
from gateway.http_call import BYTES_IN, Call
from gateway.object_parts import part_headers, requested_part
from gateway.preconditions import precondition_of
from gateway.puts import put_of
from gateway.request import RequestHead
from gateway.routes import RESPONSE_HEADERS
from gateway.s3_xml import list_query, listing, upload_progress
from gateway.service import Gateway, status_of
from sp.domain.errors import InvalidRequest
from sp.domain.jobs import Listing, ObjectEntry
from sp.domain.lifecycle import DESCRIPTIONS

_DEFAULT_TYPE: Final = "binary/octet-stream"


class ObjectOperations:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def put(self, call: Call) -> web.StreamResponse:
        head, identity, bucket, name = _parts(call)
        put = put_of(head, bucket, name, identity, call.request_id)
        async with aclosing(call.body.chunks()) as body:
            result = await self._gateway.put_object(identity, put, body)
        BYTES_IN.inc(result.payload_size)
        return call.respond(200, {"ETag": f'"{result.etag}"', **checksum_headers(result.headers)})

    async def get(self, call: Call) -> web.StreamResponse:
        """GET and HEAD, whole or a range."""
        head, identity, bucket, name = _parts(call)
        entry = await self._gateway.head_object(identity, bucket, name)
        return await self.serve(call, entry, _replaced_headers(head, identity))

    async def serve(self, call: Call, entry: ObjectEntry, replaced: dict[str, str]) -> web.StreamResponse:
        """Of an object that its reader may have: whole, or a range. replaced: headers instead of its own, lower case"""
        assert call.head is not None
        head = call.head
        check_conditions(head, entry.etag, entry.updated_at_ms)
        size = entry.job.payload_size or 0
        refuse_keys(head)
        part = requested_part(head, entry)
        if part is not None:
            wanted: tuple[int, int] | None = (part.start, part.stop)
        else:
            wanted = requested_range(head, size, entry.etag, entry.updated_at_ms)
        start, stop = wanted or (0, size)
        headers = {**object_headers(entry, head, whole=wanted is None), **replaced}
        if part is not None:
            headers |= part_headers(entry, part, checksum=_asks_for_checksum(head))
        partial = wanted is not None and start < stop
        if partial:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        status = 206 if partial else 200
        if head.method == "HEAD" or start == stop:
            response = web.StreamResponse(status=status, headers=call.headers(headers))
            response.content_length = stop - start
            return response
        return await call.send(status, headers, stop - start, self._gateway.read(entry, start, stop))

    async def delete(self, call: Call) -> web.StreamResponse:
        head, identity, bucket, name = _parts(call)
        await self._gateway.delete_object(identity, bucket, name, call.request_id, precondition_of(head))
        return call.respond(204)

    async def list(self, call: Call) -> web.StreamResponse:
        return await self._list(call, 1)

    async def list_v2(self, call: Call) -> web.StreamResponse:
        return await self._list(call, 2)

    async def progress(self, call: Call) -> web.StreamResponse:
        _, identity, bucket, name = _parts(call)
        progress = await self._gateway.upload_progress(identity, bucket, name)
        return call.xml(upload_progress(DESCRIPTIONS[progress.state], progress.error))

    async def _list(self, call: Call, version: int) -> web.StreamResponse:
        assert call.head is not None
        assert call.identity is not None
        assert call.target.bucket is not None
        query = list_query(call.head, version)
        bucket, page = await self._gateway.list_objects(
            call.identity, call.target.bucket, query.prefix, query.delimiter, query.after, max(1, query.max_keys)
        )
        return call.xml(listing(bucket, query, page if query.max_keys else Listing((), (), None)))


def object_headers(entry: ObjectEntry, head: RequestHead, whole: bool) -> dict[str, str]:
    """Of a GET or HEAD: what was kept with the object, and what we know of it.

    Checksums come with a whole object only, and only where the client asks for them (x-amz-checksum-mode).
    """
    kept = {name: value for name, value in entry.job.shown_headers.items() if not name.startswith(CHECKSUM_PREFIX)}
    if whole and _asks_for_checksum(head):
        kept |= checksum_headers(entry.job.headers)
    return {
        "content-type": _DEFAULT_TYPE,
        **kept,
        **({"x-amz-tagging-count": str(len(entry.tags))} if entry.tags else {}),
        "ETag": f'"{entry.etag}"',
        "Last-Modified": http_date(entry.updated_at_ms),
        "Accept-Ranges": "bytes",
        "x-sp-object-status": status_of(entry),
    }


def refuse_keys(head: RequestHead) -> None:
    """InvalidRequest for who would have an object decrypted that is not encrypted."""
    if any(name.startswith("x-amz-server-side-encryption-customer-") for name in head.header_names()):
        raise InvalidRequest("The encryption parameters are not applicable to this object.")


def _asks_for_checksum(head: RequestHead) -> bool:
    return head.header("x-amz-checksum-mode").upper() == "ENABLED"


def _replaced_headers(head: RequestHead, identity: Identity) -> dict[str, str]:
    """The response-* parameters. As in S3, not for anonymous readers: a link must not dress up another's object."""
    given = {name: value for name, value in head.parameters().items() if name in RESPONSE_HEADERS}
    if given and identity.account is None:
        raise InvalidRequest("response headers are replaced in signed requests only")
    for name, value in given.items():
        if not value.isprintable():
            raise InvalidArgument(name, "it holds control characters")
    return {RESPONSE_HEADERS[name].lower(): value for name, value in given.items()}


def _parts(call: Call) -> tuple[RequestHead, Identity, str, str]:
    assert call.head is not None
    assert call.identity is not None
    assert call.target.bucket is not None
    assert call.target.object_name is not None
    return call.head, call.identity, call.target.bucket, call.target.object_name
