"""The gateway over real sockets, byte for byte where it matters; its neighbours are in memory."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from gateway.http_call import Call
from sp.domain.errors import Overloaded
from sp.domain.ledger import Visibility
from sp.domain.lifecycle import JobState
from tests.unit.gateway_site import MIB, Site, anonymous, greenfield, signed, site_with, until
from tests.unit.gateway_world import ELSEWHERE, USER


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with site_with() as made:
        yield made


# --- objects


@pytest.mark.parametrize("size", [0, 1, 65_535, MIB, 3 * MIB + 7])
async def test_what_was_put_is_what_is_read(site: Site, size: int) -> None:
    payload = bytes(i * 7 % 251 for i in range(1000)) * (size // 1000 + 1)
    payload = payload[:size]
    stored = await site.ask("PUT", "/photos/k", payload)
    assert stored.status == 200
    assert stored["etag"] == f'"{hashlib.md5(payload).hexdigest()}"'
    read = await site.ask("GET", "/photos/k")
    assert (read.status, read.body, read["etag"]) == (200, payload, stored["etag"])
    head = await site.ask("HEAD", "/photos/k")
    assert (head.status, head.body, head["content-length"]) == (200, b"", str(size))


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/photos/a+b", "a+b"),
        ("/photos/a%2Bb%20c", "a+b c"),
        ("/photos/a%2Fb", "a/b"),
        ("/photos/a%252Fb", "a%2Fb"),
        ("/photos//a", "/a"),
        ("/photos/a//b/", "a//b/"),
        ("/photos/../photos/x", "../photos/x"),
        ("/photos/./x/..", "./x/.."),
        ("/photos/%2e%2e%2fx", "../x"),
        ("/photos/%E4%BD%A0%F0%9F%98%80", "你😀"),
        ("/photos/a%3Fb%23c", "a?b#c"),
        ("/photos/" + "x" * 1024, "x" * 1024),
    ],
)
async def test_an_object_name_reaches_the_store_byte_for_byte(site: Site, target: str, name: str) -> None:
    assert (await site.ask("PUT", target, b"x")).status == 200
    assert list(site.world.store.held) == [("photos", name)]
    assert (await site.ask("GET", target)).body == b"x"
    assert (await site.ask("DELETE", target)).status == 204
    assert site.world.store.held == {}


async def test_a_name_of_1025_bytes_is_too_long(site: Site) -> None:
    refused = await site.ask("PUT", "/photos/" + "x" * 1025, b"x")
    assert (refused.status, refused.code) == (400, "KeyTooLongError")


async def test_headers_come_back_with_the_object(site: Site) -> None:
    sent = (
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Cache-Control", "max-age=3"),
        ("Content-Encoding", "gzip"),
        ("X-Amz-Meta-Mtime", "17.5"),
        ("X-Amz-Meta-Name", "Grüße"),
    )
    await site.ask("PUT", "/photos/k", b"not gzip at all", *sent)
    read = await site.ask("GET", "/photos/k")
    assert read.body == b"not gzip at all", "neither end looks into an encoded body"
    for name, value in sent:
        assert read[name.lower()] == value


async def test_an_object_says_whether_it_is_sealed(site: Site) -> None:
    await site.ask("PUT", "/photos/k", b"x")
    assert (await site.ask("HEAD", "/photos/k"))["x-sp-object-status"] == "CREATED"
    site.world.store.mark("photos", "k", JobState.SEAL_OBJECT_DONE)
    assert (await site.ask("HEAD", "/photos/k"))["x-sp-object-status"] == "SEALED"


async def test_a_checksum_that_was_checked_comes_back_to_those_who_ask(site: Site) -> None:
    checksum = ("x-amz-checksum-crc32", "NhCmhg==")
    stored = await site.ask("PUT", "/photos/k", b"hello", checksum)
    assert stored["x-amz-checksum-crc32"] == "NhCmhg=="
    asked = ("x-amz-checksum-mode", "ENABLED")
    assert (await site.ask("GET", "/photos/k", b"", asked))["x-amz-checksum-crc32"] == "NhCmhg=="
    assert "x-amz-checksum-crc32" not in (await site.ask("GET", "/photos/k")).headers
    part = await site.ask("GET", "/photos/k", b"", asked, ("Range", "bytes=0-1"))
    assert "x-amz-checksum-crc32" not in part.headers, "it is of the whole object"


@pytest.mark.parametrize(
    ("sent", "status", "content_range", "body"),
    [
        ("bytes=0-0", 206, "bytes 0-0/10", b"0"),
        ("bytes=2-4", 206, "bytes 2-4/10", b"234"),
        ("bytes=7-", 206, "bytes 7-9/10", b"789"),
        ("bytes=-2", 206, "bytes 8-9/10", b"89"),
        ("bytes=0-99", 206, "bytes 0-9/10", b"0123456789"),
        ("bytes=0-1,4-5", 200, None, b"0123456789"),
        ("bytes=10-", 416, "bytes */10", None),
    ],
)
async def test_ranges(site: Site, sent: str, status: int, content_range: str | None, body: bytes | None) -> None:
    await site.ask("PUT", "/photos/k", b"0123456789")
    read = await site.ask("GET", "/photos/k", b"", ("Range", sent))
    assert (read.status, read.headers.get("content-range")) == (status, content_range)
    assert read.code == "InvalidRange" if body is None else read.body == body


async def test_a_range_across_chunks_is_exact(site: Site) -> None:
    payload = bytes(range(256)) * 16384
    await site.ask("PUT", "/photos/k", payload)
    read = await site.ask("GET", "/photos/k", b"", ("Range", "bytes=1000000-3145729"))
    assert read.body == payload[1000000:3145730]


async def test_conditions_are_answered_without_a_body(site: Site) -> None:
    etag = (await site.ask("PUT", "/photos/k", b"x"))["etag"]
    unchanged = await site.ask("GET", "/photos/k", b"", ("If-None-Match", etag))
    assert (unchanged.status, unchanged.body, unchanged["etag"]) == (304, b"", etag)
    failed = await site.ask("GET", "/photos/k", b"", ("If-Match", '"other"'))
    assert (failed.status, failed.code) == (412, "PreconditionFailed")


async def test_response_headers_can_be_replaced_in_signed_requests_only(site: Site) -> None:
    site.world.bucket("public", visibility=Visibility.PUBLIC_READ)
    await site.ask("PUT", "/public/k", b"x", ("x-amz-acl", "public-read"))
    target = "/public/k?response-content-type=text%2Fhtml&response-content-disposition=attachment"
    read = await site.ask("GET", target)
    assert (read["content-type"], read["content-disposition"]) == ("text/html", "attachment")
    assert (await site.ask("GET", target, sign=anonymous)).code == "InvalidRequest"
    injected = await site.ask("GET", "/public/k?response-content-type=a%0D%0Ax:y")
    assert (injected.status, injected.code) == (400, "InvalidArgument")


async def test_the_host_may_name_the_bucket() -> None:
    async with site_with(domain_name="sp.test") as site, site.connection() as connection:
        connection.address = "photos.sp.test:9033"
        assert (await connection.ask("PUT", "/photos/k", b"x")).status == 200
        assert list(site.world.store.held) == [("photos", "photos/k")]


# --- identity


async def test_a_greenfield_client_puts_what_it_created_and_reads_its_errors(site: Site) -> None:
    site.world.bucket("mine", owner=USER)
    site.world.chain_object("mine", "k", b"hello")
    stored = await site.ask("PUT", "/mine/k", b"hello", sign=greenfield)
    assert (stored.status, stored.body) == (200, b"")
    refused = await site.ask("PUT", "/mine/absent", b"hello", sign=greenfield)
    assert (refused.status, refused.code) == (404, "50025")
    assert refused["x-gnfd-request-id"] == refused["x-amz-request-id"]
    assert b"<RequestId>" not in refused.body
    denied = await site.ask("GET", "/photos/k", sign=greenfield)
    assert (denied.status, denied.code) == (404, "50025")
    listed = await site.ask("GET", "/photos", sign=greenfield)
    assert (listed.status, listed.code) == (401, "50004")


async def test_progress_is_shown_to_greenfield_clients(site: Site) -> None:
    site.world.bucket("mine", owner=USER)
    site.world.chain_object("mine", "k", b"hello")
    waiting = await site.ask("GET", "/mine/k?upload-progress", sign=greenfield)
    assert b"<ProgressDescription>object meta is created onto the chain</ProgressDescription>" in waiting.body
    await site.ask("PUT", "/mine/k", b"hello", sign=greenfield)
    uploaded = await site.ask("GET", "/mine/k?upload-progress", sign=greenfield)
    assert b"object payload is uploading to the primary SP" in uploaded.body


@pytest.mark.parametrize(
    ("authorization", "status", "code"),
    [
        ("AWS4-HMAC-SHA256 nonsense", 400, "AuthorizationHeaderMalformed"),
        ("AWS AKIA:sig", 403, "AccessDenied"),
        ("Bearer token", 400, "InvalidRequest"),
        ("GNFD1-EDDSA,Signature=00", 400, "50008"),
        ("GNFD2-EDDSA,Signature=00", 400, "50002"),
        ("GNFD1-ECDSA, Signature=00", 400, "50002"),
    ],
)
async def test_an_authorization_that_is_not_understood(site: Site, authorization: str, status: int, code: str) -> None:
    refused = await site.ask("GET", "/photos/k", b"", ("Authorization", authorization), sign=anonymous)
    assert (refused.status, refused.code) == (status, code)


@pytest.mark.parametrize("query", ["X-Amz-Signature=0", "AWSAccessKeyId=x&Signature=y", "X-Amz-Algorithm=AWS4"])
async def test_a_presigned_url_is_not_taken_for_an_anonymous_request(site: Site, query: str) -> None:
    site.world.bucket("public", visibility=Visibility.PUBLIC_READ)
    assert (await site.ask("GET", f"/public/k?{query}", sign=anonymous)).status in (400, 501)


async def test_the_public_reads_what_is_public_and_writes_nothing(site: Site) -> None:
    site.world.bucket("public", visibility=Visibility.PUBLIC_READ)
    await site.ask("PUT", "/public/k", b"x", ("x-amz-acl", "public-read"))
    assert (await site.ask("GET", "/public/k", sign=anonymous)).body == b"x"
    assert (await site.ask("GET", "/public?list-type=2", sign=anonymous)).status == 200
    for method in ("PUT", "DELETE"):
        assert (await site.ask(method, "/public/k", sign=anonymous)).code == "AccessDenied"
    assert (await site.ask("GET", "/", sign=anonymous)).code == "AccessDenied"


# --- buckets and the rest


async def test_a_missing_configuration_is_named_as_s3_names_it(site: Site) -> None:
    for query, code in (
        ("policy", "NoSuchBucketPolicy"),
        ("cors", "NoSuchCORSConfiguration"),
        ("tagging", "NoSuchTagSet"),
    ):
        missing = await site.ask("GET", f"/photos?{query}")
        assert (missing.status, missing.code) == (404, code)
        assert (await site.ask("GET", f"/nowhere?{query}")).code == "NoSuchBucket"


async def test_a_bucket_elsewhere_is_a_redirect(site: Site) -> None:
    site.world.bucket("theirs", primary_sp=ELSEWHERE)
    moved = await site.ask("GET", "/theirs/a%20b?x=1")
    assert (moved.status, moved.code) == (307, "TemporaryRedirect")
    assert moved["location"] == "http://other/theirs/a%20b?x=1"
    assert b"<Endpoint>http://other</Endpoint>" in moved.body
    assert moved["x-amz-bucket-region"] == "us-east-1"


async def test_the_region_of_a_new_bucket_must_be_ours(site: Site) -> None:
    xml = b"<CreateBucketConfiguration><LocationConstraint>%s</LocationConstraint></CreateBucketConfiguration>"
    assert (await site.ask("PUT", "/newone", xml % b"us-east-1")).status == 200
    assert (await site.ask("PUT", "/newone", xml % b"eu-west-1")).code == "IllegalLocationConstraintException"
    assert (await site.ask("PUT", "/newone", b"<nonsense")).code == "MalformedXML"
    assert (await site.ask("PUT", "/newone", b"x" * 70_000)).code == "MaxMessageLengthExceeded"
    assert (await site.ask("PUT", "/newone", b"", sign=signed(b"other"))).code == "XAmzContentSHA256Mismatch"


async def test_an_error_of_a_head_has_no_body(site: Site) -> None:
    async with site.connection() as connection:
        missing = await connection.ask("HEAD", "/photos/absent")
        assert (missing.status, missing.body) == (404, b"")
        assert (await connection.ask("HEAD", "/photos")).status == 200


async def test_a_method_that_fits_nothing_says_what_does(site: Site) -> None:
    refused = await site.ask("PATCH", "/photos/k")
    assert (refused.status, refused.code, refused["allow"]) == (405, "MethodNotAllowed", "GET, HEAD, PUT, DELETE")


async def test_status_is_public(site: Site) -> None:
    shown = await site.ask("GET", "/status", sign=anonymous)
    assert (shown.status, shown["content-type"]) == (200, "application/json")
    assert b'"chain_height": 10' in shown.body


async def test_every_answer_has_a_request_id_of_its_own(site: Site) -> None:
    ids = [(await site.ask("GET", target))["x-amz-request-id"] for target in ("/", "/photos/absent", "/photos?acl")]
    assert len(set(ids)) == 3


# --- limits and failures


async def test_one_request_too_many_is_told_to_slow_down() -> None:
    async with site_with(max_requests=1) as site, site.connection() as first:
        length = ("Content-Length", "5")
        await first.send(first.head("PUT", "/photos/k", length, sign=signed(b"hello")))
        await until(lambda: site.world.store.orders)
        busy = await site.ask("GET", "/photos")
        assert (busy.status, busy.code, busy["retry-after"]) == (503, "SlowDown", "1")
        await first.send(b"hello")
        assert (await first.reply()).status == 200
        assert (await site.ask("GET", "/photos")).status == 200


async def test_a_download_that_fails_before_its_first_byte_is_an_error(site: Site) -> None:
    await site.ask("PUT", "/photos/k", b"x")
    site.world.store.refuse = Overloaded("reads")
    assert (await site.ask("GET", "/photos/k")).code == "SlowDown"


async def test_a_download_that_fails_midway_is_cut_not_ended(site: Site) -> None:
    await site.ask("PUT", "/photos/k", bytes(4 * MIB))
    site.world.store.cut_at = 2 * MIB
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await site.ask("GET", "/photos/k")


async def test_a_reader_that_stops_reading_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = asyncio.Event()
    cutting = Call.cut_off

    def watched(call: Call, response: Any) -> None:
        cutting(call, response)
        cut.set()

    monkeypatch.setattr(Call, "cut_off", watched)
    async with site_with(write_timeout_s=0.2) as site:
        await site.ask("PUT", "/photos/k", bytes(48 * MIB), sign=signed(None))
        async with site.connection() as connection:
            await connection.send(connection.head("GET", "/photos/k", sign=signed()))
            cast("asyncio.Transport", connection.writer.transport).pause_reading()
            await asyncio.wait_for(cut.wait(), 10)


async def test_an_unexpected_failure_is_an_internal_error_with_its_id(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("a bug, with /secret/paths in it")

    monkeypatch.setattr(site.world.store, "head", broken)
    failed = await site.ask("GET", "/photos/k")
    assert (failed.status, failed.code) == (500, "InternalError")
    assert failed["x-amz-request-id"].encode() in failed.body
    assert b"secret" not in failed.body


async def test_a_head_past_the_limit_is_refused(site: Site) -> None:
    async with site.connection() as connection:
        await connection.send(connection.head("GET", "/photos/k", ("X-Long", "x" * 20_000)))
        assert (await connection.reply()).status == 400


async def test_a_connection_that_sends_no_whole_head_is_closed() -> None:
    async with site_with(idle_timeout_s=0.2) as site, site.connection() as connection:
        await connection.send(b"GET /photos/k HTTP/1.1\r\nHost: x\r\n")
        assert await connection.closed()


async def test_small_answers_are_not_held_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nagle's algorithm with delayed acknowledgements would cost 40 ms a request."""
    sockets: list[Any] = []
    respond = Call.respond

    def watched(call: Call, *given: Any) -> Any:
        assert call.request.transport is not None
        sockets.append(call.request.transport.get_extra_info("socket"))
        assert sockets[-1].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        return respond(call, *given)

    monkeypatch.setattr(Call, "respond", watched)
    assert (await site.ask("PUT", "/photos/k", b"x")).status == 200
    assert sockets
