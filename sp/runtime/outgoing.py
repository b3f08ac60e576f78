"""The calling side of gRPC: calls that speak in SpErrors. `outgoing_channel` makes them.

Not grpc.aio's interceptors: these see a streaming call once, at its start, not the failures of its later reads, and
they pass every written message through a queue of their own. Wrapping the channel covers all four shapes of calls at
every point where one can fail (awaiting, iterating, read, write, done_writing, metadata), and mends a trap: grpc.aio
turns an exception raised by the request iterator, and a channel closed by its owner, into a bare CancelledError of
whoever awaits the call. Here that exception cancels the call and comes out of it as it is, and a closed channel is a
ServiceUnavailable; CancelledError means that the task, or the call by `cancel()`, was cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

import grpc

from sp.domain.errors import ServiceUnavailable, SpError
from sp.runtime.errors import error_of
from sp.runtime.metrics import counter
from sp.runtime.sent_status import SentStatus

Q = TypeVar("Q")
R = TypeVar("R")

CALL_ERRORS: Final = counter(
    "sp_rpc_client_errors_total", "Calls to other services that failed", ["service", "method", "error"]
)


@dataclass(frozen=True, slots=True)
class Method:
    """What is called where: for error messages, metrics and the default deadline."""

    service: str
    name: str
    target: str
    timeout_s: float | None

    @classmethod
    def of(cls, path: str, target: str, timeout_s: float | None) -> Method:
        """path: "/package.v1.Service/Method"."""
        service, _, name = path.lstrip("/").partition("/")
        return cls(service.rpartition(".")[2], name, target, timeout_s)

    @property
    def whole(self) -> str:
        return f"{self.service}.{self.name} at {self.target}"

    def error(self, rpc_error: grpc.aio.AioRpcError, timeout_s: float) -> SpError:
        error = error_of(rpc_error, f"{self.service}.{self.name}", self.target, timeout_s)
        CALL_ERRORS.labels(self.service, self.name, type(error).__name__).inc()
        return error


class OutgoingCall(
    grpc.aio.UnaryUnaryCall[Q, R],
    grpc.aio.UnaryStreamCall[Q, R],
    grpc.aio.StreamUnaryCall[Q, R],
    grpc.aio.StreamStreamCall[Q, R],
):
    """One call of any shape. The stub's types show the methods that its shape has; the others raise in grpc.

    sent_status: for a call that writes messages
    requests:    the request iterator of such a call, which a task of this call then writes
    """

    def __init__(
        self,
        call: Any,
        method: Method,
        timeout_s: float,
        sent_status: SentStatus | None = None,
        requests: AsyncIterable[Q] | Iterable[Q] | None = None,
    ) -> None:
        self._call = call
        self._method = method
        self._timeout_s = timeout_s
        self._sent_status = sent_status
        self._cancelled_here = False
        self._feed_error: BaseException | None = None
        self._feeding: asyncio.Task[None] | None = None
        if requests is not None:
            self._feeding = asyncio.get_running_loop().create_task(self._feed(requests), name=f"feed {method.name}")

    # --- answers

    def __await__(self) -> Generator[Any, None, R]:
        return self._response().__await__()

    async def _response(self) -> R:
        try:
            return cast(R, self._readable(await self._call))
        except grpc.aio.AioRpcError as error:
            raise await self._translated(error) from error
        except asyncio.CancelledError:
            self._raise_cause()
            raise
        finally:
            await self._stop_feeding()

    async def __aiter__(self) -> AsyncIterator[R]:
        try:
            async for message in self._call:
                yield self._readable(message)
        except grpc.aio.AioRpcError as error:
            raise await self._translated(error) from error
        except asyncio.CancelledError:
            self._raise_cause()
            raise
        finally:
            self._call.cancel()  # the reader may have left early; no effect on a finished call
            await self._stop_feeding()

    async def read(self) -> R | object:
        """The next message, or grpc.aio.EOF."""
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise await self._translated(error) from error
        except asyncio.CancelledError:
            self._raise_cause()
            raise
        if message is grpc.aio.EOF:
            await self._stop_feeding()
        return cast("R | object", self._readable(message))

    def _readable(self, message: Any) -> Any:
        """grpc gives None for a message that cannot be parsed. What sent it is no neighbour of ours, or lies."""
        if message is None:
            raise ServiceUnavailable(self._method.whole, "its answer cannot be parsed")
        return message

    # --- requests

    async def write(self, request: Q) -> None:
        """Waits while the far side is slow. Raises the call's own error when the far side has ended it."""
        try:
            await self._call.write(request)
        except grpc.aio.AioRpcError as error:
            raise await self._translated(error) from error
        except asyncio.InvalidStateError as error:
            raise await self._ended() from error
        except asyncio.CancelledError:
            self._raise_cause()
            raise

    async def done_writing(self) -> None:
        """No more messages. No error when the far side has ended the call: reading tells how."""
        await self._half_close()

    async def _half_close(self) -> None:
        with suppress(grpc.aio.InternalError):  # the far side has ended the call just now
            await self._call.done_writing()

    async def _feed(self, requests: AsyncIterable[Q] | Iterable[Q]) -> None:
        try:
            async with AsyncExitStack() as stack:
                if hasattr(requests, "aclose"):
                    await stack.enter_async_context(aclosing(cast(Any, requests)))
                async for request in _each(requests):
                    if not await self._fed(request):
                        return
            await self._half_close()
        except BaseException as error:
            if not self._call.done():
                self._feed_error = error
                self._call.cancel()
            if not isinstance(error, Exception):
                raise

    async def _fed(self, request: Q) -> bool:
        """False: the call has ended; its status, which the reader gets, says why."""
        try:
            await self._call.write(request)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return False
        return True

    def _raise_cause(self) -> None:
        """Why the call was cancelled, unless it is because its awaiting task was, or by `cancel`."""
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            return
        if self._feed_error is not None:
            raise self._feed_error
        if not self._cancelled_here:
            raise ServiceUnavailable(self._method.whole, "the channel was closed on this side")

    async def _stop_feeding(self) -> None:
        if self._feeding is not None:
            self._feeding.cancel()
            await asyncio.wait([self._feeding])

    # --- the call

    async def _translated(self, error: grpc.aio.AioRpcError) -> SpError:
        sent = await self._sent_status.behind(error) if self._sent_status else error
        if sent.code() is grpc.StatusCode.OK:
            return ServiceUnavailable(self._method.whole, "it ended the call before our last message")
        return self._method.error(sent, self._timeout_s)

    async def _ended(self) -> SpError:
        """The error of a call that is over."""
        trailing = await self._call.trailing_metadata()
        status = grpc.aio.AioRpcError(await self._call.code(), None, trailing, await self._call.details())
        return await self._translated(status)

    def cancel(self) -> bool:
        self._cancelled_here = True
        if self._feeding is not None:
            self._feeding.cancel()
        return bool(self._call.cancel())

    def cancelled(self) -> bool:
        return bool(self._call.cancelled())

    def done(self) -> bool:
        return bool(self._call.done())

    def time_remaining(self) -> float | None:
        return cast("float | None", self._call.time_remaining())

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._call.add_done_callback(callback)

    async def initial_metadata(self) -> grpc.aio.Metadata:
        return cast(grpc.aio.Metadata, await self._call.initial_metadata())

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        return cast(grpc.aio.Metadata, await self._call.trailing_metadata())

    async def code(self) -> grpc.StatusCode:
        return cast(grpc.StatusCode, await self._call.code())

    async def details(self) -> str:
        return cast(str, await self._call.details())

    async def wait_for_connection(self) -> None:
        try:
            await self._call.wait_for_connection()
        except grpc.aio.AioRpcError as error:
            raise await self._translated(error) from error


async def _each(requests: AsyncIterable[Q] | Iterable[Q]) -> AsyncIterator[Q]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield request
    else:
        for request in requests:
            yield request
