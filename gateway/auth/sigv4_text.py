"""AWS Signature Version 4 as pure text: canonical request, string to sign, signature.

Used by the verifier and by the client side, so each is checked against recorded requests of real clients
(tests/vectors/sigv4_vectors.jsonl). Query and path are decoded and encoded again, because clients differ in what
they escape (S3 signs the path encoded once, not twice).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.request import QueryPairs, RequestHead, decoded_path, percent_encoded

ALGORITHM: Final = "AWS4-HMAC-SHA256"
TERMINATOR: Final = "aws4_request"
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
_BLANKS = re.compile("  +")
_ENCODED_ALREADY = re.compile(r"[A-Za-z0-9_.~/-]*")
"""A path that decoding and encoding leave as it is."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a signing key is good for. date: YYYYMMDD"""

    access_key_id: str
    date: str
    region: str
    service: str

    @property
    def text(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/{TERMINATOR}"


def canonical_query(pairs: QueryPairs) -> str:
    encoded = sorted((percent_encoded(name), percent_encoded(value)) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def canonical_headers(head: RequestHead, names: Iterable[str]) -> str:
    """name:value lines; values trimmed, inner runs of blanks made one, repeated headers joined with commas."""
    return "".join([f"{name}:{','.join(map(_trimmed, head.values(name)))}\n" for name in names])


def _trimmed(value: str) -> str:
    value = value.strip(" \t")
    return _BLANKS.sub(" ", value) if "  " in value else value


def canonical_path(head: RequestHead) -> str:
    path = head.raw_path
    return path if _ENCODED_ALREADY.fullmatch(path) else percent_encoded(decoded_path(head), keep="/")


def canonical_request(
    head: RequestHead, signed_headers: Sequence[str], payload_hash: str, query: QueryPairs | None = None
) -> str:
    """signed_headers: lower case, in the order of the request's SignedHeaders. query: instead of the head's own"""
    return "\n".join(
        (
            head.method,
            canonical_path(head),
            canonical_query(head.query if query is None else query),
            canonical_headers(head, signed_headers),
            ";".join(signed_headers),
            payload_hash,
        )
    )


def string_to_sign(timestamp: str, scope: Scope, canonical: str) -> str:
    """timestamp: YYYYMMDDTHHMMSSZ"""
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    return "\n".join((ALGORITHM, timestamp, scope.text, digest))


def signature(signing_key: bytes, to_sign: str) -> str:
    """64 lower-case hex digits."""
    return hmac.new(signing_key, to_sign.encode(), hashlib.sha256).hexdigest()


def same(computed: str, claimed: str) -> bool:
    """In a time that does not depend on where they differ. claimed: whatever the client sent"""
    return hmac.compare_digest(computed.encode(), claimed.encode("utf-8", "replace"))


def signing_key(secret_access_key: str, scope: Scope) -> bytes:
    """The key of one day, region and service, derived from the secret. Clients derive it; servers ask the Signer."""
    key = f"AWS4{secret_access_key}".encode()
    for part in (scope.date, scope.region, scope.service, TERMINATOR):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
