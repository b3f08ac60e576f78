"""Bodies that are checked while they stream past."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import threading
import zlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.auth.scheme import UNSIGNED, BodyCheck, Identity
from gateway.body import BodyPlan, CheckedBody, body_plan
from gateway.checksums import CONTENT_SHA256, DeclaredDigest, declared_digests
from gateway.errors import InvalidArgument, InvalidDigest, MetadataTooLarge, MissingContentLength, NotSupported
from gateway.puts import put_of
from gateway.request import RequestHead
from sp.domain.errors import InvalidRequest, ObjectTooLarge, PayloadDigestMismatch, PayloadSizeMismatch
from sp.domain.ids import Checksum
from sp.domain.ledger import Visibility
from sp.runtime.chunks import CHUNK_BYTES, coalesced
from sp.runtime.pool import CpuPool
from tests.unit.gateway_world import ALICE

LARGE = bytes(range(256)) * 4096 * 3 + b"tail"
"""3 MiB and 4 bytes."""

LARGE_CRCS = {32: bytes.fromhex("94da0de8"), 64: bytes.fromhex("40cb832bc947432d")}
"""CRC-32C and CRC-64/NVME of LARGE, computed once by `crc_by_bits` below."""


async def chunks_of(payload: bytes, size: int = CHUNK_BYTES) -> AsyncIterator[bytes]:
    for at in range(0, len(payload), size):
        yield payload[at : at + size]


def head(**headers: str) -> RequestHead:
    return RequestHead("PUT", "/b/k", "", tuple((name.replace("_", "-"), value) for name, value in headers.items()))


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def headers_for(payload: bytes) -> dict[str, str]:
    return {
        "content_md5": b64(hashlib.md5(payload).digest()),
        "x_amz_checksum_crc32": b64(zlib.crc32(payload).to_bytes(4, "big")),
        "x_amz_checksum_crc32c": b64(crc_by_bits(payload, 0x82F63B78, 32)),
        "x_amz_checksum_crc64nvme": b64(crc_by_bits(payload, 0x9A6C9329AC4BC9B5, 64)),
        "x_amz_checksum_sha1": b64(hashlib.sha1(payload).digest()),
        "x_amz_checksum_sha256": b64(hashlib.sha256(payload).digest()),
    }


def crc_by_bits(payload: bytes, polynomial: int, bits: int) -> bytes:
    """Slow and plain, by the (reflected) polynomial's definition; big-endian. Of LARGE it is known from elsewhere."""
    if payload == LARGE:
        return LARGE_CRCS[bits]
    crc = (1 << bits) - 1
    for byte in payload:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (polynomial if crc & 1 else 0)
    return (crc ^ ((1 << bits) - 1)).to_bytes(bits // 8, "big")


async def collected(payload: bytes, plan: BodyPlan, size: int = CHUNK_BYTES, max_size: int = 1 << 30) -> bytes:
    async with CpuPool(2) as pool:
        checked = CheckedBody(chunks_of(payload, size), plan, max_size, pool)
        return b"".join([chunk async for chunk in checked.chunks()])


NAMES = list(headers_for(b""))


def test_the_check_values_of_the_newer_crcs() -> None:
    assert crc_by_bits(b"123456789", 0x82F63B78, 32).hex() == "e3069283"
    assert crc_by_bits(b"123456789", 0x9A6C9329AC4BC9B5, 64).hex() == "ae8b14860a799888"


@pytest.mark.parametrize("payload", [b"", b"hello", LARGE])
@pytest.mark.parametrize("name", NAMES)
async def test_a_body_with_its_digest_passes_and_another_does_not(payload: bytes, name: str) -> None:
    digests = declared_digests(head(**{name: headers_for(payload)[name]}), UNSIGNED)
    assert await collected(payload, BodyPlan(len(payload), digests)) == payload
    wrong = BodyPlan(None, declared_digests(head(**{name: headers_for(b"other")[name]}), UNSIGNED))
    with pytest.raises(PayloadDigestMismatch) as refused:
        await collected(payload, wrong)
    assert refused.value.algorithm == name.replace("_", "-")


@pytest.mark.parametrize("payload", [b"", b"hello", LARGE])
async def test_the_signed_sha256_is_checked(payload: bytes) -> None:
    check = BodyCheck(Checksum(hashlib.sha256(payload).digest()))
    plan = BodyPlan(None, declared_digests(head(), check))
    assert await collected(payload, plan) == payload
    with pytest.raises(PayloadDigestMismatch) as refused:
        await collected(payload + b"x", plan)
    assert refused.value.algorithm == CONTENT_SHA256


async def test_one_flipped_bit_anywhere_is_found() -> None:
    digest = DeclaredDigest(CONTENT_SHA256, hashlib.sha256(LARGE).digest())
    for at in (0, CHUNK_BYTES - 1, CHUNK_BYTES, len(LARGE) - 1):
        flipped = bytearray(LARGE)
        flipped[at] ^= 1
        with pytest.raises(PayloadDigestMismatch):
            await collected(bytes(flipped), BodyPlan(len(LARGE), (digest,)))


@pytest.mark.parametrize(("declared", "payload"), [(6, b"hello"), (4, b"hello"), (1, b""), (CHUNK_BYTES, LARGE)])
async def test_a_body_of_another_length_is_refused(declared: int, payload: bytes) -> None:
    with pytest.raises(PayloadSizeMismatch):
        await collected(payload, BodyPlan(declared))


async def test_a_body_past_the_limit_is_refused_though_its_length_was_not_declared() -> None:
    assert await collected(b"hello", BodyPlan(None), max_size=5) == b"hello"
    with pytest.raises(ObjectTooLarge):
        await collected(b"hello!", BodyPlan(None), max_size=5)


async def test_a_body_that_is_too_long_stops_early() -> None:
    seen = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal seen
        while True:
            seen += 1
            yield bytes(CHUNK_BYTES)

    async with CpuPool(1) as pool:
        with pytest.raises(PayloadSizeMismatch):
            async for _ in CheckedBody(endless(), BodyPlan(2 * CHUNK_BYTES), 1 << 30, pool).chunks():
                pass
    assert seen == 3


async def test_large_chunks_are_hashed_off_the_loop_and_small_ones_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[bool] = []
    update = zlib.crc32

    def watched(chunk: bytes, crc: int) -> int:
        threads.append(threading.current_thread() is threading.main_thread())
        return update(chunk, crc)

    monkeypatch.setattr("sp.crypto.checksums.crc32", watched)
    digest = DeclaredDigest("x-amz-checksum-crc32", update(LARGE).to_bytes(4, "big"))
    await collected(LARGE, BodyPlan(None, (digest,)), size=100_000)
    assert threads == [False, False, False, True]


async def test_a_small_body_is_handed_on_in_one_piece_whatever_pieces_it_came_in() -> None:
    payload = bytes(range(256)) * 16
    digest = DeclaredDigest(CONTENT_SHA256, hashlib.sha256(payload).digest())
    async with CpuPool(1) as pool:
        checked = CheckedBody(chunks_of(payload, 7), BodyPlan(len(payload), (digest,)), 1 << 30, pool)
        assert [bytes(chunk) async for chunk in checked.chunks()] == [payload]


async def test_nothing_of_a_small_body_is_handed_on_that_is_not_what_was_promised() -> None:
    digest = DeclaredDigest(CONTENT_SHA256, hashlib.sha256(b"other").digest())
    async with CpuPool(1) as pool:
        body = CheckedBody(chunks_of(b"hello"), BodyPlan(5, (digest,)), 1 << 30, pool).chunks()
        with pytest.raises(PayloadDigestMismatch):
            await anext(body)


@pytest.mark.parametrize("payload", [b"", b"hello", LARGE])
async def test_what_is_left_to_do_at_the_end_is_done_behind_the_last_byte(payload: bytes) -> None:
    taken, done = bytearray(), []

    async def at_end() -> None:
        done.append(len(taken))

    async with CpuPool(1) as pool:
        async for chunk in CheckedBody(chunks_of(payload), BodyPlan(len(payload)), 1 << 30, pool).chunks(at_end):
            taken += chunk
    assert done == [len(payload)]


async def test_an_error_of_the_source_comes_out_as_it_is() -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield bytes(CHUNK_BYTES)
        raise ConnectionResetError("gone")

    digest = DeclaredDigest("x-amz-checksum-crc32", b"1234")
    async with CpuPool(1) as pool:
        with pytest.raises(ConnectionResetError):
            async for _ in CheckedBody(failing(), BodyPlan(None, (digest,)), 1 << 30, pool).chunks():
                pass


async def test_a_reader_that_stops_leaves_nothing_running() -> None:
    digest = DeclaredDigest(CONTENT_SHA256, bytes(32))
    async with CpuPool(1) as pool:
        checked = CheckedBody(chunks_of(LARGE), BodyPlan(None, (digest,)), 1 << 30, pool)
        async with aclosing(checked.chunks()) as body:
            await anext(body)
        assert [task.get_name() for task in asyncio.all_tasks() if "hash" in task.get_name()] == []


@settings(max_examples=30)
@given(st.lists(st.integers(0, CHUNK_BYTES + 70_000), max_size=8))
def test_chunks_are_regrouped_without_loss(sizes: list[int]) -> None:
    payload = [bytes([n % 256]) * size for n, size in enumerate(sizes)]

    async def source() -> AsyncIterator[bytes]:
        for chunk in payload:
            yield chunk

    async def regrouped() -> list[bytes]:
        return [chunk async for chunk in coalesced(source())]

    made = asyncio.run(regrouped())
    assert b"".join(made) == b"".join(payload)
    assert all(len(chunk) == CHUNK_BYTES for chunk in made[:-1])
    assert not made or 0 < len(made[-1]) <= CHUNK_BYTES


# --- what the head of a put may say


@pytest.mark.parametrize("value", ["", "hello", "a" * 24, b64(b"short"), "=" * 24, b64(bytes(17))])
def test_a_malformed_digest_is_refused_as_such(value: str) -> None:
    with pytest.raises(InvalidDigest):
        declared_digests(head(content_md5=value), UNSIGNED)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "content_md5"])
@pytest.mark.parametrize("value", ["", "hello", "=", b64(b"short"), b64(bytes(65))])
def test_a_malformed_checksum_is_an_invalid_request(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest):
        declared_digests(head(**{name: value}), UNSIGNED)


@pytest.mark.parametrize("name", ["x_amz_checksum_md5", "x_amz_checksum_xxhash64"])
def test_a_checksum_we_cannot_check_is_refused_not_ignored(name: str) -> None:
    with pytest.raises(NotSupported):
        declared_digests(head(**{name: "AAAA"}), UNSIGNED)


@pytest.mark.parametrize(
    "headers",
    [
        {"x_amz_checksum_crc32": "NhCmhg==", "x_amz_checksum_sha1": b64(bytes(20))},
        {"x_amz_sdk_checksum_algorithm": "CRC32"},
        {"x_amz_sdk_checksum_algorithm": "CRC32C", "x_amz_checksum_crc32": "NhCmhg=="},
        {"x_amz_sdk_checksum_algorithm": "MD4", "x_amz_checksum_crc32": "NhCmhg=="},
        {"x_amz_trailer": "x-amz-checksum-crc32"},
    ],
)
def test_checksums_that_contradict_each_other_are_an_invalid_request(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        put(**headers)


@pytest.mark.parametrize("named", ["CRC32", "crc32"])
def test_the_algorithm_may_be_named_beside_its_checksum(named: str) -> None:
    made = put(x_amz_sdk_checksum_algorithm=named, x_amz_checksum_crc32="NhCmhg==")
    assert [declared.header for declared in made.body.digests] == ["x-amz-checksum-crc32"]


async def test_digests_that_nobody_promised_are_computed_where_they_are_wanted() -> None:
    plan = BodyPlan(None, declared_digests(head(x_amz_checksum_crc32="NhCmhg=="), UNSIGNED))
    async with CpuPool(1) as pool:
        checked = CheckedBody(chunks_of(b"hello"), plan, 5, pool, also=("content-md5", "x-amz-checksum-sha1"))
        assert [chunk async for chunk in checked.chunks()] == [b"hello"]
    assert checked.digest("content-md5") == hashlib.md5(b"hello").digest()
    sha1 = b64(hashlib.sha1(b"hello").digest())
    assert checked.checksums() == {"x-amz-checksum-crc32": "NhCmhg==", "x-amz-checksum-sha1": sha1}
    assert checked.trailing() == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"content_encoding": "aws-chunked"},
        {"content_encoding": "gzip, AWS-Chunked"},
        {"x_amz_decoded_content_length": "5"},
        {"x_amz_content_sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "x_amz_decoded_content_length": "5"},
        {"x_amz_content_sha256": "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "x_amz_decoded_content_length": "5"},
    ],
)
def test_a_framed_body_is_never_taken_for_a_plain_one(headers: dict[str, str]) -> None:
    with pytest.raises(NotSupported):
        body_plan(head(content_length="5", **headers), UNSIGNED)


def put(**headers: str) -> Any:
    return put_of(head(**{"content_length": "5", **headers}), "b", "k", Identity(ALICE, "any"), "r")


@pytest.mark.parametrize(
    ("sent", "kept"), [("aws-chunked", None), ("aws-chunked,gzip", "gzip"), ("br, AWS-Chunked ,gzip", "br,gzip")]
)
def test_the_framing_is_no_content_encoding_of_the_object(sent: str, kept: str | None) -> None:
    framed = {"x_amz_content_sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x_amz_decoded_content_length": "5"}
    assert put(content_encoding=sent, **framed).headers.get("content-encoding") == kept


def test_the_headers_that_belong_to_the_object_are_kept() -> None:
    kept = {
        "content-type": "text/plain",
        "cache-control": "no-store",
        "content-encoding": "gzip",
        "content-disposition": "inline",
        "content-language": "de",
        "expires": "never",
        "x-amz-meta-mtime": "17",
        "x-amz-checksum-crc32": "NhCmhg==",
    }
    sent = {name.replace("-", "_"): value for name, value in kept.items()}
    assert put(**sent, user_agent="x", x_amz_date="y").headers == kept


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({"x_amz_copy_source": "/b/other"}, NotSupported),
        ({"x_amz_server_side_encryption": "AES256"}, NotSupported),
        ({"x_amz_storage_class": "GLACIER"}, NotSupported),
        ({"x_amz_acl": "public-read-write"}, NotSupported),
        ({"x_amz_grant_read": "x"}, NotSupported),
        ({"x_amz_meta_big": "x" * 2048}, MetadataTooLarge),
        ({"x_amz_meta_odd": "\udcff"}, InvalidArgument),
        ({"content_length": "-1"}, MissingContentLength),
        ({"content_length": ""}, MissingContentLength),
    ],
)
def test_what_a_put_cannot_honour_is_refused(headers: dict[str, str], refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        put(**headers)


@pytest.mark.parametrize(
    ("acl", "visibility"),
    [("private", Visibility.PRIVATE), ("public-read", Visibility.PUBLIC_READ), ("", Visibility.UNSPECIFIED)],
)
def test_an_acl_is_a_visibility(acl: str, visibility: Visibility) -> None:
    assert put(x_amz_acl=acl).visibility is visibility


def test_a_chunked_body_has_no_declared_size() -> None:
    chunked = put_of(head(transfer_encoding="chunked"), "b", "k", Identity(ALICE, "any"), "r")
    assert (chunked.size, put().size) == (None, 5)
