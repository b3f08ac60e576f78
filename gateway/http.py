"""Serve S3 and Greenfield clients over HTTP: admission, authentication, dispatch, errors, connections.

aiohttp's low-level server, without its router: that would normalise paths, and object names are paths.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.web_request import BaseRequest
from prometheus_client import Counter, Histogram

from gateway.auth.anonymous import NOBODY
from gateway.auth.query import with_query_headers
from gateway.auth.scheme import Authenticator, Identity
from gateway.config import GatewayConfig
from gateway.errors import ClientGone
from gateway.greenfield.routes import GreenfieldOperation
from gateway.greenfield.style import speaks_greenfield
from gateway.http_body import RequestBody
from gateway.http_buckets import BucketOperations
from gateway.http_call import Call, Serve
from gateway.http_details import Operations
from gateway.http_objects import ObjectOperations
from gateway.http_protocol import UNWANTED_BODY_BYTES, BoundedServer
from gateway.request import RequestHead, check_header_size, resolve
from gateway.routes import Operation, operation_of
from sp.domain.errors import ConfigError, InternalError, Kind, SpError
from sp.runtime.clock import Clock
from sp.runtime.ids import RequestIds
from sp.runtime.limits import Slots
from sp.runtime.log import bound, get_logger
from sp.runtime.metrics import counter, gauge, histogram
from sp.runtime.work import own

log = get_logger(__name__)

REQUESTS = counter("sp_gateway_requests_total", "Requests of S3 and Greenfield clients", ("operation", "status"))
SECONDS = histogram("sp_gateway_request_seconds", "From the head of a request to the end of its answer", ("operation",))
ACTIVE = gauge("sp_gateway_active_requests", "Requests at work")

PUBLIC_READS = frozenset({Operation.GET_OBJECT, Operation.HEAD_OBJECT, GreenfieldOperation.LINK})

CLIENT_GONE = 499
"""Recorded instead of a status when the client did not take the answer (the number is nginx's)."""


@dataclass(slots=True)
class HttpServer:
    """The handler of one listening socket."""

    objects: ObjectOperations
    buckets: BucketOperations
    authenticator: Authenticator
    config: GatewayConfig
    clock: Clock
    request_ids: RequestIds
    slots: Slots
    more: Sequence[Operations] = ()
    table: dict[Operation | GreenfieldOperation, Serve] = field(init=False, repr=False)
    _counted: dict[tuple[str, int], Counter] = field(default_factory=dict, repr=False)
    _timed: dict[str, Histogram] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.table = {
            Operation.STATUS: self.buckets.status,
            Operation.LIST_BUCKETS: self.buckets.list,
            Operation.CREATE_BUCKET: self.buckets.create,
            Operation.HEAD_BUCKET: self.buckets.head,
            Operation.DELETE_BUCKET: self.buckets.delete,
            Operation.LOCATION: self.buckets.location,
            Operation.CONFIGURATION: self.buckets.configuration,
            Operation.LIST_OBJECTS: self.objects.list,
            Operation.LIST_OBJECTS_V2: self.objects.list_v2,
            Operation.PUT_OBJECT: self.objects.put,
            Operation.GET_OBJECT: self.objects.get,
            Operation.HEAD_OBJECT: self.objects.get,
            Operation.DELETE_OBJECT: self.objects.delete,
            Operation.UPLOAD_PROGRESS: self.objects.progress,
        }
        for operations in self.more:
            for operation, serve in operations.table().items():
                self.table[operation] = serve
        assert self.table.keys() == set(Operation) | set(GreenfieldOperation)

    async def handle(self, request: BaseRequest) -> web.StreamResponse:
        """Answer one request. Whatever goes wrong has an answer; an unexpected exception is logged with its trace."""
        body = RequestBody(
            request,
            self.config.body_progress_s,
            self.config.body_progress_bytes,
            self.config.body_total_s,
            self.config.read_buffer_bytes,
        )
        call = Call(request, self.request_ids.next(), body, self.config.region, self.config.write_timeout_s)
        began_s = self.clock.monotonic_s()
        status = CLIENT_GONE
        ACTIVE.inc()
        with bound(request_id=call.request_id):
            try:
                response = await self._answer(call)
                await self._finish(call, response)
                status = CLIENT_GONE if call.cut else response.status
            finally:
                ACTIVE.dec()
                self._record(call, status, self.clock.monotonic_s() - began_s)
        return response

    def _record(self, call: Call, status: int, taken_s: float) -> None:
        operation = call.operation
        counted = self._counted.get((operation, status))
        if counted is None:
            counted = self._counted[operation, status] = REQUESTS.labels(operation, str(status))
        timed = self._timed.get(operation)
        if timed is None:
            timed = self._timed[operation] = SECONDS.labels(operation)
        counted.inc()
        timed.observe(taken_s)
        log.info(
            "request",
            operation=operation,
            method=call.request.method,
            path=call.request.raw_path.partition("?")[0][:512],  # a query may hold a signature
            status=status,
            account=call.identity and call.identity.account,
            received_bytes=call.body.received,
            seconds=round(taken_s, 4),
        )

    async def _answer(self, call: Call) -> web.StreamResponse:
        try:
            with self.slots.slot():
                return await self._perform(call)
        except SpError as error:
            if isinstance(error, ClientGone):
                log.info("client gone", reason=error.reason)
            return call.refusal(error)
        except ConnectionError as error:  # our neighbours' failures are SpErrors: this is the client's connection
            log.info("client gone", reason=type(error).__name__)
            return call.refusal(ClientGone(type(error).__name__))
        except Exception:
            log.exception("request failed", operation=call.operation)
            return call.refusal(InternalError(call.request_id))

    async def _perform(self, call: Call) -> web.StreamResponse:
        request = call.request
        call.head = head = RequestHead.of_target(request.method, request.raw_path, request.headers.items())
        check_header_size(head, self.config.max_header_bytes)
        call.target = resolve(head, self.config.domain_name)
        operation = operation_of(head, call.target)
        call.operation = operation.value
        call.identity, refusal = await self._asker(head, operation)
        own(call.identity.account or "")
        call.head = with_query_headers(head)
        await self._check_owner(call, operation)
        try:
            return await self.table[operation](call)
        except SpError as error:
            if refusal is not None and error.kind in (Kind.DENIED, Kind.NOT_FOUND):
                raise refusal from None
            raise

    async def _asker(
        self, head: RequestHead, operation: Operation | GreenfieldOperation
    ) -> tuple[Identity, SpError | None]:
        """Who asks, and why not who he says he is: on Greenfield, what is public is read under any signature."""
        try:
            return await self.authenticator.authenticate(head, self.clock.now_ms() // 1000), None
        except SpError as refusal:
            if operation in PUBLIC_READS and speaks_greenfield(head):
                return NOBODY, refusal
            raise

    async def _check_owner(self, call: Call, operation: Operation | GreenfieldOperation) -> None:
        """The client wants to be sure whose bucket it is."""
        assert call.head is not None
        expected = call.head.header("x-amz-expected-bucket-owner")
        if expected and call.target.bucket is not None and operation is not Operation.CREATE_BUCKET:
            await self.buckets.check_owner(call.target.bucket, expected)

    async def _finish(self, call: Call, response: web.StreamResponse) -> None:
        """Send what is not sent yet; decide what becomes of a body that nobody read.

        A client that waits for 100 Continue may or may not send its body after our answer: close at once, since we
        cannot tell its next request from it. Others are sending: what is left is read and dropped (bounded by
        linger_s), so that they come to read our answer, and the connection is kept only if that was little.
        """
        if response.prepared or not call.body.unread:
            return
        if call.body.awaits_continue:
            response.force_close()
            await response.prepare(call.request)
            await response.write_eof()
            call.request.protocol.force_close()
        elif call.body.is_long:
            response.force_close()


@asynccontextmanager
async def serving_http(server: HttpServer) -> AsyncIterator[str]:
    """Listen at the configured address; yields the one that was bound, `host:port`."""
    config = server.config
    low_level = BoundedServer(
        server.handle,
        config.max_connections,
        config.head_timeout_s,
        access_log=None,
        auto_decompress=False,  # a gzipped object is stored and returned as it is
        max_line_size=config.max_header_bytes,
        max_field_size=config.max_header_bytes,
        keepalive_timeout=config.idle_timeout_s,
        lingering_time=config.linger_s,
        read_bufsize=min(UNWANTED_BODY_BYTES, config.read_buffer_bytes),  # until the body is wanted: RequestBody
    )
    runner = web.ServerRunner(low_level, handle_signals=False, shutdown_timeout=config.shutdown_s)
    await runner.setup()
    try:
        host, _, port = config.http_address.rpartition(":")
        tls = await asyncio.to_thread(tls_context, config)
        reuse = config.reuse_port or config.processes > 1 or None
        await web.TCPSite(runner, host.strip("[]"), int(port), backlog=1024, ssl_context=tls, reuse_port=reuse).start()
        bound_host, bound_port = runner.addresses[0][:2]
        shown = f"[{bound_host}]" if ":" in bound_host else bound_host
        yield f"{shown}:{bound_port}"
    finally:
        await runner.cleanup()


def tls_context(config: GatewayConfig) -> ssl.SSLContext | None:
    """What HTTPS needs, TLS 1.2 at least; None when the gateway speaks plain HTTP. ConfigError for unusable files."""
    if config.tls_certificate is None or config.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.tls_certificate, config.tls_key)
    except OSError as error:  # an SSLError is one too
        raise ConfigError("gateway.tls_certificate", str(error)) from error
    return context
