"""The calling side of gRPC: a channel that makes `OutgoingCall`s. `rpc.dial` opens it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from types import TracebackType
from typing import Any, Final, Generic, TypeVar, cast

import grpc

from sp.runtime import log
from sp.runtime.outgoing import Method, OutgoingCall
from sp.runtime.sent_status import SentStatus

Q = TypeVar("Q")
R = TypeVar("R")

REQUEST_ID_KEY: Final = "x-request-id"
JOB_ID_KEY: Final = "x-job-id"


def _with_ids(metadata: Any) -> tuple[tuple[str, str | bytes], ...]:
    """The caller's metadata and the ids of the work that this call belongs to."""
    given = tuple(metadata or ())
    names = {name for name, _ in given}
    ids = ((REQUEST_ID_KEY, log.current("request_id")), (JOB_ID_KEY, log.current("job_id")))
    return given + tuple((key, value) for key, value in ids if value and key not in names)


class UnaryRequest(grpc.aio.UnaryUnaryMultiCallable[Q, R], grpc.aio.UnaryStreamMultiCallable[Q, R], Generic[Q, R]):
    """A stub's method with one request message."""

    def __init__(self, callable_: Any, method: Method) -> None:
        self._callable = callable_
        self._method = method

    def __call__(
        self,
        request: Q,
        *,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> OutgoingCall[Q, R]:
        timeout_s = _deadline(timeout, self._method)
        call = self._callable(
            request,
            timeout=timeout_s,
            metadata=_with_ids(metadata),
            credentials=credentials,
            wait_for_ready=wait_for_ready,
            compression=compression,
        )
        return OutgoingCall(call, self._method, timeout_s)


class StreamRequest(grpc.aio.StreamUnaryMultiCallable[Q, R], grpc.aio.StreamStreamMultiCallable[Q, R], Generic[Q, R]):
    """A stub's method with a stream of request messages: from an iterator, or written to the call."""

    def __init__(self, callable_: Any, method: Method) -> None:
        self._callable = callable_
        self._method = method

    def __call__(
        self,
        request_iterator: AsyncIterable[Q] | Iterable[Q] | None = None,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> OutgoingCall[Q, R]:
        timeout_s = _deadline(timeout, self._method)
        call = self._callable(
            timeout=timeout_s,
            metadata=_with_ids(metadata),
            credentials=credentials,
            wait_for_ready=wait_for_ready,
            compression=compression,
        )
        return OutgoingCall(call, self._method, timeout_s, SentStatus(call), request_iterator)


def _deadline(timeout: float | None, method: Method) -> float:
    timeout_s = method.timeout_s if timeout is None else timeout
    if timeout_s is None:
        raise TypeError(f"{method.service}.{method.name} streams: pass timeout=, the seconds it may take as a whole")
    return timeout_s


class TranslatingChannel(grpc.aio.Channel):
    """A channel whose calls have a deadline, carry the request and job id, and raise SpErrors."""

    def __init__(self, channel: grpc.aio.Channel, target: str, timeout_s: float) -> None:
        self._channel: Any = channel  # Any: the stubs' types lack `_registered_method`, which generated code passes
        self._target = target
        self._timeout_s = timeout_s

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> UnaryRequest[Any, Any]:
        known = Method.of(method, self._target, self._timeout_s)
        return UnaryRequest(self._channel.unary_unary(method, *args, **kwargs), known)

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> UnaryRequest[Any, Any]:
        known = Method.of(method, self._target, None)
        return UnaryRequest(self._channel.unary_stream(method, *args, **kwargs), known)

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> StreamRequest[Any, Any]:
        known = Method.of(method, self._target, None)
        return StreamRequest(self._channel.stream_unary(method, *args, **kwargs), known)

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> StreamRequest[Any, Any]:
        known = Method.of(method, self._target, None)
        return StreamRequest(self._channel.stream_stream(method, *args, **kwargs), known)

    async def close(self, grace: float | None = None) -> None:
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return cast(grpc.ChannelConnectivity, self._channel.get_state(try_to_connect))

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._channel.channel_ready()

    async def __aenter__(self) -> TranslatingChannel:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
