"""AWS Signature Version 4 in the Authorization header. The secret stays in the Signer: it gives a key for the day."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

from gateway.auth import sigv4_text as text
from gateway.auth.query import SECURITY_TOKEN
from gateway.auth.scheme import UNSIGNED, BodyCheck, Identity
from gateway.auth.sigv4_chunks import ChunkSeed
from gateway.auth.sigv4_text import Scope
from gateway.errors import (
    InvalidAccessKeyId,
    InvalidArgument,
    MalformedAuthorization,
    NoSecurityTokens,
    NoValidDate,
    RequestTimeTooSkewed,
    WrongRegion,
)
from gateway.request import RequestHead
from signer.client import Signer, SigV4Key
from sp.domain.errors import NoSuchAccount, SignatureMismatch
from sp.domain.ids import Checksum

SCHEME: Final = "sigv4"
_SERVICE: Final = "s3"
_STREAMING: Final = "STREAMING-"
_MAX_SIGNED_HEADERS: Final = 100
_PARSED_KEPT: Final = 256
"""Of each part of a claim that clients repeat from request to request; each is bounded by the size of a head."""
_TIMESTAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Authorization:
    """The Authorization header, parsed."""

    scope: Scope
    signed_headers: tuple[str, ...]
    signature: str


def parse_authorization(value: str) -> Authorization:
    """`AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=...`; blanks after commas may be missing."""
    fields = {}
    for part in value.removeprefix(text.ALGORITHM).split(","):
        name, equals, content = part.strip().partition("=")
        if not equals or name in fields:
            raise MalformedAuthorization("it is not a list of NAME=VALUE")
        fields[name] = content
    if fields.keys() != {"Credential", "SignedHeaders", "Signature"}:
        raise MalformedAuthorization("it must have Credential, SignedHeaders and Signature")
    return Authorization(
        parse_scope(fields["Credential"]), parse_signed_headers(fields["SignedHeaders"]), fields["Signature"]
    )


@lru_cache(_PARSED_KEPT)
def parse_signed_headers(value: str) -> tuple[str, ...]:
    """Names between semicolons."""
    names = value.split(";")
    if len(names) > _MAX_SIGNED_HEADERS or names != sorted({name.lower() for name in names}):
        raise MalformedAuthorization("SignedHeaders must be lower case, sorted, each once")
    return tuple(names)


@lru_cache(_PARSED_KEPT)
def parse_scope(credential: str) -> Scope:
    """`ACCESSKEY/YYYYMMDD/REGION/SERVICE/aws4_request`"""
    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or parts[4] != text.TERMINATOR or not parts[0]:
        raise MalformedAuthorization("Credential must be KEY/YYYYMMDD/REGION/s3/aws4_request")
    return Scope(*parts[:4])


def timestamp_of(head: RequestHead) -> str:
    """When the request says it was signed, as YYYYMMDDTHHMMSSZ: x-amz-date, or else Date. NoValidDate."""
    stamp = head.header("x-amz-date")
    if not stamp and head.header("date"):
        try:
            stamp = parsedate_to_datetime(head.header("date")).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        except (ValueError, OverflowError) as error:
            raise NoValidDate from error
    if not _TIMESTAMP.fullmatch(stamp):
        raise NoValidDate
    return stamp


def body_check_of(payload_hash: str, seed: ChunkSeed | None) -> BodyCheck:
    """What x-amz-content-sha256 promises of the body. InvalidArgument for a value S3 does not know.

    seed: of the signatures inside the body, if there are to be any
    """
    if payload_hash == text.UNSIGNED_PAYLOAD:
        return UNSIGNED
    if payload_hash.startswith(_STREAMING):
        return BodyCheck(chunks=seed)
    if _SHA256.fullmatch(payload_hash):
        return BodyCheck(Checksum(bytes.fromhex(payload_hash)))
    raise InvalidArgument(
        "x-amz-content-sha256", f"it must be {text.UNSIGNED_PAYLOAD}, a STREAMING name or 64 hex digits"
    )


def check_signed_headers(head: RequestHead, signed: Sequence[str]) -> None:
    """host and every x-amz-* header must be signed, and every signed header must be there."""
    missing = [name for name in signed if not head.values(name)]
    if missing:
        raise SignatureMismatch(f"signed header {missing[0]!r} is not in the request")
    if "host" not in signed:
        raise SignatureMismatch("the host header is not signed")
    for name in head.header_names():
        if name.startswith("x-amz-") and name not in signed:
            raise SignatureMismatch(f"header {name!r} is not signed")


@dataclass(slots=True)
class SigningKeys:
    """Keys the Signer derived, kept for their day; at most `limit`, the longest unused goes first."""

    signer: Signer
    limit: int
    _kept: OrderedDict[Scope, SigV4Key] = field(default_factory=OrderedDict, repr=False)

    async def get(self, scope: Scope) -> SigV4Key:
        """InvalidAccessKeyId."""
        key = self._kept.get(scope)
        if key is None:
            key = await self._derived(scope)
            self._kept[scope] = key
            if len(self._kept) > self.limit:
                self._kept.popitem(last=False)
        self._kept.move_to_end(scope)
        return key

    async def _derived(self, scope: Scope) -> SigV4Key:
        check_access_key_id(scope.access_key_id)
        try:
            return await self.signer.sigv4_key(scope.access_key_id, scope.date, scope.region, scope.service)
        except NoSuchAccount as error:
            raise InvalidAccessKeyId(scope.access_key_id[:128]) from error


def check_access_key_id(access_key_id: str) -> None:
    """InvalidAccessKeyId for one that none can be, and that the Signer could not even be asked for."""
    if not access_key_id.isascii():
        raise InvalidAccessKeyId(access_key_id.encode("utf-8", "replace").decode()[:128])


@lru_cache(_PARSED_KEPT)
def signing_time(stamp: str) -> int:
    """Unix seconds of YYYYMMDDTHHMMSSZ. MalformedAuthorization."""
    try:
        return int(datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        raise MalformedAuthorization("the signing time is no time") from error


def check_scope(scope: Scope, stamp: str, region: str) -> None:
    """MalformedAuthorization, WrongRegion."""
    if scope.date != stamp[:8]:
        raise MalformedAuthorization("the credential's date is not the request's")
    if scope.service != _SERVICE:
        raise MalformedAuthorization(f"the credential's service must be {_SERVICE!r}")
    if scope.region != region:
        raise WrongRegion(scope.region[:64], region)


def check_no_security_token(head: RequestHead) -> None:
    """NoSecurityTokens."""
    if head.values(SECURITY_TOKEN) or any(name.lower() == SECURITY_TOKEN.encode() for name, _ in head.query):
        raise NoSecurityTokens


def identity_of(key: SigV4Key, claimed: Authorization, stamp: str, payload_hash: str, canonical: str) -> Identity:
    """Who signed the canonical request. SignatureMismatch; InvalidArgument for a payload hash that S3 does not know."""
    seed = None
    if payload_hash.startswith(_STREAMING):
        seed = ChunkSeed(key.signing_key, stamp, claimed.scope.text, claimed.signature)
    body_check = body_check_of(payload_hash, seed)
    expected = text.signature(key.signing_key, text.string_to_sign(stamp, claimed.scope, canonical))
    if not text.same(expected, claimed.signature):
        raise SignatureMismatch("the signature does not belong to this request and key")
    return Identity(key.account, SCHEME, custodial=True, body_check=body_check)


@dataclass(frozen=True, slots=True)
class SigV4:
    """region: the one a credential scope must name. max_skew_s: how far a signing time may lie from ours."""

    keys: SigningKeys
    region: str
    max_skew_s: int = 900

    def recognises(self, head: RequestHead) -> bool:
        return head.header("authorization").startswith(text.ALGORITHM)

    async def authenticate(self, head: RequestHead, now_s: int) -> Identity:
        check_no_security_token(head)
        claimed = parse_authorization(head.header("authorization"))
        stamp = timestamp_of(head)
        signed_at_s = signing_time(stamp)
        if abs(now_s - signed_at_s) > self.max_skew_s:
            raise RequestTimeTooSkewed(signed_at_s, now_s, self.max_skew_s)
        check_scope(claimed.scope, stamp, self.region)
        payload_hash = head.header("x-amz-content-sha256")
        body_check_of(payload_hash, None)
        check_signed_headers(head, claimed.signed_headers)
        key = await self.keys.get(claimed.scope)
        canonical = text.canonical_request(head, claimed.signed_headers, payload_hash)
        return identity_of(key, claimed, stamp, payload_hash, canonical)
