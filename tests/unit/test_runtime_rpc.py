"""Calls of all four shapes between a real server and a real channel."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from proto.common_pb2 import ErrorDetail
from sp.domain import errors as e
from sp.runtime import log
from sp.runtime.errors import DETAIL_KEY, detail_of
from sp.runtime.rpc import MAX_MESSAGE_BYTES, Serving, dial, serving, translated, translating

MIB = 1024 * 1024
NAME = "test.v1.Echo"
SHAPES = ["unary_unary", "unary_stream", "stream_unary", "stream_stream"]


@dataclass
class Echo:
    """Answers every message with itself; `act` may do something else first."""

    act: Callable[[bytes, Any], Any] = lambda _message, _context: None
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    received: list[bytes] = field(default_factory=list)

    async def _acted(self, message: bytes, context: Any) -> bytes:
        self.received.append(message)
        acting = self.act(message, context)
        if acting is not None:
            await acting
        return message

    async def unary_unary(self, request: bytes, context: Any) -> bytes:
        try:
            return await self._acted(request, context)
        finally:
            self.closed.set()

    async def unary_stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            for _ in range(1000):
                yield await self._acted(request, context)
        finally:
            self.closed.set()

    async def stream_unary(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        try:
            return b"".join([await self._acted(request, context) async for request in requests])
        finally:
            self.closed.set()

    async def stream_stream(self, requests: AsyncIterator[bytes], context: Any) -> None:
        try:
            async for request in requests:
                await context.write(await self._acted(request, context))
        finally:
            self.closed.set()


def add_echo(servicer: Any, server: grpc.aio.Server) -> None:
    methods = {name: getattr(grpc, f"{name}_rpc_method_handler")(getattr(servicer, name)) for name in SHAPES}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, methods),))


class Stub:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.unary_unary: Any = channel.unary_unary(f"/{NAME}/unary_unary")
        self.unary_stream: Any = channel.unary_stream(f"/{NAME}/unary_stream")
        self.stream_unary: Any = channel.stream_unary(f"/{NAME}/stream_unary")
        self.stream_stream: Any = channel.stream_stream(f"/{NAME}/stream_stream")


async def all_of(call: Any) -> list[bytes]:
    return [answer async for answer in call]


async def write_on(call: Any) -> None:
    while True:
        await call.write(bytes(MIB))


async def each(*messages: bytes) -> AsyncIterator[bytes]:
    for message in messages:
        yield message


async def answers(stub: Any, shape: str, message: bytes = b"x") -> list[bytes]:
    """Call a method of any shape with one message; at most three answers."""
    requests = each(message) if shape.startswith("stream") else message
    call = getattr(stub, shape)(requests, timeout=10)
    if shape.endswith("unary"):
        return [await call]
    got: list[bytes] = []
    async for answer in call:
        got.append(answer)
        if len(got) == 3:
            break
    return got


@asynccontextmanager
async def echoing(echo: Echo, **options: Any) -> AsyncIterator[Any]:
    timeout_s = options.pop("timeout_s", 10)
    async with (
        serving("127.0.0.1:0", [Serving(add_echo, echo, NAME)], grace_s=options.pop("grace_s", 1), **options) as bound,
        dial(bound, timeout_s=timeout_s) as channel,
    ):
        yield Stub(channel)


def raising(error: BaseException) -> Callable[[bytes, Any], Any]:
    def act(_message: bytes, _context: Any) -> None:
        raise error

    return act


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_call_of_every_shape_answers(shape: str) -> None:
    async with echoing(Echo()) as stub:
        got = await answers(stub, shape, b"hello")
        assert got == [b"hello"] * (3 if shape == "unary_stream" else 1)


@pytest.mark.parametrize("shape", SHAPES)
async def test_the_class_and_facts_that_a_server_raises_come_out_of_the_client(shape: str) -> None:
    async with echoing(Echo(raising(e.PayloadSizeMismatch(declared=10, received=7)))) as stub:
        with pytest.raises(e.PayloadSizeMismatch) as raised:
            await answers(stub, shape)
    assert raised.value.facts == {"declared": 10, "received": 7}


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_servers_own_mistake_is_an_internal_error_that_names_the_request_and_nothing_else(shape: str) -> None:
    async with echoing(Echo(raising(KeyError("secret detail")))) as stub:
        with log.bound(request_id="request-7"), pytest.raises(e.InternalError) as raised:
            await answers(stub, shape)
    assert raised.value.request_id == "request-7"
    assert "secret detail" not in str(raised.value.__cause__)


async def test_an_sp_error_out_of_a_task_group_is_that_error_unless_something_else_failed_too() -> None:
    gone, mistake = e.PieceNotFound("k"), KeyError("x")
    async with echoing(Echo(raising(ExceptionGroup("tasks", [ExceptionGroup("inner", [gone]), gone])))) as stub:
        with pytest.raises(e.PieceNotFound):
            await stub.unary_unary(b"x")
    async with echoing(Echo(raising(ExceptionGroup("tasks", [gone, mistake])))) as stub:
        with pytest.raises(e.InternalError):
            await stub.unary_unary(b"x")


async def test_an_error_in_the_middle_of_a_stream_comes_after_the_messages_before_it() -> None:
    def third_fails(_message: bytes, _context: Any) -> None:
        if len(echo.received) == 3:
            raise e.PieceNotFound("k")

    echo = Echo(third_fails)
    async with echoing(echo) as stub:
        stream = aiter(stub.unary_stream(b"x", timeout=10))
        assert [await anext(stream), await anext(stream)] == [b"x", b"x"]
        with pytest.raises(e.PieceNotFound):
            await anext(stream)


@pytest.mark.parametrize("shape", ["stream_unary", "stream_stream"])
async def test_an_exception_in_the_request_iterator_comes_out_of_the_call_and_cancels_it(shape: str) -> None:
    class ClientWentAway(Exception):
        pass

    async def breaking() -> AsyncIterator[bytes]:
        yield b"first"
        raise ClientWentAway

    echo = Echo()
    async with echoing(echo) as stub:
        call = getattr(stub, shape)(breaking(), timeout=10)
        with pytest.raises(ClientWentAway):
            await (call if shape == "stream_unary" else all_of(call))
        await asyncio.wait_for(echo.closed.wait(), 10)


async def test_a_refusal_before_all_requests_are_sent_ends_the_request_iterator() -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with echoing(Echo(raising(e.Overloaded("puts")))) as stub:
        with pytest.raises(e.Overloaded):
            await stub.stream_unary(endless(), timeout=10)
        assert closed.is_set()


async def test_cancelling_the_caller_cancels_the_server_and_is_still_a_cancellation() -> None:
    entered = asyncio.Event()

    async def wait_for_ever() -> None:
        entered.set()
        await asyncio.Event().wait()

    echo = Echo(lambda *_: wait_for_ever())
    async with echoing(echo) as stub:
        calling = asyncio.create_task(answers(stub, "stream_unary"))
        await asyncio.wait_for(entered.wait(), 10)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await asyncio.wait_for(echo.closed.wait(), 10)


async def test_a_reader_that_leaves_early_ends_the_servers_generator() -> None:
    with structlog.testing.capture_logs() as logs:
        for _ in range(20):  # the server learns of it in one of two ways
            echo = Echo()
            async with echoing(echo) as stub:
                await answers(stub, "unary_stream", bytes(MIB))
                gc.disable()  # it must not take a garbage collection
                try:
                    await asyncio.wait_for(echo.closed.wait(), 10)
                finally:
                    gc.enable()
            assert len(echo.received) < 1000
    assert logs == []  # it is nobody's mistake


async def test_written_messages_are_answered_one_by_one() -> None:
    async with echoing(Echo()) as stub:
        call = stub.stream_stream(timeout=10)
        for message in (b"a", b"b"):
            await call.write(message)
            assert await call.read() == message
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF


async def test_writing_on_after_the_server_refused_raises_its_refusal() -> None:
    async with echoing(Echo(raising(e.SignatureError("expired")))) as stub:
        call = stub.stream_stream(timeout=10)
        await call.write(b"x")
        with pytest.raises(e.SignatureError, match="expired"):
            await write_on(call)


async def test_writing_on_past_the_deadline_is_deadline_exceeded() -> None:
    async with echoing(Echo(lambda *_: asyncio.Event().wait()), grace_s=0) as stub:
        call = stub.stream_stream(timeout=0.1)
        with pytest.raises(e.DeadlineExceeded):
            await write_on(call)


async def test_reading_after_the_server_refused_raises_its_refusal() -> None:
    async with echoing(Echo(raising(e.SignatureError("expired")))) as stub:
        call = stub.stream_stream(timeout=10)
        await call.write(b"x")
        with pytest.raises(e.SignatureError, match="expired"):
            await call.read()


async def test_a_unary_call_has_the_channels_deadline() -> None:
    async with echoing(Echo(lambda *_: asyncio.Event().wait()), timeout_s=0.05) as stub:
        with pytest.raises(e.DeadlineExceeded) as raised:
            await stub.unary_unary(b"x")
    assert raised.value.timeout_ms == 50
    assert raised.value.waiting_for.startswith("Echo.unary_unary at 127.0.0.1:")


@pytest.mark.parametrize("shape", SHAPES[1:])
async def test_a_streaming_call_without_a_timeout_is_refused_at_once(shape: str) -> None:
    async with echoing(Echo()) as stub:
        with pytest.raises(TypeError, match="pass timeout="):
            getattr(stub, shape)(b"x")


async def test_the_server_ends_a_call_that_asks_for_more_time_than_it_grants() -> None:
    async with echoing(Echo(lambda *_: asyncio.Event().wait()), max_call_s=0.05) as stub:
        with pytest.raises(e.DeadlineExceeded) as raised:
            await stub.unary_unary(b"x", timeout=1000)
    assert raised.value.facts == {"waiting_for": f"/{NAME}/unary_unary", "timeout_ms": 50}


async def test_calls_beyond_the_limit_are_refused_while_the_others_go_on() -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        entered.set()
        await go_on.wait()

    async with echoing(Echo(lambda *_: hold()), max_calls=1) as stub:
        first = asyncio.create_task(answers(stub, "unary_unary"))
        await asyncio.wait_for(entered.wait(), 10)
        with pytest.raises(e.ServiceUnavailable, match="RESOURCE_EXHAUSTED"):
            await stub.unary_unary(b"y")
        go_on.set()
        assert await first == [b"x"]


async def test_the_request_and_job_id_reach_the_server() -> None:
    seen: list[tuple[str | None, str | None]] = []

    def note(_message: bytes, _context: Any) -> None:
        seen.append((log.current("request_id"), log.current("job_id")))

    async with echoing(Echo(note)) as stub:
        with log.bound(request_id="r-1", job_id=42):
            await stub.unary_unary(b"x")
            await answers(stub, "stream_stream")
    assert seen == [("r-1", "42")] * 2


async def test_an_id_that_could_forge_log_lines_is_replaced() -> None:
    seen: list[str | None] = []

    def note(_message: bytes, _context: Any) -> None:
        seen.append(log.current("request_id"))

    async with echoing(Echo(note)) as stub:
        await stub.unary_unary(b"x", metadata=(("x-request-id", "a b=c"),))
        await stub.unary_unary(b"x", metadata=(("x-request-id", "9" * 65),))
    assert all(request_id is not None and len(request_id) == 32 for request_id in seen)
    assert len(set(seen)) == 2


async def test_a_message_of_the_largest_size_passes_and_a_larger_one_does_not() -> None:
    async with echoing(Echo()) as stub:
        assert len(await stub.unary_unary(bytes(MAX_MESSAGE_BYTES))) == MAX_MESSAGE_BYTES
        with pytest.raises(e.ServiceUnavailable, match="RESOURCE_EXHAUSTED"):
            await stub.unary_unary(bytes(MAX_MESSAGE_BYTES + 1))


async def test_a_plain_status_of_another_server_is_service_unavailable() -> None:
    async def refuse(_message: bytes, context: Any) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")

    async with echoing(Echo(refuse)) as stub:
        with pytest.raises(e.ServiceUnavailable, match="UNIMPLEMENTED: not here"):
            await stub.unary_unary(b"x")


async def test_a_forged_error_detail_is_service_unavailable() -> None:
    forged = ErrorDetail(type="NoSuchJob", kind="not_found", facts_json='{"job_id": "seven"}').SerializeToString()

    async def forge(_message: bytes, context: Any) -> None:
        await context.abort(grpc.StatusCode.NOT_FOUND, "no", ((DETAIL_KEY, forged),))

    async with echoing(Echo(forge)) as stub:
        with pytest.raises(e.ServiceUnavailable):
            await stub.unary_unary(b"x")


async def test_the_longest_error_detail_fits_into_the_metadata() -> None:
    async with echoing(Echo(raising(e.ApprovalRefused("ü" * 5000, "x" * 5000)))) as stub:
        with pytest.raises(e.ApprovalRefused) as raised:
            await stub.unary_unary(b"x")
    assert raised.value.provider.startswith("üüü")
    assert len(detail_of(raised.value)) > 2000


async def test_a_refused_connection_is_service_unavailable_and_a_restarted_neighbour_is_found_again() -> None:
    async with serving("127.0.0.1:0", [Serving(add_echo, Echo(), NAME)], grace_s=0) as bound:
        pass
    async with dial(bound, timeout_s=10) as channel:
        stub = Stub(channel)
        with pytest.raises(e.ServiceUnavailable, match="UNAVAILABLE"):
            await stub.unary_unary(b"x")
        async with serving(bound, [Serving(add_echo, Echo(), NAME)]):
            assert await stub.unary_unary(b"x", timeout=3, wait_for_ready=True) == b"x"


async def test_foreign_channels_are_translated_by_hand() -> None:
    async with (
        serving("127.0.0.1:0", [Serving(add_echo, Echo(raising(e.NoSuchJob(7))), NAME)]) as bound,
        grpc.aio.insecure_channel(bound) as channel,
    ):
        stub = Stub(channel)
        with pytest.raises(e.NoSuchJob), translating("echo", bound):
            await stub.unary_unary(b"x")
        with pytest.raises(e.NoSuchJob):
            async with translating("echo", bound):
                await stub.unary_unary(b"x")
        with pytest.raises(e.NoSuchJob):
            await all_of(translated(stub.unary_stream(b"x"), "echo", bound))


async def test_health_and_reflection_tell_of_the_services() -> None:
    async with (
        serving("127.0.0.1:0", [Serving(add_echo, Echo(), NAME)]) as bound,
        dial(bound, timeout_s=10) as channel,
    ):
        checks = health_pb2_grpc.HealthStub(channel)
        answer = await checks.Check(health_pb2.HealthCheckRequest(service=NAME))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        listing = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=10
        )
        names = [service.name async for page in listing for service in page.list_services_response.service]
    assert NAME in names


async def test_stopping_lets_a_call_in_flight_end() -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        entered.set()
        await go_on.wait()

    async with AsyncExitStack() as stack, AsyncExitStack() as server:
        service = serving("127.0.0.1:0", [Serving(add_echo, Echo(lambda *_: hold()), NAME)], grace_s=10)
        bound = await server.enter_async_context(service)
        stub = Stub(await stack.enter_async_context(dial(bound, timeout_s=10)))
        calling = asyncio.create_task(answers(stub, "unary_unary"))
        await asyncio.wait_for(entered.wait(), 10)
        stopping = asyncio.create_task(server.aclose())
        with pytest.raises(e.ServiceUnavailable):
            await write_on(stub.stream_stream(timeout=10))  # it has begun to stop: no new calls
        go_on.set()
        assert await calling == [b"x"]
        await stopping


async def test_closing_the_channel_under_a_call_is_service_unavailable_not_a_cancellation() -> None:
    entered = asyncio.Event()

    async def hold() -> None:
        entered.set()
        await asyncio.Event().wait()

    async with echoing(Echo(lambda *_: hold()), grace_s=0) as stub:
        calling = asyncio.create_task(answers(stub, "unary_unary"))
        await asyncio.wait_for(entered.wait(), 10)
    with pytest.raises(e.ServiceUnavailable, match="closed on this side"):
        await calling


async def test_a_call_cancelled_by_its_maker_is_cancelled() -> None:
    async with echoing(Echo(lambda *_: asyncio.Event().wait()), grace_s=0) as stub:
        call = stub.unary_unary(b"x")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


@pytest.mark.parametrize("messages", [1, 2, 3, 5, 9, 17, 33])
async def test_a_refusal_in_the_middle_of_an_upload_is_never_lost(messages: int) -> None:
    def refuse_late(_message: bytes, _context: Any) -> None:
        if len(echo.received) % messages == 0:
            raise e.StoreFull("disk")

    echo = Echo(refuse_late)
    endless = [bytes(256 * 1024)] * 1000
    async with echoing(echo) as stub:
        for _ in range(5):
            echo.received.clear()
            with pytest.raises(e.StoreFull):
                await stub.stream_unary(each(*endless), timeout=10)
            echo.received.clear()
            with pytest.raises(e.StoreFull):
                await all_of(stub.stream_stream(each(*endless), timeout=10))


async def test_stopping_cancels_a_call_that_outlasts_its_grace() -> None:
    entered = asyncio.Event()

    async def hold() -> None:
        entered.set()
        await asyncio.Event().wait()

    echo = Echo(lambda *_: hold())
    async with AsyncExitStack() as stack, AsyncExitStack() as server:
        service = serving("127.0.0.1:0", [Serving(add_echo, echo, NAME)], grace_s=0.05)
        bound = await server.enter_async_context(service)
        channel = await stack.enter_async_context(dial(bound, timeout_s=10))
        calling = asyncio.create_task(answers(Stub(channel), "unary_unary"))
        await asyncio.wait_for(entered.wait(), 10)
        await server.aclose()
        with pytest.raises(e.ServiceUnavailable):
            await calling
        assert echo.closed.is_set()


@pytest.mark.parametrize("shape", SHAPES)
async def test_an_answer_that_cannot_be_parsed_is_service_unavailable(shape: str) -> None:
    async with (
        serving("127.0.0.1:0", [Serving(add_echo, Echo(), NAME)], grace_s=1) as bound,
        dial(bound, timeout_s=10) as channel,
    ):
        method: Any = getattr(channel, shape)(f"/{NAME}/{shape}", response_deserializer=ErrorDetail.FromString)
        garbage = b"\xff"
        call = method(each(garbage) if shape.startswith("stream") else garbage, timeout=10)
        with pytest.raises(e.ServiceUnavailable, match="cannot be parsed"):
            await (call if shape.endswith("unary") else call.read())
        call.cancel()
