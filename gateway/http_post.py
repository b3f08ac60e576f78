"""PostObject: what a browser's form uploads. The form is authorised by the policy in it, or by nobody."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from gateway.auth.post import PostSignatures
from gateway.auth.scheme import UNSIGNED
from gateway.body import BodyPlan, declared_size
from gateway.checksums import CONTENT_MD5, declared_digests
from gateway.errors import InvalidArgument, NotSupported
from gateway.form_errors import FileTooSmall
from gateway.http_call import BYTES_IN, Call, Serve
from gateway.post_form import Form, FormReader, boundary_of
from gateway.post_policy import Policy, policy_of
from gateway.puts import COPY_SOURCE, KEPT_HEADERS, Put, put_without_body
from gateway.request import RequestHead, object_name_of, percent_encoded
from gateway.routes import Operation
from gateway.s3_xml import CONTENT_TYPE, DECLARATION, element, quoted
from gateway.service import Gateway, PutResult
from gateway.tags import tags_of_xml
from sp.domain.errors import ObjectTooLarge
from sp.runtime.clock import Clock

_FILENAME: Final = "${filename}"
_HEADERS: Final = {"acl": "x-amz-acl", CONTENT_MD5: CONTENT_MD5, **{name: name for name in KEPT_HEADERS}}
"""Fields that say what a header of a put says, beside those that begin with x-amz-."""

_OF_THE_SIGNATURE: Final = frozenset({"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"})
_STATUSES: Final = {"200": 200, "201": 201, "204": 204}


@dataclass(frozen=True, slots=True)
class PostUploads:
    gateway: Gateway
    signatures: PostSignatures
    clock: Clock

    def table(self) -> Mapping[Operation, Serve]:
        return {Operation.POST_OBJECT: self.post}

    async def post(self, call: Call) -> web.StreamResponse:
        head, sender, bucket = call.bucket_parts()
        if sender.account is not None:
            raise InvalidArgument("Authorization", "a form is signed by its fields, not by its request")
        boundary, length = boundary_of(head.header("content-type")), declared_size(head)
        async with aclosing(call.body.chunks()) as chunks:
            reader = FormReader(chunks, boundary)
            form = await reader.form()
            call.identity = identity = await self.signatures.identity(form.fields)
            key = _key(form)
            policy = policy_of(form.fields["policy"]) if "policy" in form.fields else Policy(0)
            if "policy" in form.fields:
                now_s = self.clock.now_ms() / 1000
                policy.check({**form.fields, "key": key, "bucket": bucket}, now_s)
            put = put_of_form(form, bucket, key, call.request_id)
            if length is not None and length <= self.gateway.etag_md5_max_bytes:
                put = replace(put, computed=(CONTENT_MD5,))
            async with aclosing(reader.file()) as file, aclosing(_measured(file, policy)) as payload:
                result = await self.gateway.put_object(identity, put, payload)
        BYTES_IN.inc(result.payload_size)
        return _answer(call, form.fields, bucket, key, result)


def put_of_form(form: Form, bucket: str, key: str, request_id: str) -> Put:
    """What the fields ask for; whatever cannot be honoured is refused, as in a put. InvalidArgument, NotSupported."""
    if COPY_SOURCE in form.fields:
        raise NotSupported(f"the field {COPY_SOURCE} in a form")
    headers = []
    for name, value in form.fields.items():
        header = _HEADERS.get(name) or (name if name.startswith("x-amz-") and name not in _OF_THE_SIGNATURE else "")
        if any(character < " " or character == "\x7f" for character in value) and header:
            raise InvalidArgument(name[:64], "it holds control characters")
        if header:
            headers.append((header, value))
    head = RequestHead("POST", "/", "", tuple(headers))
    put = put_without_body(head, bucket, key, request_id)
    if "tagging" in form.fields:
        put = replace(put, tags=tags_of_xml(form.fields["tagging"].encode()))
    return replace(put, body=BodyPlan(None, declared_digests(head, UNSIGNED)))


def _key(form: Form) -> str:
    """InvalidArgument, NameTooLong, InvalidObjectName."""
    if not form.fields.get("key"):
        raise InvalidArgument("key", "Bucket POST must contain a field named 'key'.")
    return object_name_of(form.fields["key"].replace(_FILENAME, form.filename).encode())


async def _measured(file: AsyncIterator[bytes], policy: Policy) -> AsyncGenerator[bytes, None]:
    """The same bytes. ObjectTooLarge, FileTooSmall when the policy says so."""
    received = 0
    async for chunk in file:
        received += len(chunk)
        if received > policy.max_bytes:
            raise ObjectTooLarge(received, policy.max_bytes)
        yield chunk
    if received < policy.min_bytes:
        raise FileTooSmall(received, policy.min_bytes)


def _answer(call: Call, fields: Mapping[str, str], bucket: str, key: str, stored: PutResult) -> web.Response:
    assert call.head is not None
    etag = quoted(stored.etag)
    redirect = fields.get("success_action_redirect") or fields.get("redirect", "")
    if redirect.startswith(("http://", "https://")) and redirect.isascii() and redirect.isprintable():
        asked = urlencode({"bucket": bucket, "key": key, "etag": etag}, safe="/")
        location = f"{redirect}{'&' if '?' in redirect else '?'}{asked}"
        return call.respond(303, {"Location": location, "ETag": etag})
    path = call.head.raw_path.rstrip("/") or ""
    location = f"{call.request.scheme}://{call.head.host}{path}/{percent_encoded(key.encode(), keep='/')}"
    headers = {"Location": location, "ETag": etag}
    status = _STATUSES.get(fields.get("success_action_status", ""), 204)
    if status != 201:
        return call.respond(status, headers)
    facts = element("Location", location) + element("Bucket", bucket) + element("Key", key) + element("ETag", etag)
    document = f"{DECLARATION}<PostResponse>{facts}</PostResponse>".encode()
    return call.respond(201, {**headers, "Content-Type": CONTENT_TYPE}, document)
