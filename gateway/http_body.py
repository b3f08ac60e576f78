"""The body of an HTTP request, read only when someone wants it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from aiohttp import hdrs, web
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.web_request import BaseRequest

from gateway.auth.scheme import BodyCheck
from gateway.aws_chunked import DECODED_LENGTH
from gateway.body import CheckedBody, body_plan
from gateway.errors import BodyTooLarge, BodyTooSlow, ClientGone, MalformedFraming
from gateway.http_protocol import BrokenFraming
from gateway.request import RequestHead
from sp.runtime.chunks import CHUNK_BYTES
from sp.runtime.pool import CpuPool

DROPPED_BYTES = 1 << 20
"""An unread body that is no longer than this is read and dropped after an error, and the connection kept."""


@dataclass(slots=True)
class RequestBody:
    """progress_s, progress_bytes: so many bytes must come in so much time spent waiting for the client
    total_s: all waiting for the client together
    buffer_bytes: what may lie in the connection's buffer once the body is wanted; before that it is kept small
    """

    request: BaseRequest
    progress_s: float
    progress_bytes: int
    total_s: float
    buffer_bytes: int
    received: int = 0
    continued: bool = False

    @property
    def awaits_continue(self) -> bool:
        """The client holds its body back until it is told to go on, and has not been told."""
        return not self.continued and self.request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"

    @property
    def unread(self) -> bool:
        return not self.request.content.at_eof()

    @property
    def is_long(self) -> bool:
        """More of it than we would read only to drop it."""
        length = self.request.headers.get(hdrs.CONTENT_LENGTH, "")
        return not length.isdigit() or int(length) - self.received > DROPPED_BYTES

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """At most CHUNK_BYTES each. Tells a waiting client to go on. BodyTooSlow, MalformedFraming, ClientGone."""
        await self._continue()
        content = self.request.content
        content.set_read_chunk_size(self.buffer_bytes)
        waited_s, waited_in_all_s, got = 0.0, 0.0, 0
        clock = asyncio.get_running_loop().time
        while True:
            began_s = clock()
            try:
                if content.total_bytes > self.received or content.is_eof():  # something is here: nothing to wait for
                    chunk = await self._next()
                else:
                    async with asyncio.timeout(min(self.progress_s - waited_s, self.total_s - waited_in_all_s)):
                        chunk = await self._next()
            except TimeoutError as error:
                waited_in_all_s += clock() - began_s
                raise BodyTooSlow(self.received, int(min(self.progress_s, waited_in_all_s))) from error
            except BrokenFraming as error:
                raise MalformedFraming(str(error)) from error
            except (ConnectionError, web.RequestPayloadError, BadHttpMessage) as error:
                raise ClientGone(type(error).__name__) from error
            if not chunk:
                return
            self.received += len(chunk)
            took_s = clock() - began_s
            waited_s, waited_in_all_s, got = waited_s + took_s, waited_in_all_s + took_s, got + len(chunk)
            if got >= self.progress_bytes:
                waited_s, got = 0.0, 0
            yield chunk

    async def _next(self) -> bytes:
        """What the socket gave at a time, uncopied; what lies there already as one where the body is framed, since its
        chunks may be of a byte each, and are taken apart in the pool."""
        headers, content = self.request.headers, self.request.content
        if hdrs.TRANSFER_ENCODING in headers or DECODED_LENGTH in headers:
            return await content.read(CHUNK_BYTES)
        chunk, _ = await content.readchunk()
        return chunk

    async def small(self, head: RequestHead, check: BodyCheck, max_bytes: int, pool: CpuPool) -> bytes:
        """The whole body of a request that is XML, checked against its digests. BodyTooLarge."""
        plan = body_plan(head, check, unsaid=0)
        if plan.size is not None and plan.size > max_bytes:
            raise BodyTooLarge(max_bytes)
        async with aclosing(self.chunks()) as body, aclosing(CheckedBody(body, plan, max_bytes, pool).chunks()) as read:
            return b"".join([chunk async for chunk in read])

    async def _continue(self) -> None:
        if self.awaits_continue:
            self.continued = True
            try:
                await self.request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            except ConnectionError as error:
                raise ClientGone(type(error).__name__) from error
            self.request.writer.output_size = 0  # the response itself has not begun (as aiohttp's own handler does)
