"""GNFD1-ECDSA, against requests signed by the network's own SDKs."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from urllib.parse import quote

import pytest

from chain.client import Chain
from gateway.auth import gnfd1_text as text
from gateway.auth.gnfd1 import Gnfd1, KnownAccounts
from gateway.auth.unsupported import KnownButUnsupported
from gateway.errors import ExpiryRefused, MalformedAuthorization, NotSupported
from gateway.request import RequestHead
from gateway.sign import sign_gnfd1
from sp.crypto.hashing import keccak256
from sp.domain.errors import SignatureMismatch
from sp.domain.ids import Address
from tests.unit.gateway_world import ALICE, USER, USER_KEY, FakeChain
from tests.vectors import load

VECTORS = load("auth_vectors.json")
ECDSA = [vector for vector in VECTORS if vector["authorization"].startswith("GNFD1-ECDSA")]
NOW_S = int(datetime.fromisoformat("2024-01-02T03:04:05Z").timestamp())
DAY_S = 86_400


def head_of(vector: dict[str, Any]) -> RequestHead:
    headers = [*((n, v) for n, v in vector["headers"]), ("Host", vector["host"])]
    headers.append(("Authorization", vector["authorization"]))
    return RequestHead(vector["method"], quote(vector["decoded_path"]), vector["raw_query"], tuple(headers))


def scheme(*known: Address) -> Gnfd1:
    return Gnfd1(KnownAccounts(cast("Chain", FakeChain(known=set(known)))))


def changed(head: RequestHead, **parts: Any) -> RequestHead:
    headers = tuple((n, parts["headers"].get(n.lower(), v)) for n, v in head.headers) if "headers" in parts else None
    return RequestHead(
        parts.get("method", head.method),
        parts.get("raw_path", head.raw_path),
        parts.get("raw_query", head.raw_query),
        headers or head.headers,
    )


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["name"])
def test_the_canonical_request_of_every_scheme_is_the_networks(vector: dict[str, Any]) -> None:
    head = head_of(vector)
    assert text.canonical_request(head, head.host) == vector["canonical_request"]


@pytest.mark.parametrize("vector", ECDSA, ids=lambda v: v["name"])
async def test_the_signer_of_every_recorded_request_is_recovered(vector: dict[str, Any]) -> None:
    head = head_of(vector)
    assert text.message_hash(head, head.host).hex() == vector["message_hash_hex"]
    identity = await scheme(USER).authenticate(head, NOW_S)
    assert (identity.account, identity.custodial) == (vector["signer"], False)
    assert identity.body_check.sha256 is None, "the content hash is a constant that nobody computes"


@pytest.mark.parametrize("vector", ECDSA, ids=lambda v: v["name"])
async def test_a_changed_request_is_another_accounts(vector: dict[str, Any]) -> None:
    head = head_of(vector)
    changes: list[dict[str, Any]] = [
        {"method": "PATCH"},
        {"raw_path": head.raw_path + "x"},
        {"raw_query": "offset=1"},
        {"headers": {"host": "elsewhere"}},
        {"headers": {"x-gnfd-expiry-timestamp": "2024-01-02T05:04:06Z"}},
    ]
    for change in changes:
        identity = await scheme(USER).authenticate(changed(head, **change), NOW_S)
        assert identity.account != USER, change


async def test_headers_outside_the_signed_set_may_change() -> None:
    head = head_of(ECDSA[0])
    identity = await scheme(USER).authenticate(changed(head, headers={"user-agent": "other"}), NOW_S)
    assert identity.account == USER


def js_sdk_head(host: str, signed_host: str) -> RequestHead:
    signed = RequestHead("PUT", "/mybucket/a", "", (("host", signed_host), ("content-type", "text/plain")))
    added = sign_gnfd1(signed, USER_KEY.sign, NOW_S + 3600)
    return RequestHead("PUT", "/mybucket/a", "", (("host", host), ("content-type", "text/plain"), *added))


@pytest.mark.parametrize("signed_host", ["sp.example.com:9033", "sp.example.com"])
async def test_the_host_may_be_signed_with_or_without_its_port(signed_host: str) -> None:
    head = js_sdk_head("sp.example.com:9033", signed_host)
    assert (await scheme(USER).authenticate(head, NOW_S)).account == USER


async def test_of_two_unknown_accounts_the_one_of_the_host_as_sent_is_taken() -> None:
    head = js_sdk_head("sp.example.com:9033", "sp.example.com:9033")
    assert (await scheme().authenticate(head, NOW_S)).account == USER


async def test_a_claimed_user_address_decides_and_must_be_the_signer() -> None:
    host = ("host", "sp.example.com:9033")
    for claimed, signed_host in ((USER, "sp.example.com"), (ALICE, "sp.example.com:9033")):
        user = ("x-gnfd-user-address", claimed)
        added = sign_gnfd1(RequestHead("GET", "/b/k", "", (("host", signed_host), user)), USER_KEY.sign, NOW_S + 60)
        head = RequestHead("GET", "/b/k", "", (host, user, *added))
        if claimed == USER:
            assert (await scheme().authenticate(head, NOW_S)).account == USER
        else:
            with pytest.raises(SignatureMismatch):
                await scheme().authenticate(head, NOW_S)


@pytest.mark.parametrize("v", [27, 28])
async def test_a_wallets_v_is_accepted(v: int) -> None:
    head = head_of(ECDSA[0])
    signature = bytes.fromhex(ECDSA[0]["signature_hex"])
    wallet = f"GNFD1-ECDSA,Signature={(signature[:64] + bytes([v])).hex()}"
    identity = await scheme(USER).authenticate(changed(head, headers={"authorization": wallet}), NOW_S)
    assert (identity.account == USER) == (v - 27 == signature[64])


@pytest.mark.parametrize(
    "expiry", ["2024-01-02T03:04:04Z", "2024-01-09T03:04:06Z", "2024-01-02T05:04:05", "tomorrow", ""]
)
async def test_an_expiry_outside_its_window_is_refused(expiry: str) -> None:
    with pytest.raises(ExpiryRefused):
        await scheme(USER).authenticate(changed(head_of(ECDSA[0]), headers={text.EXPIRY_HEADER: expiry}), NOW_S)


@pytest.mark.parametrize("off_s", [0, 3600, 7 * DAY_S])
async def test_an_expiry_up_to_seven_days_ahead_is_accepted(off_s: int) -> None:
    head = RequestHead("GET", "/b/k", "", (("host", "h"),))
    signed = RequestHead("GET", "/b/k", "", (("host", "h"), *sign_gnfd1(head, USER_KEY.sign, NOW_S + off_s)))
    assert (await scheme(USER).authenticate(signed, NOW_S)).account == USER


async def test_the_expiry_may_stand_in_the_query() -> None:
    query = "X-Gnfd-Expiry-Timestamp=2024-01-02T05%3A04%3A05Z"
    head = RequestHead("GET", "/b/k", query, (("host", "h"),))
    signature = USER_KEY.sign(keccak256(text.canonical_request(head, "h").encode())).hex()
    headers = (("host", "h"), ("authorization", f"GNFD1-ECDSA, Signature={signature}"))
    assert (await scheme(USER).authenticate(RequestHead("GET", "/b/k", query, headers), NOW_S)).account == USER


@pytest.mark.parametrize(
    "authorization",
    [
        "GNFD1-ECDSA",
        "GNFD1-ECDSA, Signature=zz",
        "GNFD1-ECDSA, Signature=00",
        "GNFD1-ECDSA, SignedMsg=00, Signature=00",
    ],
)
async def test_a_malformed_authorization_is_refused_as_such(authorization: str) -> None:
    with pytest.raises(MalformedAuthorization):
        await scheme().authenticate(changed(head_of(ECDSA[0]), headers={"authorization": authorization}), NOW_S)


async def test_a_signature_that_no_key_can_have_made_is_refused() -> None:
    impossible = f"GNFD1-ECDSA, Signature={'ff' * 64}00"
    with pytest.raises(SignatureMismatch):
        await scheme().authenticate(changed(head_of(ECDSA[0]), headers={"authorization": impossible}), NOW_S)


async def test_the_scheme_on_another_curve_is_refused_by_name() -> None:
    eddsa = changed(head_of(ECDSA[0]), headers={"authorization": "GNFD1-EDDSA,Signature=00"})
    assert KnownButUnsupported().recognises(eddsa)
    with pytest.raises(NotSupported, match="GNFD1-EDDSA"):
        await KnownButUnsupported().authenticate(eddsa, NOW_S)
