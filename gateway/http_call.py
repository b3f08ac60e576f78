"""One HTTP request on its way through the gateway, and how its response is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.web_request import BaseRequest

from gateway.auth.scheme import Identity
from gateway.errors_http import Answer, greenfield_answer, s3_answer
from gateway.greenfield.style import speaks_greenfield
from gateway.http_body import RequestBody
from gateway.request import RequestHead, Target
from gateway.s3_xml import CONTENT_TYPE, greenfield_error, s3_error
from gateway.streams import closed_after
from sp.domain.errors import NotForThisSp, SpError
from sp.runtime.log import get_logger
from sp.runtime.metrics import counter

log = get_logger(__name__)

WRITE_BUFFER_BYTES = 1 << 20
"""Of a response, waiting in the connection while the next chunk is fetched."""

BYTES = counter("sp_gateway_body_bytes_total", "Body bytes of S3 and Greenfield requests", ("direction",))
BYTES_IN, BYTES_OUT = BYTES.labels("in"), BYTES.labels("out")

UNPAUSED_BYTES = 1 << 15
"""A body up to this size, with its head, never makes a connection wait whose buffer was empty before: asyncio pauses
writers at 64 KiB, and a head is far shorter than the rest."""


@dataclass(slots=True)
class Call:
    """What is known of the request so far.

    identity: once it is authenticated; cut: the connection was broken off in the middle of our answer
    """

    request: BaseRequest
    request_id: str
    body: RequestBody
    region: str
    write_timeout_s: float
    operation: str = "Unknown"
    head: RequestHead | None = None
    target: Target = field(default_factory=lambda: Target(None, None))
    identity: Identity | None = None
    cut: bool = False

    def bucket_parts(self) -> tuple[RequestHead, Identity, str]:
        """Head, sender and bucket of an operation on a bucket."""
        assert self.head is not None
        assert self.identity is not None
        assert self.target.bucket is not None
        return self.head, self.identity, self.target.bucket

    def object_parts(self) -> tuple[RequestHead, Identity, str, str]:
        """Head, sender, bucket and object of an operation on an object."""
        assert self.target.object_name is not None
        return *self.bucket_parts(), self.target.object_name

    def headers(self, more: Mapping[str, str]) -> dict[str, str]:
        """Of every response."""
        return {"x-amz-request-id": self.request_id, "Server": "greenfield-sp", **more}

    def respond(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> web.Response:
        return web.Response(status=status, headers=self.headers(headers or {}), body=body)

    def xml(self, document: bytes, headers: Mapping[str, str] | None = None) -> web.Response:
        return self.respond(200, {"Content-Type": CONTENT_TYPE, **(headers or {})}, document)

    def refusal(self, error: SpError) -> web.Response:
        """The error in the form that this kind of client reads."""
        greenfield = self.head is not None and speaks_greenfield(self.head)
        answer = greenfield_answer(error) if greenfield else s3_answer(error)
        headers = {"Content-Type": CONTENT_TYPE, **answer.headers}
        if greenfield:
            headers["X-Gnfd-Request-ID"] = self.request_id
        if isinstance(error, NotForThisSp):
            headers["x-amz-bucket-region"] = self.region  # without it botocore asks for it again and again
        if isinstance(error, NotForThisSp) and error.primary_endpoint:
            headers["Location"] = error.primary_endpoint.rstrip("/") + self._path_style_target(error.bucket)
        if self.request.method == "HEAD" or answer.status == 304:
            return self.respond(answer.status, headers)
        return self.respond(answer.status, headers, self._error_body(answer, greenfield))

    def error_document(self, error: SpError) -> bytes:
        """S3's, for an answer whose head is out already."""
        return self._error_body(s3_answer(error), greenfield=False)

    def _error_body(self, answer: Answer, greenfield: bool) -> bytes:
        if greenfield:
            return greenfield_error(int(answer.code), answer.message)
        resource = self.head.raw_path if self.head is not None else ""
        shown = resource.encode("utf-8", "replace").decode()
        return s3_error(answer.code, answer.message, shown, self.request_id, answer.extra)

    def _path_style_target(self, bucket: str) -> str:
        assert self.head is not None
        path = self.head.raw_path
        if path != f"/{bucket}" and not path.startswith(f"/{bucket}/"):
            path = f"/{bucket}{path}"
        return f"{path}?{self.head.raw_query}" if self.head.raw_query else path

    async def send(
        self, status: int, headers: Mapping[str, str], size: int, chunks: AsyncIterator[bytes | memoryview]
    ) -> web.StreamResponse:
        """Answer with `size` bytes that come in chunks.

        An error before the first chunk comes out as it is: nothing was sent. After that the connection is cut (`cut` is
        set), so that the client sees a short body, never a wrong one.
        """
        async with closed_after(chunks):
            chunk = await anext(chunks, b"")
            if len(chunk) == size <= UNPAUSED_BYTES and not self._is_behind():
                more = await anext(chunks, b"")
                assert not more, "more bytes than asked for"
                BYTES_OUT.inc(size)
                return web.Response(status=status, headers=self.headers(headers), body=bytes(chunk))
            response = web.StreamResponse(status=status, headers=self.headers(headers))
            response.content_length = size
            await response.prepare(self.request)
            try:
                if self.request.transport is not None:
                    self.request.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
                async with asyncio.timeout(self.write_timeout_s):
                    await self.request.writer.drain()  # of the answers before: each may have been too short to wait
                left = size
                while chunk:
                    left -= len(chunk)
                    assert left >= 0, "more bytes than asked for"
                    async with asyncio.timeout(self.write_timeout_s):
                        await response.write(chunk)
                    BYTES_OUT.inc(len(chunk))
                    chunk = await anext(chunks, b"")
                assert left == 0, "fewer bytes than asked for"
                async with asyncio.timeout(self.write_timeout_s):
                    await response.write_eof()
            except Exception as error:  # noqa: BLE001 - whatever it is, it can only be logged: the answer has begun
                log.warning("response cut off", operation=self.operation, error=repr(error))
                self.cut_off(response)
        return response

    def _is_behind(self) -> bool:
        """Whether the client has yet to take answers of before, or is gone."""
        transport = self.request.transport
        return transport is None or transport.is_closing() or transport.get_write_buffer_size() > 0

    def cut_off(self, response: web.StreamResponse) -> None:
        self.cut = True
        response.force_close()
        if self.request.transport is not None:
            self.request.transport.abort()


Serve = Callable[[Call], Awaitable[web.StreamResponse]]
"""One operation over HTTP."""
