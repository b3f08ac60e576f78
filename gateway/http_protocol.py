"""Connections, before and below requests: how many, how long a head may take, and what is no HTTP.

aiohttp's protocol class with what it leaves open; it takes for granted what its version pinned here does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, _ErrInfo
from aiohttp.web_request import BaseRequest

from gateway.s3_xml import CONTENT_TYPE, s3_error
from sp.runtime.limits import IN_USE, LIMIT, REFUSED
from sp.runtime.log import get_logger
from sp.runtime.metrics import counter

log = get_logger(__name__)

UNWANTED_BODY_BYTES: Final = 65_536
"""Of a body that nobody has asked for yet, twice as much is buffered: a request may wait for its turn to be read."""

UNCOUNTED_HEAD_BYTES: Final = 4096
"""Of a head, beside its request line and headers: what separates them."""

CONNECTIONS: Final = "connections"
SLOW_HEADS: Final = counter("sp_gateway_slow_heads_total", "Connections whose request's head did not come in time")
EVICTED: Final = counter("sp_gateway_idle_evicted_total", "Idle connections closed to make room for new ones")


class BrokenFraming(web.RequestPayloadError):
    """The chunks of a body are not framed as HTTP frames them."""


class HeadTooSlow(Exception):
    """The head of a request was not complete in time."""


class HeadTooLong(Exception):
    """The head of a request is too long already, and not complete."""


class BoundedServer(web.Server):
    """aiohttp's, with our protocol class and a bound on connections. settings: of aiohttp's RequestHandler"""

    def __init__(
        self,
        handler: Callable[[BaseRequest], Awaitable[web.StreamResponse]],
        max_connections: int,
        head_timeout_s: float,
        **settings: Any,
    ) -> None:
        super().__init__(handler)
        self.head_timeout_s = head_timeout_s
        self._max_connections = max_connections
        self._settings = settings
        self._refused = REFUSED.labels(CONNECTIONS)
        LIMIT.labels(CONNECTIONS).set(max_connections)

    def __call__(self) -> RequestHandler:
        return _Protocol(self, loop=asyncio.get_running_loop(), **self._settings)

    def room_for_one(self) -> bool:
        """Whether one more connection may stay: if there are too many, the one that has been idle longest (or has been
        longest about its head) goes. None is idle: no."""
        if len(self.connections) < self._max_connections:
            return True
        idle = [each for each in cast("list[_Protocol]", self.connections) if each.idle]
        if not idle:
            self._refused.inc()
            return False
        min(idle, key=lambda each: each.idle_since_s).force_close()
        EVICTED.inc()
        return True


class _Protocol(RequestHandler):
    __slots__ = ("_counted", "_head_bytes", "_late", "_server")

    def __init__(self, server: BoundedServer, **settings: Any) -> None:
        super().__init__(server, **settings)
        self._server = server
        self._late: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._counted = False

    @property
    def idle(self) -> bool:
        """No request is at work, or whole: it may be a head that is on its way."""
        return self._current_request is None and self._waiter is not None and not self._waiter.done()

    @property
    def idle_since_s(self) -> float:
        """But for a constant: the loop's time when it was opened, or its last request had ended."""
        return self._next_keepalive_close_time

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._server.room_for_one():
            self._force_close = True
            stream = cast("asyncio.Transport", transport)
            stream.write(_TOO_MANY)
            stream.close()
            return
        self._counted = True
        IN_USE.labels(CONNECTIONS).inc()
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._head_is_here()
        if self._counted:
            self._counted = False
            IN_USE.labels(CONNECTIONS).dec()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self._request_count
        super().data_received(data)
        self._stop_at_broken_framing()
        if self._request_count != before or not self.idle:
            self._head_is_here()
        elif data:
            self._part_of_a_head(len(data))

    def _part_of_a_head(self, size_bytes: int) -> None:
        """The parser would gather any number of headers of the largest size."""
        self._head_bytes += size_bytes
        if self._head_bytes > 2 * self.max_line_size + UNCOUNTED_HEAD_BYTES:
            self._refuse(HeadTooLong())
        elif self._late is None:
            self._late = self._loop.call_later(self._server.head_timeout_s, self._head_is_late)

    def _stop_at_broken_framing(self) -> None:
        """The parser reports it as if it were the next request, which is looked at once this one has ended; but this
        one waits for the rest of its body."""
        request = self._current_request
        if request is None or not self._messages or request.content.is_eof():
            return
        error = self._messages[-1][0]
        if isinstance(error, _ErrInfo):
            self._messages.pop()
            request.content.set_exception(BrokenFraming(str(error.message)))
            request.content.feed_eof()
            self.close()  # once the request is answered: nobody knows where the next one begins

    def _head_is_here(self) -> None:
        self._head_bytes = 0
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _head_is_late(self) -> None:
        self._late = None
        if self.idle:
            SLOW_HEADS.inc()
            self._refuse(HeadTooSlow())

    def _refuse(self, error: Exception) -> None:
        """As the parser does it; nothing more is read."""
        assert self._waiter is not None
        self._head_is_here()
        self._messages.append((_ErrInfo(400, error, ""), EMPTY_PAYLOAD))
        self._waiter.set_result(None)
        self._close = True

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What is no HTTP is the sender's mistake, not ours to log with a trace."""
        if status != 400 or request.writer.output_size:
            return super().handle_error(request, status, exc, message)
        log.info("malformed request", remote=request.remote, error=type(exc).__name__)
        code, text = "BadRequest", "An error occurred when parsing the HTTP request."
        if isinstance(exc, LineTooLong | HeadTooLong):
            code, text = "RequestHeaderSectionTooLarge", "Your request header section exceeds the maximum allowed size."
        if isinstance(exc, HeadTooSlow):
            code, text = "RequestTimeout", "The head of your request did not come within the timeout period."
        document = s3_error(code, text, "", "", ())
        response = web.Response(status=400, body=document, headers={"Content-Type": CONTENT_TYPE})
        response.force_close()
        return response


def _too_many() -> bytes:
    document = s3_error("SlowDown", "Please reduce your request rate.", "", "", ())
    head = (
        "HTTP/1.1 503 Service Unavailable\r\n"
        f"Content-Type: {CONTENT_TYPE}\r\nContent-Length: {len(document)}\r\n"
        "Retry-After: 1\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + document


_TOO_MANY: Final = _too_many()
