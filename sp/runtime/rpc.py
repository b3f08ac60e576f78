"""Serving and dialling gRPC.

Server:  `async with serving(address, [Serving(add_XServicer_to_server, servicer, "package.v1.X")]) as bound:`
Client:  `async with dial(address, tls=..., timeout_s=...) as channel: XStub(channel)`

On such a channel every failure is an SpError, at every point where a call can fail: awaiting it, iterating over it,
`read`, `write`. Plain stubs are enough, nothing needs to be wrapped:

    receipt = await stub.Put(frames(), timeout=600)          # an exception raised in frames() comes out here as it is
    async for frame in stub.GetPiece(request, timeout=60):   # SpErrors come out of the loop
    call = stub.Replicate(timeout=600)                       # `write`, `read`, `done_writing`; `cancel()` when leaving

A unary call has the channel's deadline unless it passes `timeout=`; a streaming one must pass its own. For channels
made otherwise there are `errors.translating` and `errors.translated`.

In a server, raise SpErrors (from within a task group too) and let everything else fly. The end of a request stream does
not prove that its sender had finished (its connection may have broken): a protocol needs a last message or a count.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from sp.domain.errors import ConfigError
from sp.runtime.addresses import checked_address, inode, prepare_socket, remove_socket, socket_path
from sp.runtime.config import TlsConfig, listen_address
from sp.runtime.errors import error_of, status_of, translated, translating
from sp.runtime.incoming import Guard
from sp.runtime.outgoing_channel import TranslatingChannel
from sp.runtime.work import Work

__all__ = [
    "MAX_MESSAGE_BYTES",
    "Serving",
    "dial",
    "error_of",
    "listen_address",
    "serving",
    "status_of",
    "translated",
    "translating",
]

MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
"""Payload travels in messages of 1 MiB; this leaves room for the rest and for lists."""

# Flow control is left to grpc's bandwidth probe: larger windows and frames made no difference with 1 MiB messages.
SHARED_OPTIONS: Final = (
    ("grpc.max_metadata_size", 16 * 1024),  # an ErrorDetail and a message need up to 7 KiB
    ("grpc.keepalive_time_ms", 20_000),  # a peer that vanished without a word is noticed
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)

SERVER_OPTIONS: Final = (
    ("grpc.so_reuseport", 0),  # two processes on one port are a mistake here, not a feature
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
)

CLIENT_OPTIONS: Final = (
    # A restarted neighbour is found within about a second, also under a new address.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.min_reconnect_backoff_ms", 3_000),  # in fact the time one attempt to connect may take
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),  # a channel's back-off is its own
)


@dataclass(frozen=True, slots=True)
class Serving:
    """One proto service of a server: its generated add_XServicer_to_server, the servicer, and its full name."""

    add: Callable[[Any, grpc.aio.Server], None]
    servicer: object
    name: str


@asynccontextmanager
async def serving(
    listen: str,
    services: Sequence[Serving],
    *,
    tls: TlsConfig | None = None,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    max_calls: int = 1000,
    max_call_s: float = 3600.0,
    grace_s: float = 5.0,
    work: Work = Work.FOREGROUND,
) -> AsyncIterator[str]:
    """Serve on "unix:/absolute/path" or "host:port" until exit; yields the address with the port in fact bound.

    tls:        mutual TLS on TCP when its files are named
    max_calls:  more calls at once are refused with RESOURCE_EXHAUSTED (the client sees ServiceUnavailable)
    max_call_s: no call lasts longer, whatever deadline it brings
    grace_s:    what calls in flight are given to end at exit, before they are cancelled
    work:       what kind of work the calls are, where they meet others

    ConfigError: the address cannot be used, or the TLS files cannot be read.
    """
    server = grpc.aio.server(
        interceptors=[Guard(max_call_s, work)],
        options=[*SHARED_OPTIONS, *SERVER_OPTIONS, *_message_size(max_message_bytes)],
        maximum_concurrent_rpcs=max_calls,
    )
    checks = await _added(server, services)
    path = socket_path(checked_address(listen))
    if path is not None:
        await asyncio.to_thread(prepare_socket, path)
    credentials = await asyncio.to_thread(_server_credentials, tls) if tls and tls.enabled and path is None else None
    bound = _bound(server, listen, credentials)
    own_inode = await asyncio.to_thread(_closed_to_others, path) if path else None
    try:
        await server.start()
        yield bound
    finally:
        await checks.enter_graceful_shutdown()
        await server.stop(grace_s)
        if path is not None:
            await asyncio.to_thread(remove_socket, path, own_inode)


async def _added(server: grpc.aio.Server, services: Sequence[Serving]) -> Any:
    """Adds the services, health and reflection; the health servicer."""
    checks = health.aio.HealthServicer()
    for service in services:
        service.add(service.servicer, server)
        await checks.set(service.name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    names = [service.name for service in services] + [health.SERVICE_NAME, reflection.SERVICE_NAME]
    reflection.enable_server_reflection(names, server)
    return checks


def _bound(server: grpc.aio.Server, listen: str, credentials: grpc.ServerCredentials | None) -> str:
    try:
        port = server.add_secure_port(listen, credentials) if credentials else server.add_insecure_port(listen)
    except RuntimeError as error:
        raise ConfigError(listen, f"cannot listen here: {error}") from error
    return listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"


def _closed_to_others(path: Path) -> int | None:
    """Between bind and start: nobody has connected yet."""
    path.chmod(0o600)
    return inode(path)


def _message_size(max_message_bytes: int) -> tuple[tuple[str, int], ...]:
    return (
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
    )


@asynccontextmanager
async def dial(
    target: str,
    *,
    tls: TlsConfig | None = None,
    timeout_s: float,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to "unix:/absolute/path" or "host:port". It connects at the first call, and again when it must.

    timeout_s: deadline of unary calls that bring none of their own
    """
    options = [*SHARED_OPTIONS, *CLIENT_OPTIONS, *_message_size(max_message_bytes)]
    if tls and tls.enabled and socket_path(checked_address(target)) is None:
        credentials = await asyncio.to_thread(_channel_credentials, tls)
        channel = grpc.aio.secure_channel(target, credentials, options)
    else:
        channel = grpc.aio.insecure_channel(checked_address(target), options)
    async with TranslatingChannel(channel, target, timeout_s) as translating_channel:
        yield translating_channel


def _server_credentials(tls: TlsConfig) -> grpc.ServerCredentials:
    ca, certificate, key = _pem_files(tls)
    return grpc.ssl_server_credentials([(key, certificate)], root_certificates=ca, require_client_auth=True)


def _channel_credentials(tls: TlsConfig) -> grpc.ChannelCredentials:
    ca, certificate, key = _pem_files(tls)
    return grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=certificate)


def _pem_files(tls: TlsConfig) -> tuple[bytes, bytes, bytes]:
    def read(name: str, path: str) -> bytes:
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise ConfigError(f"[tls] {name}", f"{path}: {error.strerror}") from error

    return read("ca", tls.ca), read("certificate", tls.certificate), read("key", tls.key)
