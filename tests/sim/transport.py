"""gRPC without sockets: the stubs and servicers of production, and between them a network that may do anything.

`serving` and `dial` stand in the place of sp.runtime.rpc's for the length of a simulation. What passes is what would be
on the wire (the messages' bytes, statuses with error details), through the same guard on the serving side and the same
translating channel on the calling side.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

import grpc

from sp.runtime.incoming import Guard
from sp.runtime.outgoing_channel import TranslatingChannel
from sp.runtime.rpc import Serving
from tests.sim.loop import Owner, owner

if TYPE_CHECKING:
    from tests.sim.network import Fate, SimNetwork

WINDOW: Final = 8
"""Messages on their way, or not read yet, in one direction of a call; the next write waits."""

OK = grpc.StatusCode.OK
Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True)
class Status:
    code: grpc.StatusCode
    details: str = ""
    trailing: Metadata = ()


class Pipe:
    """One direction of a call. `put` by the network, `get` by the process at its end."""

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._under_way = 0
        self._ended = False
        self._changed: list[asyncio.Future[None]] = []

    def sent(self) -> None:
        self._under_way += 1

    def put(self, message: bytes) -> None:
        self._under_way -= 1
        self._messages.append(message)
        self._tell()

    def end(self) -> None:
        self._ended = True
        self._tell()

    async def room(self) -> None:
        while len(self._messages) + self._under_way >= WINDOW and not self._ended:
            await self._change()

    async def get(self) -> bytes | None:
        """The next message, or None after the last."""
        while not self._messages:
            if self._ended:
                return None
            await self._change()
        self._tell()
        return self._messages.popleft()

    async def _change(self) -> None:
        changed = asyncio.get_running_loop().create_future()
        self._changed.append(changed)
        await changed

    def _tell(self) -> None:
        waiting, self._changed = self._changed, []
        for changed in waiting:
            if not changed.done():
                changed.set_result(None)


@dataclass(eq=False)
class Exchange:
    """One call as the network sees it: who, to whom, and what is on its way."""

    network: SimNetwork
    number: int
    method: str
    caller: Owner
    callee: str
    fate: Fate
    metadata: Metadata = ()
    requests: Pipe = field(default_factory=Pipe)
    replies: Pipe = field(default_factory=Pipe)
    recorded: list[bytes] = field(default_factory=list)
    status: Status | None = None
    server: Owner | None = None
    serving: asyncio.Task[None] | None = None
    ended: asyncio.Future[Status] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    _carried: dict[str, int] = field(default_factory=dict)
    _last_at: dict[str, float] = field(default_factory=dict)

    def finished(self) -> Status | None:
        """How it ended, if it has by now."""
        return self.status

    def finish(self, status: Status) -> None:
        """The caller knows how it ended."""
        if self.status is None:
            self.status = status
            self.requests.end()
            self.replies.end()
            self.ended.set_result(status)
            self.network.over(self)


class Call:
    """What a multi-callable of grpc.aio returns, in all four shapes."""

    def __init__(self, exchange: Exchange, serialise: Any, parse: Any, timeout_s: float | None) -> None:
        self._exchange = exchange
        self._serialise = serialise
        self._parse = _lenient(parse)
        self._cancelled = False
        self._half_closed = False
        if timeout_s is not None:
            exchange.network.after(timeout_s, self._late)

    def _late(self) -> None:
        if self._exchange.status is None:
            self._exchange.network.hang_up(self._exchange)
            self._exchange.finish(Status(grpc.StatusCode.DEADLINE_EXCEEDED, "deadline exceeded"))

    async def write(self, request: Any) -> None:
        exchange = self._exchange
        if self._cancelled:
            raise asyncio.CancelledError
        if exchange.status is not None or self._half_closed:
            raise asyncio.InvalidStateError("RPC already finished.")
        message = self._serialise(request)
        await self._or_cancel(exchange.requests.room())
        ended = exchange.finished()
        if ended is not None:
            if ended.code is OK:
                raise asyncio.InvalidStateError("RPC already finished.")
            self._raise(ended)
        exchange.network.send_request(exchange, message)

    async def done_writing(self) -> None:
        if not self._half_closed:
            self._half_closed = True
            self._exchange.network.send_end(self._exchange)

    async def read(self) -> Any:
        message = await self._or_cancel(self._exchange.replies.get())
        if message is not None:
            return self._parse(message)
        status = await self._or_cancel(asyncio.shield(self._exchange.ended))
        if status.code is not OK:
            self._raise(status)
        return grpc.aio.EOF

    def __await__(self) -> Generator[Any, None, Any]:
        return self._response().__await__()

    async def _response(self) -> Any:
        message = await self._or_cancel(self._exchange.replies.get())
        status = await self._or_cancel(asyncio.shield(self._exchange.ended))
        if status.code is not OK or message is None:
            self._raise(status)
        return self._parse(message)

    async def __aiter__(self) -> AsyncIterator[Any]:
        while (message := await self.read()) is not grpc.aio.EOF:
            yield message

    async def _or_cancel(self, waiting: Any) -> Any:
        """A task that is cancelled while it waits for a call cancels the call."""
        if self._cancelled:
            if asyncio.iscoroutine(waiting):
                waiting.close()
            raise asyncio.CancelledError
        try:
            result = await waiting
        except asyncio.CancelledError:
            self.cancel()
            raise
        if self._cancelled:
            raise asyncio.CancelledError
        return result

    def _raise(self, status: Status) -> NoReturn:
        if self._cancelled:
            raise asyncio.CancelledError
        trailing = grpc.aio.Metadata(*status.trailing)
        raise grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), trailing, status.details)

    def cancel(self) -> bool:
        if self._exchange.status is not None:
            return False
        self._cancelled = True
        self._exchange.network.hang_up(self._exchange)
        self._exchange.finish(Status(grpc.StatusCode.CANCELLED, "Locally cancelled by application!"))
        return True

    def cancelled(self) -> bool:
        return self._cancelled

    def done(self) -> bool:
        return self._exchange.status is not None

    def time_remaining(self) -> float | None:
        return None

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Only sp.runtime.sent_status asks for it, against a fault of grpc.aio that is not simulated."""

    async def _status(self) -> Status:
        return cast(Status, await self._or_cancel(asyncio.shield(self._exchange.ended)))

    async def code(self) -> grpc.StatusCode:
        return (await asyncio.shield(self._exchange.ended)).code

    async def details(self) -> str:
        return (await asyncio.shield(self._exchange.ended)).details

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        return grpc.aio.Metadata(*(await asyncio.shield(self._exchange.ended)).trailing)


class Channel:
    """The part of grpc.aio.Channel that TranslatingChannel uses."""

    def __init__(self, network: SimNetwork, target: str) -> None:
        self._network = network
        self._target = target

    def unary_unary(self, method: str, serialise: Any = None, parse: Any = None, *_: Any, **named: Any) -> Any:
        return self._with_request(method, *_codecs(serialise, parse, named))

    unary_stream = unary_unary

    def stream_unary(self, method: str, serialise: Any = None, parse: Any = None, *_: Any, **named: Any) -> Any:
        return self._without_request(method, *_codecs(serialise, parse, named))

    stream_stream = stream_unary

    async def close(self, grace: float | None = None) -> None:
        return

    def _with_request(self, method: str, serialise: Any, parse: Any) -> Any:
        def call(request: Any, *, timeout: float | None = None, metadata: Any = (), **_: Any) -> Call:
            exchange = self._network.begin(method, self._target, tuple(metadata or ()))
            made = Call(exchange, serialise, parse, timeout)
            self._network.send_request(exchange, serialise(request))
            self._network.send_end(exchange)
            return made

        return call

    def _without_request(self, method: str, serialise: Any, parse: Any) -> Any:
        def call(*, timeout: float | None = None, metadata: Any = (), **_: Any) -> Call:
            exchange = self._network.begin(method, self._target, tuple(metadata or ()))
            return Call(exchange, serialise, parse, timeout)

        return call


def _lenient(parse: Any) -> Callable[[bytes], Any]:
    """grpc._common.deserialize: a message that cannot be parsed is None."""

    def parsed(message: bytes) -> Any:
        try:
            return parse(message)
        except Exception:  # noqa: BLE001 - as grpc does
            return None

    return parsed


def _codecs(serialise: Any, parse: Any, named: dict[str, Any]) -> tuple[Any, Any]:
    return named.get("request_serializer", serialise), named.get("response_deserializer", parse)


# --- the serving side


class ServerContext:
    """The part of grpc.aio.ServicerContext that the guard uses."""

    def __init__(self, exchange: Exchange, serialise: Any) -> None:
        self._exchange = exchange
        self._serialise = serialise
        self.status: Status | None = None

    def invocation_metadata(self) -> Metadata:
        return self._exchange.metadata

    async def write(self, message: Any) -> None:
        await self._exchange.replies.room()
        self._exchange.network.send_reply(self._exchange, self._serialise(message))

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        self.status = Status(code, details, tuple(trailing_metadata))
        raise grpc.aio.AbortError


@dataclass(eq=False)
class Server:
    """What listens at one address: the handlers of its services, and the process that it is part of."""

    process: Owner
    guard: Guard = field(default_factory=lambda: Guard(3600.0))
    generic: list[Any] = field(default_factory=list)

    def add_generic_rpc_handlers(self, handlers: Iterable[Any]) -> None:
        self.generic.extend(handlers)

    def add_registered_method_handlers(self, *_: Any) -> None:
        """The same handlers once more, for a faster lookup in grpc."""

    async def serve(self, exchange: Exchange) -> None:
        """One call, in a task of the serving process."""
        details = _Details(exchange.method, exchange.metadata)

        async def found(details: Any) -> Any:
            return next((h for g in self.generic if (h := g.service(details)) is not None), None)

        handler = await self.guard.intercept_service(found, cast(Any, details))
        if handler is None:
            exchange.network.send_status(exchange, Status(grpc.StatusCode.UNIMPLEMENTED, exchange.method))
            return
        context = ServerContext(exchange, handler.response_serializer)
        try:
            await self._run(cast(Any, handler), exchange, context)
        except grpc.aio.AbortError:
            status = context.status or Status(grpc.StatusCode.UNKNOWN, "aborted")
            exchange.network.send_status(exchange, status)
        else:
            exchange.network.send_status(exchange, Status(OK))

    async def _run(self, handler: Any, exchange: Exchange, context: ServerContext) -> None:
        method = (
            handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        )  # one of them
        if handler.request_streaming:
            requests = _requests(exchange, handler.request_deserializer)
            try:
                reply = await method(requests, context)
            finally:
                await requests.aclose()
        else:
            message = await exchange.requests.get()
            if message is None:
                raise asyncio.CancelledError
            reply = await method(handler.request_deserializer(message), context)
        if not handler.response_streaming:
            await context.write(reply)


async def _requests(exchange: Exchange, parse: Any) -> AsyncGenerator[Any, None]:
    while (message := await exchange.requests.get()) is not None:
        yield parse(message)


@dataclass(frozen=True, slots=True)
class _Details:
    method: str
    invocation_metadata: Metadata


# --- in the place of sp.runtime.rpc


@asynccontextmanager
async def serving(listen: str, services: Sequence[Serving], **_: Any) -> AsyncIterator[str]:
    process = owner()
    server = Server(process)
    for service in services:
        service.add(service.servicer, cast(Any, server))
    network = network_of(process)
    network.listen(listen, server)
    try:
        yield listen
    finally:
        network.silence(listen, server)


@asynccontextmanager
async def dial(target: str, *, timeout_s: float, **_: Any) -> AsyncIterator[TranslatingChannel]:
    channel = cast(Any, Channel(network_of(owner()), target))
    yield TranslatingChannel(channel, target, timeout_s)


def network_of(process: Owner) -> SimNetwork:
    return cast("SimNetwork", process.network)
