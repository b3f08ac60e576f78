"""Greenfield's canonical request as pure text (GREENFIELD.md 7.3), for GNFD1-ECDSA and every other GNFD scheme.

Bit-exact with js-sdk 2.2.2 and the Go SDK: tests/vectors/auth_vectors.json.
"""

from __future__ import annotations

from typing import Final

from gateway.request import QueryPairs, RequestHead, decoded_path, percent_encoded
from sp.crypto.hashing import keccak256

ALGORITHM: Final = "GNFD1-ECDSA"
EXPIRY_HEADER: Final = "x-gnfd-expiry-timestamp"
MAX_VALID_S: Final = 7 * 24 * 3600

SIGNED_HEADERS: Final = (
    "content-type",
    "range",
    "x-gnfd-content-sha256",
    "x-gnfd-date",
    "x-gnfd-expiry-timestamp",
    "x-gnfd-piece-index",
    "x-gnfd-redundancy-index",
    "x-gnfd-resource",
    "x-gnfd-txn-hash",
    "x-gnfd-unsigned-msg",
    "x-gnfd-user-address",
)
"""Sorted. Of these, those that a request has are signed, and no others (x-gnfd-object-id and content-md5 are not)."""


def canonical_query(pairs: QueryPairs) -> str:
    """As Go's url.Values.Encode: sorted by decoded key, values of one key in their order; blanks as %20."""
    in_order = sorted(pairs, key=lambda pair: pair[0])
    return "&".join(f"{percent_encoded(name)}={percent_encoded(value)}" for name, value in in_order)


def canonical_request(head: RequestHead, host: str) -> str:
    """host: the Host header's value, or what the signer may have taken for it."""
    signed = [name for name in SIGNED_HEADERS if head.values(name)]
    lines = (f"{name}:{','.join(' '.join(value.split()) for value in head.values(name))}\n" for name in signed)
    return "\n".join(
        (
            head.method,
            percent_encoded(decoded_path(head), keep="/"),
            canonical_query(head.query),
            f"{''.join(lines)}{host}\n",
            ";".join(signed),
        )
    )


def message_hash(head: RequestHead, host: str) -> bytes:
    """The 32 bytes that GNFD1-ECDSA signs."""
    return keccak256(canonical_request(head, host).encode("utf-8", "surrogateescape"))
