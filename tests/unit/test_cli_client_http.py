"""The S3 client against a server that says what it was told to say."""

import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from cli.client_http import Credentials, S3Client, s3_client, save
from cli.errors import NotReached, RequestRefused, WrongBytes

KEYS = Credentials("AKID", "very-secret-key")
PAYLOAD = bytes(range(256)) * 9000  # more than two chunks
SHA256 = base64.b64encode(hashlib.sha256(PAYLOAD).digest()).decode()
ERROR = b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Message>No such object.</Message></Error>"

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@asynccontextmanager
async def client_of(answer: Answer) -> AsyncIterator[S3Client]:
    server = web.Server(answer)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with s3_client(f"http://127.0.0.1:{port}", KEYS) as client:
            yield client
    finally:
        await runner.cleanup()


async def test_a_file_travels_whole_with_a_signed_digest_and_its_length(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(PAYLOAD)
    seen: dict[str, str] = {}
    bodies: list[bytes] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        seen.update({name.lower(): value for name, value in request.headers.items()}, path=request.raw_path)
        bodies.append(await request.content.read())
        return web.Response(headers={"ETag": '"abc-1"'})

    told: list[int] = []
    async with client_of(answer) as client:
        assert await client.put("photos", "a b/ü+.jpg", path, told.append) == "abc-1"
    assert bodies == [PAYLOAD]
    assert seen["content-length"] == str(len(PAYLOAD))
    assert seen["x-amz-checksum-sha256"] == SHA256
    assert "x-amz-checksum-sha256" in seen["authorization"]
    assert seen["content-type"] == "image/jpeg"
    assert seen["path"] == "/photos/a%20b/%C3%BC%2B.jpg"
    assert sum(told) == len(PAYLOAD)


async def test_bytes_that_differ_from_their_recorded_digest_never_become_a_file(tmp_path: Path) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=b"X" + PAYLOAD[1:], headers={"x-amz-checksum-sha256": SHA256})

    async with client_of(answer) as client:
        with pytest.raises(WrongBytes):
            async with client.get("photos", "a") as (_, chunks):
                await save(chunks, tmp_path / "a", lambda _: None)
    assert files_in(tmp_path) == []


async def test_a_connection_that_breaks_in_the_middle_never_becomes_a_file(tmp_path: Path) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(PAYLOAD))})
        await response.prepare(request)
        await response.write(PAYLOAD[:1000])
        assert request.transport is not None
        request.transport.close()
        return response

    async with client_of(answer) as client:
        with pytest.raises(NotReached):
            async with client.get("photos", "a") as (_, chunks):
                await save(chunks, tmp_path / "a", lambda _: None)
    assert files_in(tmp_path) == []


async def test_an_object_is_saved_and_described(tmp_path: Path) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        assert request.headers["x-amz-checksum-mode"] == "ENABLED"
        return web.Response(body=PAYLOAD, headers={"x-amz-checksum-sha256": SHA256, "x-sp-object-status": "SEALED"})

    async with client_of(answer) as client, client.get("photos", "a") as (stored, chunks):
        await save(chunks, tmp_path / "a", lambda _: None)
    assert (tmp_path / "a").read_bytes() == PAYLOAD
    assert (stored.status, stored.size) == ("SEALED", len(PAYLOAD))


async def test_a_refusal_brings_the_gateways_own_words() -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=404, body=ERROR, content_type="application/xml")

    async with client_of(answer) as client:
        with pytest.raises(RequestRefused) as refused:
            await client.delete("photos", "a")
    assert (refused.value.status, refused.value.code) == (404, "NoSuchKey")


async def test_a_refusal_without_a_body_still_has_its_status() -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=403)

    async with client_of(answer) as client:
        with pytest.raises(RequestRefused) as refused:
            await client.head("photos", "a")
    assert refused.value.status == 403


async def test_a_listing_is_read_with_its_continuation() -> None:
    listing = (
        b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>photos</Name>'
        b"<NextContinuationToken>t+/=</NextContinuationToken>"
        b"<Contents><Key>a&amp;b</Key><Size>3</Size><LastModified>2024</LastModified></Contents>"
        b"<CommonPrefixes><Prefix>c/</Prefix></CommonPrefixes></ListBucketResult>"
    )
    queries: list[str] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        queries.append(request.rel_url.raw_query_string)
        return web.Response(body=listing, content_type="application/xml")

    async with client_of(answer) as client:
        page = await client.page("photos", "a b", "/", None)
        await client.page("photos", "", "", page.next_token)
    assert [(o.name, o.size) for o in page.objects] == [("a&b", 3)]
    assert page.prefixes == ("c/",)
    assert queries == ["delimiter=%2F&list-type=2&prefix=a%20b", "continuation-token=t%2B%2F%3D&list-type=2"]
