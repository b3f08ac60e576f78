"""The serving side of gRPC: one interceptor around every method. `rpc.serving` installs it."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final, TypeVar

import grpc
from prometheus_client import Histogram

from sp.domain.errors import DeadlineExceeded, InternalError, Kind, SpError
from sp.runtime import log
from sp.runtime.errors import DETAIL_KEY, detail_of, message_of, sp_error_in, status_of
from sp.runtime.metrics import gauge, histogram
from sp.runtime.outgoing_channel import JOB_ID_KEY, REQUEST_ID_KEY
from sp.runtime.work import Work, working

T = TypeVar("T")
Context = grpc.aio.ServicerContext[Any, Any]
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any] | None"]]

ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What an id from outside must look like to be written into our log."""

logger = log.get_logger(__name__)

OK: Final = "OK"
CALLS: Final = histogram("sp_rpc_server_seconds", "Calls served, by method and gRPC status", ["method", "code"])
IN_FLIGHT: Final = gauge("sp_rpc_server_in_flight", "Calls being served", ["method"])


class Guard(grpc.aio.ServerInterceptor):
    """Around every method: ids bound to the log, a maximum duration, errors into statuses, metrics.

    max_call_s: what a call may take that brings no deadline of its own, or a later one.
    work: the kind of work that calls are
    """

    def __init__(self, max_call_s: float, work: Work = Work.FOREGROUND) -> None:
        self._max_call_s = max_call_s
        self._work = work
        self._guarded: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        name = handler_call_details.method
        known = self._guarded.get(name)
        if known is None:
            served = await continuation(handler_call_details)
            if served is None:
                return None
            known = self._guarded[name] = self._guard(served, name)
        return known

    def _guard(self, served: grpc.RpcMethodHandler[Any, Any], name: str) -> grpc.RpcMethodHandler[Any, Any]:
        shape = (bool(served.request_streaming), bool(served.response_streaming))
        method: Any  # a coroutine function or an async generator function, by shape
        make: Any
        method, make = {
            (False, False): (served.unary_unary, grpc.unary_unary_rpc_method_handler),
            (False, True): (served.unary_stream, grpc.unary_stream_rpc_method_handler),
            (True, False): (served.stream_unary, grpc.stream_unary_rpc_method_handler),
            (True, True): (served.stream_stream, grpc.stream_stream_rpc_method_handler),
        }[shape]

        in_flight, well = IN_FLIGHT.labels(name), CALLS.labels(name, OK)

        async def guarded(request: Any, context: Context) -> Any:
            answering = _streamed(method, request, context) if served.response_streaming else method(request, context)
            with in_flight.track_inprogress():
                return await self._answer(answering, context, name, well)

        made: grpc.RpcMethodHandler[Any, Any] = make(
            guarded,
            request_deserializer=served.request_deserializer,
            response_serializer=served.response_serializer,
        )
        return made

    async def _answer(self, answering: Awaitable[T], context: Context, name: str, well: Histogram) -> T:
        started = time.perf_counter()
        code = OK
        ids = _ids(context)
        share = working(self._work, flow=ids["request_id"])  # said once: every call for a thread asks for it
        with log.bound(**ids), share:
            try:
                return await self._bounded(answering, name)
            except asyncio.CancelledError:  # the caller went away, its deadline passed, or this server stops
                code = "CANCELLED"
                raise
            except grpc.aio.InternalError as error:  # a write after the caller went away, seen before the cancellation
                code = "CANCELLED"
                raise asyncio.CancelledError from error
            except grpc.aio.AbortError:
                code = "ABORTED_BY_SERVICE"
                raise
            except Exception as error:  # noqa: BLE001 - `_refusal` logs what is no SpError, with its trace
                refusal = _refusal(error, name)
                code = status_of(refusal).name
                await _abort(context, refusal)
            finally:
                seconds = well if code is OK else CALLS.labels(name, code)
                seconds.observe(time.perf_counter() - started)
        raise AssertionError("abort raises")

    async def _bounded(self, answering: Awaitable[T], name: str) -> T:
        limit = asyncio.timeout(self._max_call_s)
        try:
            async with limit:
                return await answering
        except TimeoutError:
            if limit.expired():
                raise DeadlineExceeded(name, round(self._max_call_s * 1000)) from None
            raise  # one of the service's own that it did not translate


async def _streamed(method: Any, request: Any, context: Context) -> None:
    """Run a method that streams its answers, an async generator or a coroutine that writes. A generator is closed
    here and now when the call ends early, not when it is collected."""
    answers = method(request, context)
    if not isinstance(answers, AsyncGenerator):
        await answers
        return
    async with aclosing(answers) as messages:
        async for message in messages:
            await context.write(message)


def _ids(context: Context) -> dict[str, str]:
    """The request id (a new one if the caller sent none) and job id of this call."""
    sent = {name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)}
    fit = fit_ids(sent.get(REQUEST_ID_KEY, ""), sent.get(JOB_ID_KEY, ""))
    fit.setdefault("request_id", secrets.token_hex(16))
    return fit


def fit_ids(request_id: str, job_id: str) -> dict[str, str]:
    """Those of the ids that somebody else sent which may stand in our log."""
    ids = {"request_id": request_id, "job_id": job_id}
    return {name: value for name, value in ids.items() if ID.fullmatch(value)}


def _refusal(failure: Exception, name: str) -> SpError:
    """What the caller is told. Logged here."""
    error = sp_error_in(failure)
    if error is None:
        logger.error("call failed", method=name, exc_info=failure)
        return InternalError(log.current("request_id") or "")
    ours = error.kind in (Kind.CORRUPT, Kind.UNAVAILABLE)  # the others are the caller's business
    write = logger.warning if ours else logger.debug
    write("call refused", method=name, error=type(error).__name__, kind=error.kind.value, reason=str(error))
    return error


async def _abort(context: Context, error: SpError) -> None:
    await context.abort(status_of(error), message_of(error), ((DETAIL_KEY, detail_of(error)),))
