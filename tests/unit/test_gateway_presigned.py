"""Presigned URLs of both versions and Version 2 headers; botocore signs, and Amazon's own examples."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import HmacV1Auth, HmacV1QueryAuth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gateway.auth.query import operation_parameters, with_query_headers
from gateway.auth.s3 import s3_schemes
from gateway.auth.scheme import Authenticator, Identity
from gateway.config import GatewayConfig
from gateway.errors import (
    ExpiryOutOfRange,
    InvalidAccessKeyId,
    InvalidArgument,
    MalformedPresignedQuery,
    NoSecurityTokens,
    NotSupported,
    NoValidDate,
    PresignedUrlExpired,
    PresignedUrlNotYetValid,
    RequestTimeTooSkewed,
    WrongRegion,
)
from gateway.request import RequestHead, resolve
from gateway.routes import Operation, operation_of
from signer.client import Signer
from sp.domain.errors import SignatureMismatch, SpError
from tests.framing import UNSIGNED_TRAILER
from tests.unit.gateway_world import ACCESS_KEY, ALICE, SECRET_KEY, FakeChain, FakeSigner

NOW = datetime(2026, 11, 23, 13, 4, tzinfo=UTC)
NOW_S = int(NOW.timestamp())

AMAZON = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
TARGETS = ["/b/k", "/b/a%20b%2Bc/%E4%BD%A0", "/b/k?response-content-type=text%2Fplain&versionId=null", "/b?uploads="]


@pytest.fixture(autouse=True)
def _botocores_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: NOW)
    monkeypatch.setattr("botocore.auth.time", SimpleNamespace(time=lambda: NOW_S))
    monkeypatch.setattr("botocore.auth.formatdate", lambda usegmt: formatdate(NOW_S, usegmt=usegmt))


def authenticator(domain_name: str = "") -> Authenticator:
    signer = FakeSigner(FakeChain())
    signer.secrets[AMAZON[0]] = (ALICE, AMAZON[1])
    return Authenticator(s3_schemes(cast("Signer", signer), GatewayConfig(domain_name=domain_name)))


def presigned(
    scheme: type[Any],
    target: str,
    method: str = "GET",
    expires_s: int = 3600,
    region: str = "us-east-1",
    headers: dict[str, str] | None = None,
    key: tuple[str, str] = (ACCESS_KEY, SECRET_KEY),
) -> RequestHead:
    """As botocore's client gives it out; the headers that are not in its query are sent."""
    request = AWSRequest(method, f"http://localhost:9033{target}", headers=dict(headers or {}))
    credentials = Credentials(*key)
    if scheme is HmacV1QueryAuth:
        HmacV1QueryAuth(credentials, expires=expires_s).add_auth(request)
    else:
        scheme(credentials, "s3", region, expires=expires_s).add_auth(request)
    url = urlsplit(request.url)
    return RequestHead(method, url.path, url.query, (("Host", "localhost:9033"), *(headers or {}).items()))


async def verified(head: RequestHead, now_s: int = NOW_S, domain_name: str = "") -> Identity:
    return await authenticator(domain_name).authenticate(head, now_s)


def changed(head: RequestHead, **more: Any) -> RequestHead:
    given = {"method": head.method, "raw_path": head.raw_path, "raw_query": head.raw_query, "headers": head.headers}
    return RequestHead(**{**given, **more})


BOTH = pytest.mark.parametrize("scheme", [S3SigV4QueryAuth, HmacV1QueryAuth])


@BOTH
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
async def test_what_botocore_presigns_is_accepted(scheme: type[Any], method: str, target: str) -> None:
    identity = await verified(presigned(scheme, target, method))
    assert (identity.account, identity.custodial, identity.body_check.sha256) == (ALICE, True, None)


@BOTH
@pytest.mark.parametrize("target", TARGETS)
async def test_a_change_of_any_byte_of_a_presigned_url_is_refused(scheme: type[Any], target: str) -> None:
    head = presigned(scheme, target)
    for part in ("raw_path", "raw_query"):
        text = getattr(head, part)
        for at in range(part == "raw_path", len(text)):
            other = "1" if text[at] == "0" else "0"
            with pytest.raises(SpError):
                await verified(changed(head, **{part: text[:at] + other + text[at + 1 :]}))
    with pytest.raises(SignatureMismatch):
        await verified(changed(head, method="POST"))


@BOTH
@pytest.mark.parametrize(
    "more", ["&acl", "&uploads", "&versionId=1", "&attributes", "&upload-progress", "&partNumber=2"]
)
async def test_a_parameter_added_to_a_presigned_url_is_refused(scheme: type[Any], more: str) -> None:
    head = presigned(scheme, "/b/k")
    with pytest.raises((SignatureMismatch, NotSupported)):
        await verified(changed(head, raw_query=head.raw_query + more))


@BOTH
async def test_a_parameter_of_the_signature_may_be_neither_missing_nor_twice(scheme: type[Any]) -> None:
    head = presigned(scheme, "/b/k")
    parts = head.raw_query.split("&")
    for part in parts:
        with pytest.raises(SpError):
            await verified(changed(head, raw_query="&".join(other for other in parts if other != part)))
        with pytest.raises((MalformedPresignedQuery, SignatureMismatch, NotSupported)):
            await verified(changed(head, raw_query="&".join((*parts, part))))


@BOTH
async def test_a_presigned_url_ends_when_it_says(scheme: type[Any]) -> None:
    head = presigned(scheme, "/b/k", expires_s=60)
    assert (await verified(head, NOW_S + 60)).account == ALICE
    with pytest.raises(PresignedUrlExpired):
        await verified(head, NOW_S + 61)


async def test_a_presigned_url_of_the_future_waits() -> None:
    head = presigned(S3SigV4QueryAuth, "/b/k")
    assert (await verified(head, NOW_S - 900)).account == ALICE
    with pytest.raises(PresignedUrlNotYetValid):
        await verified(head, NOW_S - 901)


@pytest.mark.parametrize("expires_s", [1, 604_800])
async def test_a_url_may_be_valid_for_a_second_and_for_a_week(expires_s: int) -> None:
    head = presigned(S3SigV4QueryAuth, "/b/k", expires_s=expires_s)
    assert (await verified(head, NOW_S + expires_s)).account == ALICE


@pytest.mark.parametrize(
    ("expires", "refusal"),
    [
        ("0", PresignedUrlExpired),
        ("604801", ExpiryOutOfRange),
        ("-1", ExpiryOutOfRange),
        ("1e3", MalformedPresignedQuery),
        ("", MalformedPresignedQuery),
        ("9" * 30, MalformedPresignedQuery),
        ("٣", MalformedPresignedQuery),
    ],
)
async def test_another_validity_is_refused(expires: str, refusal: type[SpError]) -> None:
    head = presigned(S3SigV4QueryAuth, "/b/k", expires_s=77)
    query = head.raw_query.replace("X-Amz-Expires=77", f"X-Amz-Expires={quote(expires)}")
    with pytest.raises(refusal):
        await verified(changed(head, raw_query=query))


@pytest.mark.parametrize(
    ("name", "value", "refusal"),
    [
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA1", MalformedPresignedQuery),
        ("X-Amz-Credential", "AKIA", MalformedPresignedQuery),
        ("X-Amz-Credential", "AKIA/20200101/us-east-1/s3/aws4_request", MalformedPresignedQuery),
        ("X-Amz-Date", "yesterday", MalformedPresignedQuery),
        ("X-Amz-SignedHeaders", "Host", MalformedPresignedQuery),
        ("X-Amz-SignedHeaders", "date", SignatureMismatch),
        ("X-Amz-Signature", "\udcff", SignatureMismatch),
    ],
)
async def test_a_query_that_cannot_be_read_is_refused_as_such(name: str, value: str, refusal: type[SpError]) -> None:
    head = presigned(S3SigV4QueryAuth, "/b/k")
    parts = [
        p if p.partition("=")[0] != name else f"{name}={quote(value, errors='surrogateescape')}"
        for p in head.raw_query.split("&")
    ]
    with pytest.raises(refusal):
        await verified(changed(head, raw_query="&".join(parts)))


@BOTH
async def test_an_unknown_key_and_another_secret_are_refused(scheme: type[Any]) -> None:
    with pytest.raises(InvalidAccessKeyId):
        await verified(presigned(scheme, "/b/k", key=("AKIANOBODY", "x" * 20)))
    with pytest.raises(SignatureMismatch):
        await verified(presigned(scheme, "/b/k", key=(ACCESS_KEY, "x" * 20)))


async def test_another_region_is_named() -> None:
    with pytest.raises(WrongRegion):
        await verified(presigned(S3SigV4QueryAuth, "/b/k", region="eu-west-1"))


@BOTH
async def test_a_request_that_is_signed_twice_is_refused(scheme: type[Any]) -> None:
    head = presigned(scheme, "/b/k")
    for authorization in ("AWS A:B", "AWS4-HMAC-SHA256 x", "Bearer x"):
        with pytest.raises(InvalidArgument):
            await verified(changed(head, headers=(*head.headers, ("Authorization", authorization))))


@BOTH
async def test_security_tokens_are_refused_as_such(scheme: type[Any]) -> None:
    head = presigned(scheme, "/b/k", key=(ACCESS_KEY, SECRET_KEY))
    for more in (
        {"raw_query": head.raw_query + "&X-Amz-Security-Token=x"},
        {"headers": (*head.headers, ("x-amz-security-token", "x"))},
    ):
        with pytest.raises(NoSecurityTokens):
            await verified(changed(head, **more))


async def test_a_header_that_the_url_does_not_cover_is_refused() -> None:
    head = presigned(S3SigV4QueryAuth, "/b/k", "PUT")
    with pytest.raises(SignatureMismatch):
        await verified(changed(head, headers=(*head.headers, ("x-amz-acl", "public-read"))))
    second = presigned(HmacV1QueryAuth, "/b/k", "PUT")
    for name, value in (("x-amz-acl", "public-read"), ("Content-Type", "text/html"), ("Content-MD5", "x")):
        with pytest.raises(SignatureMismatch):
            await verified(changed(second, headers=(*second.headers, (name, value))))


@BOTH
async def test_the_headers_of_a_presigned_put_must_be_sent_as_presigned(scheme: type[Any]) -> None:
    headers = {"Content-Type": "text/plain", "x-amz-meta-colour": "red", "x-amz-acl": "public-read"}
    head = presigned(scheme, "/b/k", "PUT", headers=headers)
    assert (await verified(head)).account == ALICE
    with pytest.raises(SignatureMismatch):
        await verified(changed(head, headers=(*head.headers[:2], ("x-amz-meta-colour", "blue"), head.headers[3])))


async def test_headers_that_version_2_puts_into_the_query_count_as_sent() -> None:
    headers = {"Content-Type": "text/plain", "x-amz-meta-colour": "red"}
    head = changed(presigned(HmacV1QueryAuth, "/b/k", "PUT", headers=headers), headers=(("Host", "localhost:9033"),))
    assert (await verified(head)).account == ALICE
    meant = with_query_headers(head)
    assert (meant.header("content-type"), meant.header("x-amz-meta-colour")) == ("text/plain", "red")
    assert operation_parameters(head) == set()


async def test_headers_that_version_4_puts_into_the_query_count_as_sent() -> None:
    head = presigned(S3SigV4QueryAuth, "/b/k?x-amz-acl=public-read&x-id=PutObject", "PUT")
    assert (await verified(head)).account == ALICE
    assert with_query_headers(head).header("x-amz-acl") == "public-read"
    assert operation_of(head, resolve(head, "")) is Operation.PUT_OBJECT


NOTHING = base64.b64encode(bytes(4)).decode()
SHA256_OF_NOTHING = base64.b64encode(hashlib.sha256().digest()).decode()


@pytest.mark.parametrize(
    ("algorithm", "declared", "counts"),
    [
        ("crc32", NOTHING, False),
        ("crc32c", NOTHING, False),
        ("crc64nvme", base64.b64encode(bytes(8)).decode(), False),
        ("sha1", base64.b64encode(hashlib.sha1().digest()).decode(), False),
        ("sha256", SHA256_OF_NOTHING, False),
        ("crc32", "NhCmhg==", True),
        ("sha256", NOTHING, True),
    ],
)
async def test_a_checksum_of_nothing_in_a_presigned_url_says_nothing_of_the_body(
    algorithm: str, declared: str, counts: bool
) -> None:
    """Signers in JavaScript have no body yet, and put the checksum of an empty one into every URL for a put."""
    more = f"x-amz-checksum-{algorithm}={quote(declared, safe='')}&x-amz-sdk-checksum-algorithm={algorithm.upper()}"
    head = presigned(S3SigV4QueryAuth, f"/b/k?{more}", "PUT")
    meant = with_query_headers(head)
    assert meant.header(f"x-amz-checksum-{algorithm}") == (declared if counts else "")
    assert meant.header("x-amz-sdk-checksum-algorithm") == (algorithm.upper() if counts else "")


async def test_a_header_in_the_query_cannot_end_a_line() -> None:
    head = presigned(S3SigV4QueryAuth, "/b/k?x-amz-meta-a=1%0D%0AX-Evil:2", "PUT")
    with pytest.raises(InvalidArgument):
        with_query_headers(head)


async def test_a_query_without_a_signature_stands_for_no_headers() -> None:
    head = RequestHead("PUT", "/b/k", "x-amz-acl=public-read", (("host", "h"),))
    assert with_query_headers(head) is head
    assert operation_parameters(head) == {"x-amz-acl"}


async def test_a_presigned_put_may_announce_a_framed_body() -> None:
    head = presigned(S3SigV4QueryAuth, f"/b/k?X-Amz-Content-Sha256={UNSIGNED_TRAILER}", "PUT")
    with pytest.raises(SignatureMismatch):  # botocore signs UNSIGNED-PAYLOAD whatever the query says
        await verified(head)
    unsigned = presigned(S3SigV4QueryAuth, "/b/k?X-Amz-Content-Sha256=UNSIGNED-PAYLOAD", "PUT")
    assert (await verified(unsigned)).account == ALICE


async def test_the_presigned_url_of_amazons_example_is_accepted() -> None:
    """sigv4-query-string-auth.html"""
    query = (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2F"
        "aws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
    head = RequestHead("GET", "/test.txt", query, (("Host", "examplebucket.s3.amazonaws.com"),))
    signed_at_s = int(datetime(2013, 5, 24, tzinfo=UTC).timestamp())
    assert (await verified(head, signed_at_s + 86_400)).account == ALICE
    with pytest.raises(PresignedUrlExpired):
        await verified(head, signed_at_s + 86_401)


# --- version 2


async def test_the_version_2_examples_of_amazon_are_accepted() -> None:
    """RESTAuthentication.html: virtual-host style, in the header and in the query."""
    host = ("Host", "johnsmith.s3.amazonaws.com")
    date = ("Date", "Tue, 27 Mar 2007 19:36:42 +0000")
    authorization = ("Authorization", "AWS AKIAIOSFODNN7EXAMPLE:bWq2s1WEIj+Ydj0vQ697zp+IXMU=")
    then_s = int(datetime(2007, 3, 27, 19, 36, 42, tzinfo=UTC).timestamp())
    head = RequestHead("GET", "/photos/puppy.jpg", "", (host, date, authorization))
    assert (await verified(head, then_s, "s3.amazonaws.com")).account == ALICE
    with pytest.raises(SignatureMismatch):
        await verified(head, then_s, "")  # the bucket is part of what is signed
    query = "AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&Expires=1175139620"
    assert (await verified(changed(head, raw_query=query, headers=(host,)), 1175139620, "s3.amazonaws.com")).account


def header_signed(target: str, method: str = "GET", headers: dict[str, str] | None = None) -> RequestHead:
    request = AWSRequest(method, f"http://localhost:9033{target}", headers=dict(headers or {}))
    HmacV1Auth(Credentials(ACCESS_KEY, SECRET_KEY)).add_auth(request)
    url = urlsplit(request.url)
    sent = (("Host", "localhost:9033"), *((name, str(value)) for name, value in request.headers.items()))
    return RequestHead(method, url.path, url.query, sent)


@pytest.mark.parametrize("target", [*TARGETS, "/b?prefix=a&delimiter=%2F&max-keys=2", "/"])
@pytest.mark.parametrize("headers", [{}, {"Content-Type": "text/plain", "x-amz-meta-b": "2", "x-amz-acl": "private"}])
async def test_what_botocore_signs_with_version_2_is_accepted(target: str, headers: dict[str, str]) -> None:
    head = header_signed(target, "PUT", headers)
    assert (await verified(head)).account == ALICE
    with pytest.raises(SignatureMismatch):
        await verified(changed(head, raw_path=head.raw_path + "x"))
    with pytest.raises(SignatureMismatch):
        await verified(changed(head, headers=(*head.headers, ("x-amz-meta-a", "1"))))


@pytest.mark.parametrize("signed", ["/b", "/b/"])
async def test_a_bucket_may_be_signed_with_and_without_its_slash(signed: str) -> None:
    """boto3 signs /b/ and asks for /b."""
    sent = (*header_signed(signed).headers,)
    assert (await verified(RequestHead("GET", "/b", "", sent))).account == ALICE
    for path in ("/b/k", "/", "/c"):
        with pytest.raises(SignatureMismatch):
            await verified(RequestHead("GET", path, "", sent))


async def test_version_2_dates_may_not_lie_far_from_ours() -> None:
    head = header_signed("/b/k")
    assert (await verified(head, NOW_S + 900)).account == ALICE
    for off_s in (-901, 901):
        with pytest.raises(RequestTimeTooSkewed):
            await verified(head, NOW_S + off_s)
    stamp = formatdate(NOW_S, usegmt=True)  # s3cmd's way: the signed Date is empty then, whatever Date says
    to_sign = f"GET\n\n\n\nx-amz-date:{stamp}\n/b/k".encode()
    signature = base64.b64encode(hmac.digest(SECRET_KEY.encode(), to_sign, hashlib.sha1)).decode()
    dated = (("x-amz-date", stamp), ("date", "any"), ("authorization", f"AWS {ACCESS_KEY}:{signature}"))
    assert (await verified(RequestHead("GET", "/b/k", "", dated))).account == ALICE
    undated = changed(head, headers=tuple(pair for pair in head.headers if pair[0].lower() != "date"))
    with pytest.raises(NoValidDate):
        await verified(undated)


@pytest.mark.parametrize("value", ["AWS ", "AWS :", "AWS AKIA", "AWS :sig", "AWS AKIATESTKEY:", "AWS AKIATESTKEY:????"])
async def test_a_malformed_version_2_header_is_refused(value: str) -> None:
    head = RequestHead("GET", "/b/k", "", (("date", formatdate(NOW_S)), ("authorization", value)))
    with pytest.raises((InvalidArgument, SignatureMismatch)):
        await verified(head)
