"""GNFD2-EDDSA: an application signs for an account, with an Ed25519 key that the account has registered here.

In headers, or, for a link to read an object, in the query (GREENFIELD.md 7.4). The signed bytes are the same canonical
request that GNFD1-ECDSA signs; of a link, without the signature itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.auth import gnfd1_text as text
from gateway.auth.gnfd1 import check_expiry
from gateway.auth.scheme import Identity
from gateway.errors import MalformedAuthorization
from gateway.greenfield.errors import LinkExpiryRefused
from gateway.greenfield.params import expiry_fault
from gateway.request import RequestHead, host_without_port
from sp.domain.addresses import parse_address
from sp.domain.errors import SignatureMismatch
from sp.domain.ids import Address

SCHEME: Final = "gnfd2-eddsa"
ALGORITHM: Final = "GNFD2-EDDSA"
KEY_HEADER: Final = "x-gnfd-app-reg-public-key"
DOMAIN_HEADER: Final = "x-gnfd-app-domain"
ACCOUNT_HEADER: Final = "x-gnfd-user-address"
PRESIGNED_METHODS: Final = ("GET", "HEAD")

_ADDED_BY_READERS: Final = frozenset({"range", "content-type"})
"""Headers of the signed set that whoever opens a link adds to it, unknown to its signer."""


class RegisteredKeys(Protocol):
    async def has(self, account: Address, domain: str, public_key: str) -> bool:
        """Whether the account has registered this key (lower-case hex) for the domain, and it has not expired."""


@dataclass(frozen=True, slots=True)
class Gnfd2:
    keys: RegisteredKeys

    def recognises(self, head: RequestHead) -> bool:
        return _authorization(head).startswith(ALGORITHM)

    async def authenticate(self, head: RequestHead, now_s: int) -> Identity:
        presigned = not head.values("authorization")
        if presigned and head.method not in PRESIGNED_METHODS:
            raise MalformedAuthorization("a link is to read an object; other requests are signed in their headers")
        signature = parse_signature(_authorization(head))
        _check_expiry(head, now_s, presigned)
        account = parse_address(_given(head, ACCOUNT_HEADER))
        domain, public_key = _given(head, DOMAIN_HEADER), parse_public_key(_given(head, KEY_HEADER))
        if not await self.keys.has(account, domain, public_key.hex()):
            raise SignatureMismatch("the public key is not registered for this account and domain, or has expired")
        if not any(_verifies(public_key, signature, digest) for digest in _digests(head, presigned)):
            raise SignatureMismatch("the request is not signed by the registered key")
        return Identity(account, SCHEME)


def _check_expiry(head: RequestHead, now_s: int, presigned: bool) -> None:
    if not presigned:
        check_expiry(head, now_s)
    elif fault := expiry_fault(_query(head, text.EXPIRY_HEADER), now_s):
        raise LinkExpiryRefused(fault)


def parse_signature(value: str) -> bytes:
    """The 64 bytes in `GNFD2-EDDSA,Signature=<hex>`; MalformedAuthorization otherwise."""
    fields = [part.strip() for part in value.split(",")]
    if len(fields) != 2 or fields[0] != ALGORITHM or not fields[1].startswith("Signature="):
        raise MalformedAuthorization(f"it must be {ALGORITHM!r}, a comma, and Signature=HEX")
    return _from_hex(fields[1].removeprefix("Signature="), 64, "the signature")


def parse_public_key(text_: str) -> bytes:
    """32 bytes of hex. MalformedAuthorization."""
    return _from_hex(text_, 32, KEY_HEADER)


def _from_hex(digits: str, size: int, what: str) -> bytes:
    try:
        raw = bytes.fromhex(digits.removeprefix("0x"))
    except ValueError as error:
        raise MalformedAuthorization(f"{what} is not hex") from error
    if len(raw) != size:
        raise MalformedAuthorization(f"{what} has {len(raw)} bytes, not {size}")
    return raw


def _verifies(public_key: bytes, signature: bytes, digest: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, digest)
    except InvalidSignature:
        return False
    return True


def _digests(head: RequestHead, presigned: bool) -> Iterator[bytes]:
    """What the signer may have signed: js-sdk signs the host without its port."""
    readings = [_unsigned_link(head, without) for without in (frozenset[str](), _ADDED_BY_READERS)]
    for reading in readings if presigned else [head]:
        yield text.message_hash(reading, head.host)
        if host_without_port(head.host) != head.host:
            yield text.message_hash(reading, host_without_port(head.host))


def _unsigned_link(head: RequestHead, without: frozenset[str]) -> RequestHead:
    parts = [part for part in head.raw_query.split("&") if unquote(part.partition("=")[0]).lower() != "authorization"]
    headers = tuple((name, value) for name, value in head.headers if name.lower() not in without)
    return RequestHead(head.method, head.raw_path, "&".join(parts), headers)


def _authorization(head: RequestHead) -> str:
    return head.header("authorization") or _query(head, "authorization")


def _given(head: RequestHead, name: str) -> str:
    """From the header, or the query parameter of the same name; MalformedAuthorization when in neither."""
    value = head.header(name) or _query(head, name)
    if not value:
        raise MalformedAuthorization(f"{name} is missing")
    return value


def _query(head: RequestHead, name: str) -> str:
    """ "" when absent; names in any case."""
    for key, value in head.query:
        if key.lower() == name.encode():
            return value.decode("utf-8", "replace")
    return ""
