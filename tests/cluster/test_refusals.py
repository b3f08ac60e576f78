"""S3 requests that are refused, over HTTP, with S3's codes; and nothing of them stays."""

from __future__ import annotations

import base64
import hashlib
import time
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from sp.domain.lifecycle import JobState as S
from tests.cluster.conftest import BUCKET, remains
from tests.cluster.making import Account
from tests.cluster.network import KIB, Network, import_account
from tests.cluster.s3 import S3, Answer, s3_session
from tests.vectors import payload

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("nothing_left_afterwards")]

PLAN: dict[str, Any] = {"sps": 7, "manual_chores": True}
BODY = payload(2 * 64 * KIB + 3)
MIB = 1024 * KIB


def assert_refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer.body


async def assert_nothing_was_stored(network: Network) -> None:
    assert await remains(network.sps[0]) == ([], {})


async def assert_nothing_stays(network: Network) -> None:
    """What was stored until the refusal is collected."""
    await network.settle(network.sps[0])
    await assert_nothing_was_stored(network)


def flipped(text: str) -> str:
    """With another last hex digit."""
    return text[:-1] + ("0" if text[-1] != "0" else "1")


TAMPERINGS: dict[str, dict[str, Any]] = {
    "method": {"method": "DELETE"},
    "path": {"path": f"/{BUCKET}/another"},
    "query": {"query": "x-id=PutObject"},
    "signed header": {"headers": {"x-amz-meta-colour": "blue"}},
    "added header": {"headers": {"x-amz-meta-size": "large"}},
    "time of signing": {
        "headers": {"x-amz-date": lambda stamp: stamp[:-3] + ("00Z" if stamp[-3:-1] != "00" else "01Z")}
    },
    "hash of the body": {"headers": {"x-amz-content-sha256": "0" * 64}},
    "signature": {"headers": {"authorization": flipped}},
    "names of signed headers": {"headers": {"authorization": lambda text: text.replace(";x-amz-meta-colour", "")}},
}


@pytest.mark.parametrize("what", TAMPERINGS)
async def test_a_tampered_put_is_refused_before_anything_is_stored(network: Network, s3: S3, what: str) -> None:
    answer = await s3.call(
        "PUT", f"/{BUCKET}/tampered", headers={"x-amz-meta-colour": "red"}, body=BODY, tamper=TAMPERINGS[what]
    )
    assert_refused(answer, 403, "SignatureDoesNotMatch")
    await assert_nothing_was_stored(network)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_a_tampered_request_does_not_reach_an_object(network: Network, s3: S3, method: str) -> None:
    await s3.put(BUCKET, "kept", BODY)
    answer = await s3.call(method, f"/{BUCKET}/other", tamper={"path": f"/{BUCKET}/kept"})
    assert answer.status == 403
    assert (await s3.get(BUCKET, "kept")).body == BODY
    await network.sealed(network.sps[0], BUCKET, "kept")


async def test_a_tampered_body_is_refused_and_leaves_nothing(network: Network, s3: S3) -> None:
    answer = await s3.call("PUT", f"/{BUCKET}/tampered", body=BODY, tamper={"body": BODY[:-1] + b"!"})
    assert_refused(answer, 400, "XAmzContentSHA256Mismatch")
    assert (await s3.get(BUCKET, "tampered")).status == 404
    await assert_nothing_stays(network)


@pytest.mark.parametrize("shift_s", [-3600, 3600])
async def test_a_request_signed_at_another_time_is_refused(network: Network, s3: S3, shift_s: int) -> None:
    answer = await replace(s3, clock=lambda: time.time() + shift_s).put(BUCKET, "late", BODY)
    assert_refused(answer, 403, "RequestTimeTooSkewed")
    await assert_nothing_was_stored(network)


async def test_an_unknown_access_key_is_refused(network: Network, s3: S3) -> None:
    async with s3_session(network.sps[0], Account.new(77)) as stranger:
        assert_refused(await stranger.put(BUCKET, "stranger", BODY), 403, "InvalidAccessKeyId")
    await assert_nothing_was_stored(network)


# --- other accounts -----------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["another account", "nobody"])
async def other(request: pytest.FixtureRequest, network: Network) -> AsyncIterator[S3]:
    """A client that has no right in BUCKET."""
    account = None
    if request.param == "another account":
        account = Account.new(2)
        await import_account(network.sps[0], account, "other")
    async with s3_session(network.sps[0], account) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "name", "query"),
    [("GET", "/private", ""), ("DELETE", "/private", ""), ("PUT", "/private", ""), ("PUT", "/new", ""),
     ("GET", "", "list-type=2"), ("DELETE", "", "")],
)  # fmt: skip
async def test_a_private_bucket_is_closed_to_others(
    network: Network, s3: S3, other: S3, method: str, name: str, query: str
) -> None:
    await s3.put(BUCKET, "private", BODY)
    await network.sealed(network.sps[0], BUCKET, "private")
    before = await remains(network.sps[0])
    body = b"theirs" if method == "PUT" else b""
    assert_refused(await other.call(method, f"/{BUCKET}{name}", query, body=body), 403, "AccessDenied")
    assert await remains(network.sps[0]) == before
    assert (await s3.get(BUCKET, "private")).body == BODY
    assert (await s3.get(BUCKET, "new")).status == 404


async def test_a_bucket_of_another_provider_is_redirected_and_nothing_is_stored(network: Network, s3: S3) -> None:
    async with s3_session(network.sps[1], network.account) as elsewhere:
        answer = await elsewhere.put(BUCKET, "elsewhere", BODY)
    assert_refused(answer, 307, "TemporaryRedirect")
    assert await remains(network.sps[1]) == ([], {})
    await assert_nothing_was_stored(network)


# --- bodies -------------------------------------------------------------------------------------------------------


def b64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


WRONG_DIGESTS = {
    "content-md5": b64(hashlib.md5(b"other", usedforsecurity=False).digest()),
    "x-amz-checksum-crc32": b64(zlib.crc32(b"other").to_bytes(4, "big")),
    "x-amz-checksum-sha1": b64(hashlib.sha1(b"other", usedforsecurity=False).digest()),
    "x-amz-checksum-sha256": b64(hashlib.sha256(b"other").digest()),
}


@pytest.mark.parametrize("header", WRONG_DIGESTS)
async def test_a_body_without_the_digest_that_was_declared_is_refused_and_leaves_nothing(
    network: Network, s3: S3, header: str
) -> None:
    answer = await s3.call("PUT", f"/{BUCKET}/digest", headers={header: WRONG_DIGESTS[header]}, body=BODY)
    assert_refused(answer, 400, "BadDigest")
    assert (await s3.get(BUCKET, "digest")).status == 404
    await assert_nothing_stays(network)


@pytest.mark.parametrize("header", WRONG_DIGESTS)
async def test_a_digest_that_is_none_is_refused_before_the_body_is_read(network: Network, s3: S3, header: str) -> None:
    answer = await s3.call("PUT", f"/{BUCKET}/digest", headers={header: "bm90IGEgZGlnZXN0"}, body=BODY)
    assert_refused(answer, 400, "InvalidDigest" if header == "content-md5" else "InvalidRequest")
    await assert_nothing_was_stored(network)


RIGHT_DIGESTS = {
    "content-md5": b64(hashlib.md5(BODY, usedforsecurity=False).digest()),
    "x-amz-checksum-crc32": b64(zlib.crc32(BODY).to_bytes(4, "big")),
    "x-amz-checksum-sha1": b64(hashlib.sha1(BODY, usedforsecurity=False).digest()),
    "x-amz-checksum-sha256": b64(hashlib.sha256(BODY).digest()),
}


@pytest.mark.parametrize("header", RIGHT_DIGESTS)
async def test_a_body_with_the_digest_that_was_declared_is_accepted(network: Network, s3: S3, header: str) -> None:
    answer = await s3.call("PUT", f"/{BUCKET}/digest", headers={header: RIGHT_DIGESTS[header]}, body=BODY)
    assert answer.status == 200
    await network.sealed(network.sps[0], BUCKET, "digest")


async def test_a_refused_overwrite_leaves_the_old_content(network: Network, s3: S3) -> None:
    await s3.put(BUCKET, "old", BODY)
    await network.sealed(network.sps[0], BUCKET, "old")
    pieces = await network.sps[0].keys()
    wrong = {"content-md5": WRONG_DIGESTS["content-md5"]}
    assert_refused(await s3.call("PUT", f"/{BUCKET}/old", headers=wrong, body=b"new" * 50_000), 400, "BadDigest")
    await network.settle(network.sps[0])
    assert await network.sps[0].keys() == pieces
    assert (await s3.get(BUCKET, "old")).body == BODY


@pytest.mark.parametrize("sent", [0, 1000, MIB + 1000])
async def test_a_client_that_goes_away_in_the_middle_of_its_body_leaves_nothing(
    network: Network, s3: S3, sent: int
) -> None:
    """Before the first byte, before the first segment, and when some segments are durable."""
    primary = network.sps[0]
    storing = primary.pieces.hang("commit")
    async with s3.begun_put(BUCKET, "gone", 2 * MIB) as (_, writer):
        writer.write(payload(sent))
        await writer.drain()
        if sent > MIB:  # the gateway passes a body on in such portions
            await storing.reached.wait()
        storing.release()
    detail = await network.settled(primary, BUCKET, "gone")
    assert detail.job.state is S.UPLOAD_OBJECT_ERROR
    assert "closed the connection" in detail.job.error
    assert (await s3.get(BUCKET, "gone")).status == 404
    await assert_nothing_stays(network)


async def test_a_body_that_ends_short_of_its_length_is_no_object(network: Network, s3: S3) -> None:
    """The client closes its side only, and could still read an answer."""
    async with s3.begun_put(BUCKET, "short", len(BODY) + 1) as (reader, writer):
        writer.write(BODY)
        writer.write_eof()
        assert b" 200 " not in await reader.read()
    detail = await network.settled(network.sps[0], BUCKET, "short")
    assert detail.job.state is S.UPLOAD_OBJECT_ERROR
    assert (await s3.get(BUCKET, "short")).status == 404
    await assert_nothing_stays(network)


async def test_bytes_behind_the_declared_length_are_not_part_of_the_object(network: Network, s3: S3) -> None:
    async with s3.begun_put(BUCKET, "long", 1000) as (reader, writer):
        writer.write(BODY[:1500])
        await writer.drain()
        assert b" 200 " in await reader.readline()
    await network.sealed(network.sps[0], BUCKET, "long")
    assert (await s3.get(BUCKET, "long")).body == BODY[:1000]
