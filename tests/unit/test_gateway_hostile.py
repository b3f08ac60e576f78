"""What nobody sends by mistake: each of these once was, or would be, an internal error or worse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import structlog
from aiohttp.web_protocol import RequestHandler

from gateway import xml_in
from gateway.auth.sigv2 import SigV2
from gateway.auth.sigv4 import SigningKeys, SigV4
from gateway.errors import InvalidAccessKeyId, InvalidArgument, MalformedXml
from gateway.multipart_requests import completion_of
from gateway.preconditions import precondition_of
from gateway.request import RequestHead
from signer.client import Signer
from sp.domain.errors import InvalidRequest
from tests.fuzz.loopback import remote
from tests.unit.gateway_site import signed, site_with, until
from tests.unit.gateway_world import FakeChain, FakeSigner
from tests.unit.test_gateway_post import FORM, body_of, conditions, expires, form_of

NOT_UTF8 = b"AKIA\xff".decode("utf-8", "surrogateescape")
NOW_S = 1_767_225_610


@pytest.mark.parametrize(
    "bomb",
    [
        b'<!DOCTYPE a [<!ENTITY b "c">]><Delete>&b;</Delete>',
        b'<!DOCTYPE a [<!ENTITY x "0"><!ENTITY y "&x;&x;&x;&x;&x;&x;&x;&x;">]><Delete>&y;</Delete>',
        b'<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/passwd">]><Delete>&f;</Delete>',
        b'<!DOCTYPE Delete SYSTEM "http://127.0.0.1:1/a.dtd"><Delete/>',
        b'<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd">%p;]><Delete/>',
        b'<?xml version="1.0" encoding="no-such"?><Delete/>',
        b'<?xml version="1.0" encoding="utf-32"?><Delete/>',
        b'<?xml version="1.0" encoding="idna"?><Delete/>',
        b"<Delete>\xff</Delete>",
        b"<Delete" * 1000,
    ],
)
def test_a_document_with_a_dtd_an_entity_or_an_unheard_of_encoding_is_refused(bomb: bytes) -> None:
    with pytest.raises(MalformedXml):
        xml_in.parsed(bomb, "Delete")


def test_a_document_of_many_levels_is_read_without_a_stack() -> None:
    deep = b"<Delete>" + b"<a>" * 100_000 + b"</a>" * 100_000 + b"</Delete>"
    assert xml_in.local(xml_in.parsed(deep, "Delete")) == "Delete"


def signer_elsewhere() -> Signer:
    return remote(FakeSigner(FakeChain()))


async def test_an_access_key_id_that_is_no_text_is_unknown_though_the_signer_is_another_process() -> None:
    credential = f"AWS4-HMAC-SHA256 Credential={NOT_UTF8}/20260101/us-east-1/s3/aws4_request"
    authorization = f"{credential}, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={'0' * 64}"
    v4 = RequestHead.of_target(
        "GET",
        "/photos/k",
        [
            ("Host", "h"),
            ("x-amz-date", "20260101T000000Z"),
            ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
            ("Authorization", authorization),
        ],
    )
    with pytest.raises(InvalidAccessKeyId):
        await SigV4(SigningKeys(signer_elsewhere(), 10), "us-east-1").authenticate(v4, NOW_S)
    date = ("Date", "Thu, 01 Jan 2026 00:00:00 GMT")
    authorization = f"AWS {NOT_UTF8}:AAAAAAAAAAAAAAAAAAAAAAAAAAA="
    v2 = RequestHead.of_target("GET", "/photos/k", [date, ("Authorization", authorization)])
    with pytest.raises(InvalidAccessKeyId):
        await SigV2(signer_elsewhere(), "").authenticate(v2, NOW_S)


def test_an_etag_that_is_no_text_is_refused_before_it_goes_anywhere() -> None:
    with pytest.raises(InvalidArgument):
        precondition_of(RequestHead("PUT", "/photos/k", "", (("If-Match", NOT_UTF8),)))


@pytest.mark.parametrize("parts", [NOT_UTF8, "x", "-1", "123456"])
def test_the_checksum_of_a_completion_ends_with_a_number_of_parts_or_with_nothing(parts: str) -> None:
    body = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part></CompleteMultipartUpload>"
    head = RequestHead("POST", "/photos/k", "uploadId=1", (("x-amz-checksum-crc32", f"AAAAAA==-{parts}"),))
    with pytest.raises(InvalidRequest):
        completion_of(head, body)
    taken = RequestHead("POST", "/photos/k", "uploadId=1", (("x-amz-checksum-crc32", "AAAAAA==-2"),))
    assert completion_of(taken, body).checksums == {"x-amz-checksum-crc32": "AAAAAA==-2"}


async def test_a_client_that_goes_before_its_download_begins_is_no_failure_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, gone = asyncio.Event(), asyncio.Event()
    lost = RequestHandler.connection_lost

    def noticed(handler: RequestHandler, error: BaseException | None) -> None:
        lost(handler, error)
        if asked.is_set():  # and not that of the put
            gone.set()

    monkeypatch.setattr(RequestHandler, "connection_lost", noticed)
    async with site_with() as site:
        await site.ask("PUT", "/photos/k", b"abc")
        reading = site.world.store.get

        async def late(*request: Any) -> AsyncIterator[bytes]:
            asked.set()
            await gone.wait()
            async for chunk in reading(*request):
                yield chunk

        monkeypatch.setattr(site.world.store, "get", late)
        with structlog.testing.capture_logs() as logs:
            async with site.connection() as connection:
                await connection.send(connection.head("GET", "/photos/k", sign=signed()))
                await asyncio.wait_for(asked.wait(), 10)
            await asyncio.wait_for(gone.wait(), 10)
            await until(lambda: any(line["event"] == "request" for line in logs))
    assert [line["event"] for line in logs if line["log_level"] in ("warning", "error")] == []
    assert "client gone" in [cast(str, line["event"]) for line in logs]


async def test_a_host_that_is_no_text_is_answered_without_it() -> None:
    form = body_of(form_of({"expiration": expires(), "conditions": conditions()}))
    lines = [b"POST /photos HTTP/1.1", b"Host: evil\xff.example", b"Content-Length: %d" % len(form)]
    lines += [b"%s: %s" % (FORM[0].encode(), FORM[1].encode()), b"", b""]
    async with site_with() as site, site.connection() as connection:
        await connection.send(b"\r\n".join(lines) + form)
        assert (await connection.reply("POST")).status in (204, 400)


@pytest.mark.parametrize(
    "line",
    [
        b"Authorization: \xff x",
        b"Authorization: GNFD1-ECDSA, Signature=\xff",
        b"Authorization: AWS \xff:\xff",
        b"x-amz-expected-bucket-owner: \xff",
    ],
)
async def test_what_a_refusal_quotes_need_not_be_text(line: bytes) -> None:
    with structlog.testing.capture_logs() as logs:
        async with site_with() as site, site.connection() as connection:
            await connection.send(b"GET /photos/k HTTP/1.1\r\nHost: h\r\n" + line + b"\r\n\r\n")
            assert 400 <= (await connection.reply()).status < 500
    assert [line["event"] for line in logs if line["log_level"] in ("warning", "error")] == []


async def test_a_copy_of_a_version_that_is_no_text_is_refused() -> None:
    async with site_with() as site:
        source = ("x-amz-copy-source", b"/photos/k?versionId=\xff".decode("utf-8", "surrogateescape"))
        refused = await site.ask("PUT", "/photos/t", b"", source)
        assert (refused.status, refused.code) == (404, "NoSuchVersion")
