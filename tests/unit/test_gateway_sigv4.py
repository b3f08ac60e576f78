"""Signature Version 4, against 204 requests recorded from 20 real clients."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.auth import sigv4_text as text
from gateway.auth.scheme import Identity
from gateway.auth.sigv4 import SigningKeys, SigV4
from gateway.errors import (
    InvalidAccessKeyId,
    InvalidArgument,
    MalformedAuthorization,
    NoValidDate,
    RequestTimeTooSkewed,
    WrongRegion,
)
from gateway.request import RequestHead
from gateway.sign import sign_sigv4
from signer.client import Signer
from sp.domain.errors import SignatureMismatch
from tests.unit.gateway_world import ACCESS_KEY, ALICE, SECRET_KEY, FakeChain, FakeSigner

VECTORS = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "vectors" / "sigv4_vectors.jsonl").read_text().splitlines()
]
FIRST = VECTORS[0]
NOW_S = int(datetime(2026, 11, 23, 13, 4, tzinfo=UTC).timestamp())

REFUSALS = (
    NoValidDate,
    SignatureMismatch,
    MalformedAuthorization,
    InvalidArgument,
    RequestTimeTooSkewed,
    InvalidAccessKeyId,
    WrongRegion,
)
"""What a changed request may be refused with: a byte changed in a date or scope can make these unreadable first."""


def scheme(**settings: Any) -> SigV4:
    signer = FakeSigner(FakeChain())
    return SigV4(SigningKeys(cast("Signer", signer), 8), settings.get("region", "us-east-1"), 900)


def head_of(vector: dict[str, Any]) -> RequestHead:
    return RequestHead.of_target(vector["method"], vector["target"], [(n, v) for n, v in vector["headers"]])


def time_of(vector: dict[str, Any]) -> int:
    """When it was recorded, in unix seconds."""
    stamp = head_of(vector).header("x-amz-date")
    return int(datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp())


async def verified(head: RequestHead, now_s: int = NOW_S) -> Identity:
    return await scheme().authenticate(head, now_s)


def signed_names(head: RequestHead) -> list[str]:
    authorization = head.header("authorization")
    return authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")


def with_header(head: RequestHead, name: str, value: str) -> RequestHead:
    changed = tuple((n, value if n.lower() == name else v) for n, v in head.headers)
    return RequestHead(head.method, head.raw_path, head.raw_query, changed)


def changed_byte(text: str, at: int) -> str:
    return text[:at] + ("1" if text[at] == "0" else "0") + text[at + 1 :]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["client"])
async def test_every_recorded_request_is_accepted(vector: dict[str, Any]) -> None:
    identity = await verified(head_of(vector), time_of(vector))
    assert identity.account == ALICE
    assert identity.custodial


async def test_a_change_of_the_method_is_refused() -> None:
    for vector in VECTORS:
        head, now_s = head_of(vector), time_of(vector)
        with pytest.raises(SignatureMismatch):
            await verified(RequestHead("PATCH", head.raw_path, head.raw_query, head.headers), now_s)


async def test_a_change_of_any_byte_of_the_path_is_refused() -> None:
    for vector in VECTORS:
        head, now_s = head_of(vector), time_of(vector)
        for at in range(1, len(head.raw_path)):
            with pytest.raises(SignatureMismatch):
                await verified(
                    RequestHead(head.method, changed_byte(head.raw_path, at), head.raw_query, head.headers), now_s
                )


async def test_a_change_of_any_byte_of_the_query_is_refused() -> None:
    for vector in VECTORS:
        head, now_s = head_of(vector), time_of(vector)
        for at in range(len(head.raw_query)):
            with pytest.raises(SignatureMismatch):
                await verified(
                    RequestHead(head.method, head.raw_path, changed_byte(head.raw_query, at), head.headers), now_s
                )


async def test_a_parameter_added_to_the_query_is_refused() -> None:
    for vector in VECTORS:
        head, now_s = head_of(vector), time_of(vector)
        query = f"{head.raw_query}&acl" if head.raw_query else "acl"
        with pytest.raises(SignatureMismatch):
            await verified(RequestHead(head.method, head.raw_path, query, head.headers), now_s)


async def test_a_change_of_any_signed_header_is_refused() -> None:
    for vector in VECTORS:
        head, now_s = head_of(vector), time_of(vector)
        for name in signed_names(head):
            value = head.header(name)
            for at in {0, len(value) // 2, len(value) - 1} if value else ():
                with pytest.raises(REFUSALS):
                    await verified(with_header(head, name, changed_byte(value, at)), now_s)


async def test_a_signed_header_that_is_left_out_is_refused() -> None:
    for vector in VECTORS:
        head, now_s = head_of(vector), time_of(vector)
        for name in set(signed_names(head)) - {"x-amz-date", "x-amz-content-sha256"}:
            left = tuple((n, v) for n, v in head.headers if n.lower() != name)
            with pytest.raises(SignatureMismatch):
                await verified(RequestHead(head.method, head.raw_path, head.raw_query, left), now_s)


async def test_a_change_of_any_digit_of_the_signature_is_refused() -> None:
    for vector in VECTORS[:20]:
        head, now_s = head_of(vector), time_of(vector)
        authorization = head.header("authorization")
        start = authorization.index("Signature=") + len("Signature=")
        for at in range(start, start + 64):
            with pytest.raises(SignatureMismatch):
                await verified(with_header(head, "authorization", changed_byte(authorization, at)), now_s)


@pytest.mark.parametrize("signature", ["", "é" * 64, "0" * 63, "0" * 65])
async def test_a_signature_of_another_shape_is_refused(signature: str) -> None:
    head = head_of(FIRST)
    start = head.header("authorization").partition("Signature=")[0]
    with pytest.raises(SignatureMismatch):
        await verified(with_header(head, "authorization", f"{start}Signature={signature}"))


async def test_an_amz_header_that_is_not_signed_is_refused() -> None:
    head = head_of(FIRST)
    with pytest.raises(SignatureMismatch, match="x-amz-acl"):
        await verified(
            RequestHead(head.method, head.raw_path, head.raw_query, (*head.headers, ("X-Amz-Acl", "public-read")))
        )


async def test_a_repeated_signed_header_is_refused() -> None:
    head = head_of(FIRST)
    with pytest.raises(SignatureMismatch):
        await verified(RequestHead(head.method, head.raw_path, head.raw_query, (*head.headers, ("range", "bytes=0-0"))))


@pytest.mark.parametrize("off_s", [-901, 901, 86_400])
async def test_a_request_signed_too_long_ago_or_ahead_is_refused(off_s: int) -> None:
    head = signed("GET", "/b/k", now_s=NOW_S + off_s)
    with pytest.raises(RequestTimeTooSkewed):
        await verified(head)


@pytest.mark.parametrize("off_s", [-900, 0, 900])
async def test_a_request_signed_within_the_skew_is_accepted(off_s: int) -> None:
    assert (await verified(signed("GET", "/b/k", now_s=NOW_S + off_s))).account == ALICE


def signed(method: str, target: str, now_s: int = NOW_S, key: str = ACCESS_KEY, **more: Any) -> RequestHead:
    head = RequestHead.of_target(method, target, [("Host", "localhost:9033"), *more.pop("headers", [])])
    added = sign_sigv4(head, key, more.pop("secret", SECRET_KEY), now_s, **more)
    return RequestHead(head.method, head.raw_path, head.raw_query, (*head.headers, *added))


async def test_an_unknown_access_key_is_refused_as_such() -> None:
    with pytest.raises(InvalidAccessKeyId) as refused:
        await verified(signed("GET", "/b/k", key="AKIANOBODY"))
    assert refused.value.access_key_id == "AKIANOBODY"


async def test_another_secret_is_refused() -> None:
    with pytest.raises(SignatureMismatch):
        await verified(signed("GET", "/b/k", secret="wrong"))


async def test_another_region_is_refused_with_the_right_one_named() -> None:
    with pytest.raises(WrongRegion) as refused:
        await verified(signed("GET", "/b/k", region="eu-west-1"))
    assert refused.value.expected == "us-east-1"


@pytest.mark.parametrize(
    "authorization",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=A/20261123/us-east-1/s3/aws4_request",
        "AWS4-HMAC-SHA256 Credential=A/20261123/us-east-1/s3/aws4_request, SignedHeaders=b;a, Signature=00",
        "AWS4-HMAC-SHA256 Credential=A/20261123/us-east-1/s3/aws4_request, SignedHeaders=a;a, Signature=00",
        "AWS4-HMAC-SHA256 Credential=A/20261123/us-east-1/s3/aws4_request, SignedHeaders=Host, Signature=00",
        "AWS4-HMAC-SHA256 Credential=A/B, SignedHeaders=host, Signature=00",
        "AWS4-HMAC-SHA256 Credential=A/20261123/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=00",
        "AWS4-HMAC-SHA256 Credential=A/20261122/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00",
        "AWS4-HMAC-SHA256 Credential=A/x/us-east-1/s3/aws4_request, Credential=A/y/us-east-1/s3/aws4_request",
    ],
)
async def test_a_malformed_authorization_is_refused_as_such(authorization: str) -> None:
    with pytest.raises(MalformedAuthorization):
        await verified(with_header(head_of(FIRST), "authorization", authorization))


async def test_a_payload_hash_that_s3_does_not_know_is_refused() -> None:
    head = signed("GET", "/b/k")
    with pytest.raises(InvalidArgument):
        await verified(with_header(head, "x-amz-content-sha256", "e3b0"))


@pytest.mark.parametrize(
    "target",
    ["/b/a%20b", "/b/a+b", "/b/a%2Bb", "/b/%E4%BD%A0", "/b//a/../b", "/b/a%252F", "/b?prefix=a+b&x", "/b?x=%2B&a="],
)
async def test_our_own_signatures_of_odd_names_are_accepted(target: str) -> None:
    headers = [("x-amz-meta-note", "two  blanks   and\u3000wide"), ("content-type", "text/plain")]
    assert (await verified(signed("PUT", target, payload=b"hello", headers=headers))).body_check.sha256 is not None


async def test_a_plus_in_the_path_is_no_blank() -> None:
    head = signed("GET", "/b/a+b")
    with pytest.raises(SignatureMismatch):
        await verified(RequestHead("GET", "/b/a%20b", "", head.headers))


async def test_the_date_header_stands_in_for_a_missing_amz_date() -> None:
    headers = (
        ("host", "h"),
        ("date", "Mon, 23 Nov 2026 13:04:00 GMT"),
        ("x-amz-content-sha256", text.UNSIGNED_PAYLOAD),
    )
    names = ["date", "host", "x-amz-content-sha256"]
    scope = text.Scope(ACCESS_KEY, "20261123", "us-east-1", "s3")
    head = RequestHead("GET", "/b/k", "", headers)
    canonical = text.canonical_request(head, names, text.UNSIGNED_PAYLOAD)
    signature = text.signature(
        text.signing_key(SECRET_KEY, scope), text.string_to_sign("20261123T130400Z", scope, canonical)
    )
    credential = f"Credential={ACCESS_KEY}/{scope.text}"
    authorization = f"{text.ALGORITHM} {credential},SignedHeaders={';'.join(names)},Signature={signature}"
    assert (await verified(RequestHead("GET", "/b/k", "", (*headers, ("authorization", authorization))))).account


async def test_a_signing_key_is_asked_for_once_a_day_and_the_oldest_is_dropped() -> None:
    signer = FakeSigner(FakeChain())
    keys = SigningKeys(cast("Signer", signer), limit=2)
    sigv4 = SigV4(keys, "us-east-1")
    day_s = 86_400
    for now_s in (NOW_S, NOW_S, NOW_S + day_s, NOW_S, NOW_S + 2 * day_s, NOW_S):
        await sigv4.authenticate(signed("GET", "/b/k", now_s=now_s), now_s)
    assert signer.derived == 3
    await sigv4.authenticate(signed("GET", "/b/k", now_s=NOW_S + day_s), NOW_S + day_s)
    assert signer.derived == 4


async def test_a_failed_lookup_is_not_remembered() -> None:
    signer = FakeSigner(FakeChain())
    keys = SigV4(SigningKeys(cast("Signer", signer), 8), "us-east-1")
    account = signer.secrets.pop(ACCESS_KEY)
    with pytest.raises(InvalidAccessKeyId):
        await keys.authenticate(signed("GET", "/b/k"), NOW_S)
    signer.secrets[ACCESS_KEY] = account
    assert (await keys.authenticate(signed("GET", "/b/k"), NOW_S)).account == ALICE
