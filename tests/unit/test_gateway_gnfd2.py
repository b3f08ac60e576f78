"""GNFD2-EDDSA: an application's key signs for the account that registered it. Against js-sdk's own request."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.auth import gnfd1_text as text
from gateway.auth.gnfd2 import Gnfd2
from gateway.errors import ExpiryRefused, MalformedAuthorization
from gateway.greenfield.errors import LinkExpiryRefused
from gateway.request import RequestHead
from sp.domain.errors import SignatureMismatch
from tests.unit.gateway_world import USER, FakeKeys, address
from tests.vectors import load

VECTOR: dict[str, Any] = next(each for each in load("auth_vectors.json") if each["name"] == "gnfd2-eddsa")
NOW_S = int(datetime.fromisoformat("2024-01-02T03:04:05Z").timestamp())
SEED = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(VECTOR["ed25519_seed_hex"]))
PUBLIC_KEY = SEED.public_key().public_bytes_raw().hex()
DOMAIN = "https://dapp.example"


def head(**changed: Any) -> RequestHead:
    headers = {**dict(VECTOR["headers"]), "Host": VECTOR["host"], "Authorization": VECTOR["authorization"]}
    headers |= changed.get("headers", {})
    path = changed.get("path", quote(VECTOR["decoded_path"]))
    return RequestHead(changed.get("method", VECTOR["method"]), path, "", tuple(headers.items()))


def scheme(account: Any = USER, domain: str = DOMAIN) -> Gnfd2:
    return Gnfd2(FakeKeys({(account, domain, PUBLIC_KEY)}))


async def test_js_sdks_request_is_its_accounts() -> None:
    assert scheme().recognises(head())
    assert text.message_hash(head(), VECTOR["host"]).hex() == VECTOR["message_hash_hex"]
    identity = await scheme().authenticate(head(), NOW_S)
    assert (identity.account, identity.custodial) == (VECTOR["signer"], False)


async def test_the_host_may_have_been_signed_without_its_port() -> None:
    identity = await scheme().authenticate(head(headers={"Host": VECTOR["host"] + ":9033"}), NOW_S)
    assert identity.account == VECTOR["signer"]


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"path": "/b.txt"},
        {"headers": {"Host": "elsewhere"}},
        {"headers": {"X-Gnfd-Expiry-Timestamp": "2024-01-02T05:04:06Z"}},
        {"headers": {"Content-Type": "text/plain"}},
        {"headers": {"Authorization": VECTOR["authorization"][:-1] + "e"}},
    ],
)
async def test_a_changed_request_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SignatureMismatch, match="not signed by the registered key"):
        await scheme().authenticate(head(**change), NOW_S)


@pytest.mark.parametrize(
    ("registered", "change"),
    [
        (Gnfd2(FakeKeys()), {}),
        (scheme(account=address(5)), {}),
        (scheme(domain="https://other.example"), {}),
        (scheme(), {"X-Gnfd-App-Domain": "https://other.example"}),
        (scheme(), {"X-Gnfd-User-Address": address(5)}),
        (scheme(), {"X-Gnfd-App-Reg-Public-Key": "00" * 32}),
    ],
)
async def test_a_key_counts_for_its_account_and_domain_only(registered: Gnfd2, change: dict[str, str]) -> None:
    with pytest.raises(SignatureMismatch, match="not registered"):
        await registered.authenticate(head(headers=change), NOW_S)


@pytest.mark.parametrize("now_s", [NOW_S + 2 * 3600 + 1, NOW_S - 7 * 86_400])
async def test_an_expired_or_far_away_expiry_is_refused(now_s: int) -> None:
    with pytest.raises(ExpiryRefused):
        await scheme().authenticate(head(), now_s)


@pytest.mark.parametrize(
    "change",
    [
        {"Authorization": "GNFD2-EDDSA"},
        {"Authorization": "GNFD2-EDDSA,Signature=" + "00" * 63},
        {"Authorization": "GNFD2-EDDSA,Signature=zz"},
        {"X-Gnfd-App-Domain": ""},
        {"X-Gnfd-App-Reg-Public-Key": "00"},
        {"X-Gnfd-User-Address": ""},
    ],
)
async def test_what_is_malformed_or_missing_is_refused_as_such(change: dict[str, str]) -> None:
    with pytest.raises(MalformedAuthorization):
        await scheme().authenticate(head(headers=change), NOW_S)


# --- links --------------------------------------------------------------------------------------------------------


def link(
    method: str = "GET", *, expiry: str = "2024-01-02T05:04:05Z", view: str = "1", tail: str = "", **headers: str
) -> RequestHead:
    query = (
        f"X-Gnfd-User-Address={USER}&X-Gnfd-App-Domain={quote(DOMAIN, safe='')}&view=1"
        f"&X-Gnfd-Expiry-Timestamp={quote(expiry, safe='')}&X-Gnfd-App-Reg-Public-Key={PUBLIC_KEY}"
    )
    unsigned = RequestHead("GET", "/photos/a%20b.txt", query, (("Host", "sp.example:9033"),))
    signature = SEED.sign(text.message_hash(unsigned, "sp.example:9033")).hex()
    query = query.replace("view=1", f"view={view}") + f"&Authorization=GNFD2-EDDSA%2CSignature%3D{signature}{tail}"
    return RequestHead(method, "/photos/a%20b.txt", query, (("Host", "sp.example:9033"), *headers.items()))


async def test_a_link_is_read_in_its_signers_name_whatever_the_reader_adds() -> None:
    for opened in (link(), link(Range="bytes=0-3")):
        assert scheme().recognises(opened)
        assert (await scheme().authenticate(opened, NOW_S)).account == USER


async def test_a_changed_link_is_refused() -> None:
    for changed in (link(view="0"), link(tail="&more=1"), link("HEAD")):
        with pytest.raises(SignatureMismatch):
            await scheme().authenticate(changed, NOW_S)


async def test_a_link_expires() -> None:
    with pytest.raises(LinkExpiryRefused):
        await scheme().authenticate(link(), NOW_S + 2 * 3600 + 1)


async def test_a_link_is_no_way_to_put() -> None:
    with pytest.raises(MalformedAuthorization):
        await scheme().authenticate(link("PUT"), NOW_S)
