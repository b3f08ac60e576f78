"""Keys that accounts let applications sign with: registered by a wallet's signature over a text (GNFD2-EDDSA)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.auth.gnfd2 import ACCOUNT_HEADER, DOMAIN_HEADER, KEY_HEADER
from gateway.auth.personal import parse_signed_text
from gateway.auth.scheme import Identity
from gateway.greenfield.errors import RegistrationRefused
from gateway.greenfield.params import expiry_fault
from gateway.request import RequestHead
from sp.domain.addresses import parse_address
from sp.domain.errors import AccessDenied, InvalidRequest
from sp.domain.ids import Address
from spdb.auth_keys import AuthKeys

_TEXT: Final = re.compile(
    r"(?P<domain>[^\n]+) wants you to sign in with your BNB Greenfield account:\n+"
    r"(?P<account>[^\n]+)\n+"
    r"Register your identity public key (?P<public_key>[^\n]+)\n+"
    r"URI: [^\n]+\nVersion: [^\n]+\nChain ID: [^\n]+\nIssued At: [^\n]+\n"
    r"Expiration Time: (?P<expiry>[^\n]+)(\n[\s\S]*)?"
)
"""EIP-4361's form, as go-sdk and js-sdk write it; lists of resources may follow (GREENFIELD.md 7.1; greenfield-docs
update_key)."""

_PUBLIC_KEY: Final = re.compile(r"[0-9a-fA-F]{64}")
_EXPIRY_HEADERS: Final = ("x-gnfd-expiry-timestamp", "x-gnfd-app-reg-expiry-date")


@dataclass(frozen=True, slots=True)
class Registration:
    """public_key: 64 lower-case hex digits; expires_at_ms: unix ms"""

    account: Address
    domain: str
    public_key: str
    expires_at_ms: int


def registration_of(head: RequestHead, signer: Address, now_s: float) -> Registration:
    """What a request to register a key asks for, if all that is said twice is said alike. signer: of its text.
    RegistrationRefused, MalformedAuthorization."""
    said = _TEXT.fullmatch(parse_signed_text(head.header("authorization")).message)
    if said is None:
        raise RegistrationRefused("the signed text has not the form of a registration")
    domain, public_key = head.header(DOMAIN_HEADER), head.header(KEY_HEADER)
    expiry = next((head.header(name) for name in _EXPIRY_HEADERS if head.values(name)), "")
    if not domain or domain != head.header("origin"):
        raise RegistrationRefused(f"{DOMAIN_HEADER} is missing, or is not the request's origin")
    if not _PUBLIC_KEY.fullmatch(public_key):
        raise RegistrationRefused(f"{KEY_HEADER} must be 64 hex digits")
    if fault := expiry_fault(expiry, now_s):
        raise RegistrationRefused(f"the expiry: {fault}")
    if (said["domain"], said["public_key"], said["expiry"]) != (domain, public_key, expiry):
        raise RegistrationRefused("the signed text names another domain, key or expiry than the headers")
    if _address_or_none(said["account"]) != signer:
        raise RegistrationRefused("the text was not signed by the account that it names")
    expires_at_ms = int(datetime.fromisoformat(expiry).timestamp() * 1000)
    return Registration(signer, domain, public_key.lower(), expires_at_ms)


def asked_about(head: RequestHead) -> tuple[Address, str]:
    """Account and domain, by headers. InvalidRequest."""
    account, domain = parse_address(head.header(ACCOUNT_HEADER)), head.header(DOMAIN_HEADER)
    if not domain:
        raise InvalidRequest(f"{DOMAIN_HEADER} is missing")
    return account, domain


@dataclass(frozen=True, slots=True)
class GreenfieldKeys:
    keys: AuthKeys

    async def register(self, identity: Identity, head: RequestHead, now_s: float) -> None:
        """RegistrationRefused, InvalidRequest; AccessDenied for a request that no wallet has signed."""
        if identity.account is None:
            raise AccessDenied(identity.scheme, "REGISTER_KEY", "")
        wanted = registration_of(head, identity.account, now_s)
        await self.keys.add(wanted.account, wanted.domain, wanted.public_key, wanted.expires_at_ms)

    async def list(self, head: RequestHead) -> list[str]:
        account, domain = asked_about(head)
        return await self.keys.list(account, domain)

    async def remove(self, identity: Identity, head: RequestHead, body: bytes) -> None:
        """body: hex keys, joined by commas. AccessDenied for another account's."""
        account, domain = asked_about(head)
        if identity.account != account:
            raise AccessDenied(identity.account or identity.scheme, "DELETE_KEYS", account)
        keys = [key.strip().lower() for key in body.decode("ascii", "replace").split(",")]
        await self.keys.remove(account, domain, [key for key in keys if _PUBLIC_KEY.fullmatch(key)])


def _address_or_none(text: str) -> Address | None:
    try:
        return parse_address(text.strip())
    except InvalidRequest:
        return None
