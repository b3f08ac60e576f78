"""Clients that are slow on purpose, or too many: over real sockets. None of them keeps a place for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY

from gateway import http
from gateway.http_body import RequestBody
from gateway.http_call import Call
from gateway.http_protocol import UNWANTED_BODY_BYTES
from sp.domain.jobs import PutOrder
from tests.unit.gateway_site import MIB, Connection, signed, site_with, until
from uploader.client import PutReceipt

LIMITS = {"linger_s": 0.05}


async def trickle(connection: Connection, byte: bytes = b"x", every_s: float = 0.01) -> None:
    """One byte after the other, until the other side has had enough."""
    while True:
        try:
            await connection.send(byte)
        except ConnectionError:
            return
        await asyncio.sleep(every_s)


async def timed(seconds_at_most: float, waiting: Any) -> Any:
    began = time.monotonic()
    result = await waiting
    assert time.monotonic() - began < seconds_at_most
    return result


# --- heads


async def test_a_head_that_trickles_is_given_up_though_bytes_keep_coming() -> None:
    async with site_with(head_timeout_s=0.3) as site, site.connection() as connection:
        await connection.send(b"GET /photos/k HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        trickling = asyncio.create_task(trickle(connection))
        refused = await timed(5, connection.reply())
        assert (refused.status, refused.code) == (400, "RequestTimeout")
        assert await connection.closed()
        trickling.cancel()


async def test_a_head_that_trickles_behind_a_request_is_given_up_too() -> None:
    async with site_with(head_timeout_s=0.3) as site, site.connection() as connection:
        assert (await connection.ask("PUT", "/photos/k", b"x")).status == 200
        await connection.send(b"GET /pho")
        assert (await timed(5, connection.reply())).code == "RequestTimeout"
        assert await connection.closed()


async def test_a_head_that_never_ends_is_not_gathered() -> None:
    async with site_with(max_header_bytes=4096) as site, site.connection() as connection:
        await connection.send(b"GET /photos/k HTTP/1.1\r\n")
        for number in range(4):
            await connection.send(b"X-%d: " % number + b"x" * 3500 + b"\r\n")
            await asyncio.sleep(0.01)
        refused = await timed(5, connection.reply())
        assert (refused.status, refused.code) == (400, "RequestHeaderSectionTooLarge")
        assert await connection.closed()


async def test_silence_between_requests_is_no_slow_head() -> None:
    async with site_with(head_timeout_s=0.1) as site, site.connection() as connection:
        assert (await connection.ask("PUT", "/photos/k", b"x")).status == 200
        await asyncio.sleep(0.3)
        assert (await connection.ask("GET", "/photos/k")).body == b"x"


async def test_a_head_in_two_halves_is_served_and_its_request_may_take_longer() -> None:
    async with site_with(head_timeout_s=0.3) as site, site.connection() as connection:
        head = connection.head("PUT", "/photos/k", ("Content-Length", "5"), sign=signed(b"hello"))
        await connection.send(head[:20])
        await asyncio.sleep(0.05)
        await connection.send(head[20:])
        await until(lambda: site.world.store.orders)
        await asyncio.sleep(0.5)
        await connection.send(b"hello")
        assert (await connection.reply()).status == 200


# --- bodies


async def test_a_body_that_makes_progress_for_ever_ends_all_the_same() -> None:
    async with site_with(body_progress_s=0.2, body_progress_bytes=1, body_total_s=0.6, **LIMITS) as site:
        async with site.connection() as connection:
            await connection.send(connection.head("PUT", "/photos/k", ("Content-Length", "100000"), sign=signed(None)))
            trickling = asyncio.create_task(trickle(connection))
            refused = await timed(10, connection.reply())
            assert (refused.status, refused.code) == (400, "RequestTimeout")
            trickling.cancel()
        assert site.world.store.held == {}


async def test_a_slow_client_gives_its_place_back() -> None:
    async with site_with(max_requests=1, body_progress_s=0.2, **LIMITS) as site, site.connection() as slow:
        await slow.send(slow.head("PUT", "/photos/k", ("Content-Length", "100"), sign=signed(None)))
        await until(lambda: site.world.store.orders)
        assert (await site.ask("GET", "/photos")).code == "SlowDown"
        assert (await slow.reply()).code == "RequestTimeout"
        assert (await site.ask("GET", "/photos")).status == 200


async def test_a_body_that_waits_for_its_turn_is_not_read_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[RequestBody] = []

    class Watched(RequestBody):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            bodies.append(self)

    monkeypatch.setattr(http, "RequestBody", Watched)
    turn = asyncio.Event()
    async with site_with() as site, site.connection() as connection:
        put = site.world.store.put

        async def waits(order: PutOrder, body: AsyncIterator[bytes], *more: Any) -> PutReceipt:
            await turn.wait()
            return await put(order, body, *more)

        monkeypatch.setattr(site.world.store, "put", waits)
        payload = bytes(16 * MIB)
        head = connection.head("PUT", "/photos/k", ("Content-Length", str(len(payload))), sign=signed(None))
        sending = asyncio.create_task(connection.send(head + payload))
        await until(lambda: bodies and bodies[0].request.protocol._reading_paused)
        buffered = bodies[0].request.content.total_bytes
        turn.set()
        await sending
        assert (await connection.reply()).status == 200
    assert UNWANTED_BODY_BYTES < buffered < MIB, "what it may hold, and what one read of the socket brings"
    assert len(site.world.store.held["photos", "k"][1]) == len(payload)


# --- connections


def metric(name: str) -> float:
    return REGISTRY.get_sample_value(name, {"limit": "connections"}) or 0.0


async def test_one_connection_too_many_takes_the_place_of_the_longest_idle_one() -> None:
    async with site_with(max_connections=2) as site, site.connection() as loris, site.connection() as kept:
        await loris.send(b"GET /photos/k HTTP/1.1\r\n")
        assert (await kept.ask("PUT", "/photos/k", b"x")).status == 200
        assert (await site.ask("GET", "/photos/k")).body == b"x"
        assert await loris.closed()
        assert (await kept.ask("GET", "/photos/k")).body == b"x"


async def test_one_connection_too_many_is_refused_while_all_are_at_work() -> None:
    before = metric("sp_limit_refused_total"), metric("sp_limit_in_use")
    async with site_with(max_connections=1) as site:
        async with site.connection() as busy:
            await busy.send(busy.head("PUT", "/photos/k", ("Content-Length", "5"), sign=signed(b"hello")))
            await until(lambda: site.world.store.orders)
            async with site.connection() as extra:
                refused = await extra.reply()
                assert (refused.status, refused.code, refused["retry-after"]) == (503, "SlowDown", "1")
                assert await extra.closed()
            await busy.send(b"hello")
            assert (await busy.reply()).status == 200
        assert (await site.ask("GET", "/photos/k")).body == b"hello"
    assert (metric("sp_limit_refused_total"), metric("sp_limit_in_use")) == (before[0] + 1, before[1])


async def test_two_hundred_slow_heads_do_not_keep_anyone_out() -> None:
    async with site_with(max_connections=50, head_timeout_s=30) as site:
        streams = [await asyncio.open_connection(*site.address.split(":")) for _ in range(200)]
        for _, writer in streams:
            writer.write(b"GET /photos/k HTTP/1.1\r\nX: ")
        try:
            for number in range(20):
                assert (await timed(5, site.ask("PUT", f"/photos/{number}", b"x"))).status == 200
            assert metric("sp_limit_in_use") <= 51
        finally:
            for _, writer in streams:
                writer.close()
            await asyncio.gather(*(writer.wait_closed() for _, writer in streams), return_exceptions=True)


# --- readers


async def test_a_reader_that_asks_for_more_than_it_takes_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each answer is too short to wait for its reader; all of them together are not kept for it."""
    cut = asyncio.Event()
    cutting = Call.cut_off

    def watched(call: Call, response: Any) -> None:
        cutting(call, response)
        cut.set()

    monkeypatch.setattr(Call, "cut_off", watched)
    asked = 1_000
    async with site_with(write_timeout_s=0.2) as site:
        assert (await site.ask("PUT", "/photos/k", bytes(32_768))).status == 200
        async with site.connection() as connection:
            cast("asyncio.Transport", connection.writer.transport).pause_reading()
            connection.writer.write(connection.head("GET", "/photos/k", sign=signed()) * asked)
            await asyncio.wait_for(cut.wait(), 30)
        assert site.world.store.reads < asked
