"""GNFD1-ECDSA: a Greenfield account signs the request with its own chain key.

The account is recovered from the signature, so a changed request is not "wrong" but another, unknown account's: it has
no permission for anything. js-sdk signs the host without its port, so where there is a port both readings are tried,
and the chain decides which of the two accounts exists.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from chain.client import Chain
from gateway.auth import gnfd1_text as text
from gateway.auth.scheme import Identity
from gateway.errors import ExpiryRefused, MalformedAuthorization
from gateway.request import RequestHead, host_without_port
from sp.domain.addresses import parse_address, signer_of
from sp.domain.errors import SignatureMismatch
from sp.domain.ids import Address

SCHEME: Final = "gnfd1-ecdsa"


def parse_signature(value: str) -> bytes:
    """The 65 bytes in `GNFD1-ECDSA, Signature=<hex>`; MalformedAuthorization otherwise."""
    fields = [part.strip() for part in value.split(",")]
    if len(fields) != 2 or fields[0] != text.ALGORITHM or not fields[1].startswith("Signature="):
        raise MalformedAuthorization(f"it must be {text.ALGORITHM!r}, a comma, and Signature=HEX")
    try:
        signature = bytes.fromhex(fields[1].removeprefix("Signature=").removeprefix("0x"))
    except ValueError as error:
        raise MalformedAuthorization("the signature is not hex") from error
    if len(signature) != 65:
        raise MalformedAuthorization(f"the signature has {len(signature)} bytes, not 65")
    return signature


def check_expiry(head: RequestHead, now_s: int) -> None:
    """now <= expiry <= now + 7 days, from the header or the query parameter; ExpiryRefused otherwise."""
    stamp = head.header(text.EXPIRY_HEADER) or _query_expiry(head)
    if not stamp:
        raise ExpiryRefused(f"{text.EXPIRY_HEADER} is missing")
    try:
        expires = datetime.fromisoformat(stamp)
    except ValueError as error:
        raise ExpiryRefused("it is not ISO 8601") from error
    if expires.tzinfo is None:
        raise ExpiryRefused("it has no time zone")
    if not now_s <= expires.timestamp() <= now_s + text.MAX_VALID_S:
        raise ExpiryRefused("it must lie between now and 7 days from now")


@dataclass(slots=True)
class KnownAccounts:
    """Which addresses have ever appeared on chain. Those found are remembered, at most `limit`."""

    chain: Chain
    limit: int = 4096
    _known: OrderedDict[Address, None] = field(default_factory=OrderedDict, repr=False)

    async def has(self, address: Address) -> bool:
        if address in self._known:
            self._known.move_to_end(address)
            return True
        account = await self.chain.account(address)
        if not (account.nonce or account.balance or account.locked):
            return False
        self._known[address] = None
        if len(self._known) > self.limit:
            self._known.popitem(last=False)
        return True


@dataclass(frozen=True, slots=True)
class Gnfd1:
    accounts: KnownAccounts

    def recognises(self, head: RequestHead) -> bool:
        return head.header("authorization").startswith(text.ALGORITHM)

    async def authenticate(self, head: RequestHead, now_s: int) -> Identity:
        signature = parse_signature(head.header("authorization"))
        check_expiry(head, now_s)
        candidates = []
        for host in _host_readings(head.host):
            signer = signer_of(text.message_hash(head, host), signature)
            if signer is not None:
                candidates.append(signer)
        if not candidates:
            raise SignatureMismatch("no account can have made this signature")
        return Identity(await self._chosen(head, candidates), SCHEME)

    async def _chosen(self, head: RequestHead, candidates: list[Address]) -> Address:
        claimed = head.header("x-gnfd-user-address")
        if claimed:
            account = parse_address(claimed)
            if account not in candidates:
                raise SignatureMismatch("it is not the signature of x-gnfd-user-address")
            return account
        for candidate in candidates[:-1]:
            if await self.accounts.has(candidate):
                return candidate
        return candidates[-1] if len(candidates) == 1 or await self.accounts.has(candidates[-1]) else candidates[0]


def _host_readings(host: str) -> Iterable[str]:
    yield host
    bare = host_without_port(host)
    if bare != host:
        yield bare


def _query_expiry(head: RequestHead) -> str:
    for name, value in head.query:
        if name.lower() == text.EXPIRY_HEADER.encode():
            return value.decode("ascii", "replace")
    return ""
