"""Bodies over real sockets: those that are not what they were said to be, and those that nobody reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.request import RequestHead
from gateway.sign import sign_sigv4
from sp.domain.errors import IntegrityMismatch
from tests.unit.gateway_site import MIB, Reply, Site, anonymous, greenfield, signed, site_with, until
from tests.unit.gateway_world import ACCESS_KEY, SECRET_KEY


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with site_with() as made:
        yield made


# --- bodies that are not what they were said to be


async def nothing_stored(site: Site, reply: Reply, status: int, code: str) -> None:
    assert (reply.status, reply.code) == (status, code)
    assert site.world.store.held == {}


@pytest.mark.parametrize("size", [5, 3 * MIB])
async def test_a_body_other_than_the_signed_one_is_refused(site: Site, size: int) -> None:
    reply = await site.ask("PUT", "/photos/k", b"x" * size, sign=signed(b"y" * size))
    await nothing_stored(site, reply, 400, "XAmzContentSHA256Mismatch")


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("Content-MD5", "XrY7u+Ae7tCTyyK7j1rNww==", "BadDigest"),
        ("Content-MD5", "not base64", "InvalidDigest"),
        ("x-amz-checksum-crc32", "AAAAAA==", "BadDigest"),
        ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=", "BadDigest"),
        ("x-amz-checksum-sha256", "AAAA", "InvalidRequest"),
    ],
)
async def test_a_body_without_its_digest_is_refused(site: Site, header: str, value: str, code: str) -> None:
    reply = await site.ask("PUT", "/photos/k", b"hello", (header, value))
    await nothing_stored(site, reply, 400, code)


@pytest.mark.parametrize(
    "more",
    [
        (("x-amz-decoded-content-length", "5"),),
        (("x-amz-checksum-md5", "AAAAAAAAAAA="),),
    ],
)
async def test_what_would_be_stored_wrong_is_not_stored(site: Site, more: tuple[tuple[str, str], ...]) -> None:
    await nothing_stored(site, await site.ask("PUT", "/photos/k", b"hello", *more), 501, "NotImplemented")


async def test_a_streaming_signature_is_refused_before_its_framing_is_stored(site: Site) -> None:
    def streaming(head: RequestHead) -> list[tuple[str, str]]:
        return [
            (name, "STREAMING-UNSIGNED-PAYLOAD-TRAILER" if name == "x-amz-content-sha256" else value)
            for name, value in sign_sigv4(head, ACCESS_KEY, SECRET_KEY, int(time.time()))
        ]

    reply = await site.ask("PUT", "/photos/k", b"5\r\nhello\r\n0\r\n\r\n", sign=streaming)
    assert reply.status in (403, 501)
    anyway = await site.ask(
        "PUT", "/photos/k", b"x", ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), sign=greenfield
    )
    assert anyway.status >= 400
    assert site.world.store.held == {}


async def test_a_client_that_goes_away_leaves_nothing(site: Site) -> None:
    async with site.connection() as connection:
        length = ("Content-Length", str(4 * MIB))
        await connection.send(connection.head("PUT", "/photos/k", length, sign=signed(None)) + bytes(2 * MIB))
        await until(lambda: site.world.store.orders)
    assert (await site.ask("GET", "/photos/k")).status == 404


async def test_a_chunked_body_is_stored_without_its_framing(site: Site) -> None:
    async with site.connection() as connection:
        head = connection.head("PUT", "/photos/k", ("Transfer-Encoding", "chunked"), sign=signed(b"hello world"))
        await connection.send(head + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
        assert (await connection.reply()).status == 200
    assert (await site.ask("GET", "/photos/k")).body == b"hello world"


@pytest.mark.parametrize("broken", [b"zz\r\n", b"5\r\nhello!!\r\n", b"-5\r\n", b"\r\n"])
async def test_a_broken_chunked_body_is_noticed_at_once(
    site: Site, broken: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with site.connection() as connection:
        head = connection.head("PUT", "/photos/k", ("Transfer-Encoding", "chunked"), sign=signed(None))
        await connection.send(head + b"5\r\nhello\r\n")
        await until(lambda: site.world.store.orders)
        await connection.send(broken)
        await nothing_stored(site, await connection.reply(), 400, "InvalidRequest")
        assert await connection.closed()
    assert caplog.records == [], "no trace in the log for what strangers send"


async def test_a_chunked_body_that_is_broken_from_the_start_is_not_waited_for(site: Site) -> None:
    async with site.connection() as connection:
        head = connection.head("PUT", "/photos/k", ("Transfer-Encoding", "chunked"), sign=signed(None))
        await connection.send(head + b"zz\r\n")
        await nothing_stored(site, await connection.reply(), 400, "BadRequest")
        assert await connection.closed()


@pytest.mark.parametrize("raw", [b"NONSENSE\r\n\r\n", "GET /photos/你 HTTP/1.1\r\nHost: x\r\n\r\n".encode()])
async def test_what_is_no_http_is_a_bad_request(site: Site, raw: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with site.connection() as connection:
        await connection.send(raw)
        refused = await connection.reply()
        assert (refused.status, refused.code) == (400, "BadRequest")
        assert await connection.closed()
    assert caplog.records == [], "no trace in the log for what strangers send"


async def test_a_put_must_say_how_long_it_is(site: Site) -> None:
    async with site.connection() as connection:
        await connection.send(connection.head("PUT", "/photos/k", sign=signed()))
        await nothing_stored(site, await connection.reply(), 411, "MissingContentLength")


async def test_a_body_that_does_not_come_is_given_up() -> None:
    async with site_with(body_progress_s=0.2) as site, site.connection() as connection:
        head = connection.head("PUT", "/photos/k", ("Content-Length", "100"), sign=signed(None))
        await connection.send(head + b"only this")
        await nothing_stored(site, await connection.reply(), 400, "RequestTimeout")


async def test_a_body_that_trickles_is_given_up() -> None:
    async with site_with(body_progress_s=0.3, body_progress_bytes=1000) as site, site.connection() as connection:
        head = connection.head("PUT", "/photos/k", ("Content-Length", "100000"), sign=signed(None))
        await connection.send(head)
        replied = asyncio.create_task(connection.reply())
        sent = 0
        while not replied.done() and sent < 1000:
            await connection.send(b"x")
            sent += 1
            await asyncio.wait([replied], timeout=0.01)
        await nothing_stored(site, await replied, 400, "RequestTimeout")


async def test_what_the_store_refuses_is_refused(site: Site) -> None:
    site.world.store.refuse = IntegrityMismatch(-1, "a", "b")
    await nothing_stored(site, await site.ask("PUT", "/photos/k", b"hello"), 400, "BadDigest")


# --- 100 Continue, and bodies that nobody reads


async def test_a_waiting_client_is_told_to_go_on_once_it_may(site: Site) -> None:
    async with site.connection() as connection:
        expect = (("Content-Length", "5"), ("Expect", "100-continue"))
        for _ in range(2):
            await connection.send(connection.head("PUT", "/photos/k", *expect, sign=signed(b"hello")))
            assert (await connection.reply()).status == 100
            await connection.send(b"hello")
            assert (await connection.reply()).status == 200
    assert (await site.ask("GET", "/photos/k")).body == b"hello"


@pytest.mark.parametrize(
    ("target", "sign", "code"),
    [
        ("/nowhere/k", signed(b"hello"), "NoSuchBucket"),
        ("/photos/k", anonymous, "AccessDenied"),
        ("/photos/k?torrent", signed(b"hello"), "NotImplemented"),
        ("/photos/" + "x" * 1025, signed(b"hello"), "KeyTooLongError"),
    ],
)
async def test_a_waiting_client_hears_a_refusal_instead(site: Site, target: str, sign: Any, code: str) -> None:
    async with site.connection() as connection:
        expect = (("Content-Length", "5"), ("Expect", "100-continue"))
        await connection.send(connection.head("PUT", target, *expect, sign=sign))
        refused = await connection.reply()
        assert refused.code == code
        assert refused["connection"] == "close"
        assert await connection.closed(), "its next bytes could be a body or a request"


async def test_after_a_refusal_with_a_small_body_the_connection_goes_on(site: Site) -> None:
    async with site.connection() as connection:
        for _ in range(3):
            assert (await connection.ask("PUT", "/nowhere/k", b"x" * 1000)).code == "NoSuchBucket"
        assert (await connection.ask("PUT", "/photos/k", b"x")).status == 200


async def test_a_client_that_sends_a_long_body_sees_the_refusal(site: Site) -> None:
    async with site.connection() as connection:
        payload = bytes(8 * MIB)
        length = ("Content-Length", str(len(payload)))
        await connection.send(connection.head("PUT", "/nowhere/k", length, sign=signed(None)) + payload)
        refused = await connection.reply()
        assert (refused.code, refused["connection"]) == ("NoSuchBucket", "close")
        assert await connection.closed()
