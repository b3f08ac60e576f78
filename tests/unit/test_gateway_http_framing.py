"""Framed bodies and presigned URLs over real sockets: what is stored is the payload, or nothing."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import boto3
import pytest
from botocore.config import Config
from yarl import URL

from tests.framing import (
    CHECKSUMS,
    FRAMINGS,
    MINIO_GO,
    PLAIN,
    SIGNED,
    SIGNED_TRAILER,
    UNSIGNED_TRAILER,
    Credential,
    Style,
    checksum,
    cut,
    streaming_put,
)
from tests.unit.gateway_site import MIB, Reply, Site, anonymous, greenfield, site_with, until
from tests.unit.gateway_world import ACCESS_KEY, SECRET_KEY

pytestmark = pytest.mark.slow

CREDENTIAL = Credential(ACCESS_KEY, SECRET_KEY)
PAYLOAD = bytes(range(256)) * 300 + b"tail"


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with site_with() as made:
        yield made


def head_and_body(
    site: Site,
    framing: str,
    payload: bytes = PAYLOAD,
    *more: tuple[str, str],
    algorithm: str = "",
    outer: bool = False,
    style: Style = PLAIN,
) -> tuple[bytes, bytes]:
    """The bytes of a request. outer: in Transfer-Encoding: chunked, cut elsewhere than inside"""
    headers, body = streaming_put(
        CREDENTIAL, site.address, "/photos/k", cut(payload, [40_000, 1, 8192]), framing, int(time.time()),
        algorithm=algorithm, more=more, style=style,
    )  # fmt: skip
    length = ("transfer-encoding", "chunked") if outer else ("content-length", str(len(body)))
    lines = "".join(f"{name}: {value}\r\n" for name, value in (("Host", site.address), *headers, length))
    if outer:
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in cut(body, [3, 10_000, 77])) + b"0\r\n\r\n"
    return f"PUT /photos/k HTTP/1.1\r\n{lines}\r\n".encode(), body


async def sent(site: Site, raw: tuple[bytes, bytes]) -> Reply:
    async with site.connection() as connection:
        await connection.send(raw[0] + raw[1])
        return await connection.reply()


def nothing_stored(site: Site, reply: Reply, status: int, code: str) -> None:
    assert (reply.status, reply.code) == (status, code)
    assert site.world.store.held == {}


ALL = [(SIGNED, ""), *((name, algorithm) for name in (SIGNED_TRAILER, UNSIGNED_TRAILER) for algorithm in CHECKSUMS)]


@pytest.mark.parametrize("outer", [False, True], ids=["content-length", "chunked"])
@pytest.mark.parametrize("style", [PLAIN, MINIO_GO], ids=["plain", "minio-go"])
@pytest.mark.parametrize(("framing", "algorithm"), ALL)
async def test_the_payload_of_every_framing_is_stored(
    site: Site, framing: str, algorithm: str, style: Style, outer: bool
) -> None:
    raw = head_and_body(site, framing, algorithm=algorithm, outer=outer, style=style)
    stored = await sent(site, raw)
    assert stored.status == 200
    read = await site.ask("GET", "/photos/k", b"", ("x-amz-checksum-mode", "ENABLED"))
    assert read.body == PAYLOAD
    assert "content-encoding" not in read.headers
    for reply in (stored, read) if algorithm else ():
        assert reply[f"x-amz-checksum-{algorithm}"] == checksum(algorithm, PAYLOAD)
        assert reply["x-amz-checksum-type"] == "FULL_OBJECT"
    assert site.world.store.orders[0].payload_size == len(PAYLOAD)


@pytest.mark.parametrize("algorithm", CHECKSUMS)
async def test_a_checksum_in_a_header_is_kept_and_shown_where_asked(site: Site, algorithm: str) -> None:
    sent_header = (f"x-amz-checksum-{algorithm}", checksum(algorithm, PAYLOAD))
    naming = ("x-amz-sdk-checksum-algorithm", algorithm.upper())
    stored = await site.ask("PUT", "/photos/k", PAYLOAD, sent_header, naming)
    assert (stored[sent_header[0]], stored["x-amz-checksum-type"]) == (sent_header[1], "FULL_OBJECT")
    for method in ("GET", "HEAD"):
        shown = await site.ask(method, "/photos/k", b"", ("x-amz-checksum-mode", "ENABLED"))
        assert (shown[sent_header[0]], shown["x-amz-checksum-type"]) == (sent_header[1], "FULL_OBJECT")
        silent = await site.ask(method, "/photos/k")
        assert not [name for name in silent.headers if name.startswith("x-amz-checksum-")]
    part = await site.ask("GET", "/photos/k", b"", ("x-amz-checksum-mode", "ENABLED"), ("Range", "bytes=0-9"))
    assert (part.status, sent_header[0] in part.headers) == (206, False)
    other = (sent_header[0], checksum(algorithm, b"other"))
    refused = await site.ask("PUT", "/photos/k", PAYLOAD, other)
    assert (refused.status, refused.code) == (400, "BadDigest")
    assert (await site.ask("GET", "/photos/k")).body == PAYLOAD


async def test_an_encoding_beside_the_framing_is_kept(site: Site) -> None:
    raw = head_and_body(site, UNSIGNED_TRAILER, PAYLOAD, ("content-encoding", "aws-chunked,gzip"), algorithm="crc32")
    assert (await sent(site, raw)).status == 200
    assert (await site.ask("GET", "/photos/k"))["content-encoding"] == "gzip"


async def test_a_large_framed_body_is_stored_whole(site: Site) -> None:
    payload = PAYLOAD * (6 * MIB // len(PAYLOAD))
    assert (await sent(site, head_and_body(site, SIGNED, payload, outer=True))).status == 200
    assert (await site.ask("GET", "/photos/k")).body == payload


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_an_empty_framed_body_is_an_empty_object(site: Site, framing: str) -> None:
    raw = head_and_body(site, framing, b"", algorithm="" if framing == SIGNED else "crc32")
    assert (await sent(site, raw)).status == 200
    assert (await site.ask("GET", "/photos/k")).body == b""


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_a_waiting_client_with_a_framed_body_is_told_to_go_on(site: Site, framing: str) -> None:
    algorithm = "" if framing == SIGNED else "crc32"
    head, body = head_and_body(site, framing, PAYLOAD, ("expect", "100-continue"), algorithm=algorithm)
    async with site.connection() as connection:
        await connection.send(head)
        assert (await connection.reply()).status == 100
        await connection.send(body)
        assert (await connection.reply()).status == 200
    assert (await site.ask("GET", "/photos/k")).body == PAYLOAD


@pytest.mark.parametrize(("framing", "code"), [(SIGNED, "SignatureDoesNotMatch"), (UNSIGNED_TRAILER, "BadDigest")])
async def test_a_changed_byte_of_the_payload_is_refused(site: Site, framing: str, code: str) -> None:
    head, body = head_and_body(site, framing, algorithm="" if framing == SIGNED else "crc64nvme")
    at = len(body) // 2
    reply = await sent(site, (head, body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]))
    nothing_stored(site, reply, 403 if framing == SIGNED else 400, code)


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("missing", [1, 2, 5, 100, 30_000])
async def test_a_framed_body_that_is_too_short_is_incomplete(site: Site, framing: str, missing: int) -> None:
    head, body = head_and_body(site, framing, algorithm="" if framing == SIGNED else "crc32")
    length = str(len(body)).encode()
    head = head.replace(b"content-length: " + length, b"content-length: %d" % (len(body) - missing))
    nothing_stored(site, await sent(site, (head, body[:-missing])), 400, "IncompleteBody")


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_bytes_after_a_framed_body_are_refused(site: Site, framing: str) -> None:
    head, body = head_and_body(site, framing, algorithm="" if framing == SIGNED else "crc32")
    head = head.replace(b"content-length: %d" % len(body), b"content-length: %d" % (len(body) + 3))
    nothing_stored(site, await sent(site, (head, body + b"0\r\n")), 400, "InvalidRequest")


async def test_a_trailer_that_was_not_announced_is_refused(site: Site) -> None:
    head, body = head_and_body(site, UNSIGNED_TRAILER, algorithm="")
    body = body[:-2] + b"x-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    head = head.replace(b"content-length: %d" % (len(body) - 31), b"content-length: %d" % len(body))
    nothing_stored(site, await sent(site, (head, body)), 400, "MalformedTrailerError")


async def test_a_size_that_is_more_than_was_said_ends_at_once(site: Site) -> None:
    """The refusal comes though the client goes on sending for ever."""
    head, _ = head_and_body(site, UNSIGNED_TRAILER, b"hello", algorithm="crc32", outer=True)
    async with site.connection() as connection:
        await connection.send(head + b"12\r\n7fffffff\r\nxxxxxxxx\r\n")
        nothing_stored(site, await connection.reply(), 400, "IncompleteBody")


async def test_a_line_without_an_end_is_refused_at_once(site: Site) -> None:
    head, _ = head_and_body(site, UNSIGNED_TRAILER, b"hello", algorithm="crc32", outer=True)
    async with site.connection() as connection:
        await connection.send(head + b"400\r\n" + b"5;" + b"x" * 1022 + b"\r\n")
        nothing_stored(site, await connection.reply(), 400, "InvalidRequest")


async def test_a_framed_body_that_drips_is_given_up() -> None:
    async with site_with(body_progress_s=0.5, linger_s=0.1) as site, site.connection() as connection:
        head, body = head_and_body(site, UNSIGNED_TRAILER, algorithm="crc32", outer=True)
        await connection.send(head + body[:9])
        await until(lambda: site.world.store.orders)
        nothing_stored(site, await connection.reply(), 400, "RequestTimeout")
        assert await connection.closed()


@pytest.mark.parametrize("sign", [greenfield, anonymous], ids=["greenfield", "anonymous"])
async def test_signed_chunks_need_a_signature_of_version_4(site: Site, sign: Any) -> None:
    more = (("x-amz-content-sha256", SIGNED), ("x-amz-decoded-content-length", "5"))
    reply = await site.ask("PUT", "/photos/k", b"5;chunk-signature=00\r\nhello\r\n", *more, sign=sign)
    assert reply.status >= 400
    assert site.world.store.held == {}


# --- presigned URLs, as clients give them out


def s3(site: Site, version: str) -> Any:
    """boto3 as it comes (which presigns with Version 2 here), or told to use Version 4."""
    return boto3.session.Session().client(
        "s3",
        endpoint_url=f"http://{site.address}",
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(signature_version=version or None, s3={"addressing_style": "path"}, proxies={}),
    )


async def presigned_url(site: Site, version: str, operation: str, expires_s: int = 60, **given: Any) -> str:
    client = s3(site, version)
    given = {"Bucket": "photos", "Key": "a b+c/%20.txt", **given}
    given = {name: value for name, value in given.items() if value is not None}
    try:
        url: str = await asyncio.to_thread(client.generate_presigned_url, operation, Params=given, ExpiresIn=expires_s)
        return url
    finally:
        client.close()


async def fetched(method: str, url: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes, Any]:
    sent_body = None if body is None else io.BytesIO(body)
    async with (
        aiohttp.ClientSession(skip_auto_headers=["content-type"]) as session,
        session.request(method, URL(url, encoded=True), data=sent_body, headers=headers) as reply,
    ):
        return reply.status, await reply.read(), reply.headers


VERSIONS = pytest.mark.parametrize(("version", "mark"), [("", "AWSAccessKeyId="), ("s3v4", "X-Amz-Signature=")])


@VERSIONS
async def test_a_presigned_put_and_get_carry_an_object(site: Site, version: str, mark: str) -> None:
    put = await presigned_url(site, version, "put_object", ContentType="text/plain", Metadata={"colour": "red"})
    assert mark in put
    headers = {"Content-Type": "text/plain", "x-amz-meta-colour": "red"}
    assert (await fetched("PUT", put, PAYLOAD, **headers))[0] == 200
    get = await presigned_url(
        site, version, "get_object", ResponseContentType="text/x-other", ResponseContentDisposition='attachment; a="b"'
    )
    status, body, answered = await fetched("GET", get)
    assert (status, body) == (200, PAYLOAD)
    assert (answered["Content-Type"], answered["Content-Disposition"]) == ("text/x-other", 'attachment; a="b"')
    assert answered["x-amz-meta-colour"] == "red"
    assert (await fetched("GET", get.replace("text%2Fx-other", "text%2Fhtml")))[0] == 403
    assert (await fetched("DELETE", await presigned_url(site, version, "get_object")))[0] == 403
    assert (await fetched("HEAD", await presigned_url(site, version, "head_object")))[0] == 200
    status, listing, _ = await fetched(
        "GET", await presigned_url(site, version, "list_objects_v2", Key=None, Prefix="a")
    )
    assert (status, listing.count(b"<Key>")) == (200, 1)
    assert (await fetched("DELETE", await presigned_url(site, version, "delete_object")))[0] == 204


@VERSIONS
async def test_a_presigned_put_needs_the_headers_it_was_presigned_with(site: Site, version: str, mark: str) -> None:
    put = await presigned_url(site, version, "put_object", ContentType="text/plain")
    status, body, _ = await fetched("PUT", put, b"hello", **{"Content-Type": "text/html"})
    assert (status, b"SignatureDoesNotMatch" in body) == (403, True)
    assert site.world.store.held == {}


@VERSIONS
async def test_an_expired_url_says_so(site: Site, version: str, mark: str) -> None:
    url = await presigned_url(site, version, "get_object", expires_s=-5 if version == "" else 1)
    if version:
        url = url.replace("X-Amz-Expires=1&", "X-Amz-Expires=0&")
    status, body, _ = await fetched("GET", url)
    assert status == 403
    assert b"<Code>AccessDenied</Code>" in body


async def test_a_stolen_url_is_good_for_nothing_else(site: Site) -> None:
    await site.ask("PUT", "/photos/other", b"secret")
    for version in ("", "s3v4"):
        get = await presigned_url(site, version, "get_object", Key="mine")
        status, body, _ = await fetched("GET", get.replace("/mine", "/other"))
        assert (status, b"secret" in body) == (403, False)
        assert (await fetched("PUT", get, b"x"))[0] == 403


async def test_the_body_of_a_presigned_put_is_checked_where_it_promises_something(site: Site) -> None:
    crc = checksum("crc32", b"hello")
    for version in ("", "s3v4"):
        put = await presigned_url(site, version, "put_object", ChecksumCRC32=crc)
        headers = {"x-amz-checksum-crc32": crc}
        status, body, _ = await fetched("PUT", put, b"other", **headers)
        assert (status, b"BadDigest" in body) == (400, True)
        assert (await fetched("PUT", put, b"hello", **headers))[0] == 200
