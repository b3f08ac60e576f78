"""Sign requests, as a client does: for our command line and tests. The keys are the caller's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

from gateway.auth import gnfd1_text, sigv4_text
from gateway.auth.sigv4_text import UNSIGNED_PAYLOAD, Scope
from gateway.request import RequestHead

Headers = list[tuple[str, str]]


def sign_gnfd1(head: RequestHead, sign: Callable[[bytes], bytes], expires_at_s: int) -> Headers:
    """The headers to add to `head`, which must have its Host.

    sign: 32-byte digest to 65-byte signature, by the account's key (sp.crypto.private.PrivateKey.sign)
    expires_at_s: unix seconds, at most 7 days ahead
    """
    expiry = datetime.fromtimestamp(expires_at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    added = [(gnfd1_text.EXPIRY_HEADER, expiry)]
    signed = _with_headers(head, added)
    signature = sign(gnfd1_text.message_hash(signed, head.host))
    return [*added, ("authorization", f"{gnfd1_text.ALGORITHM}, Signature={signature.hex()}")]


def sign_sigv4(
    head: RequestHead,
    access_key_id: str,
    secret_access_key: str,
    now_s: int,
    *,
    region: str = "us-east-1",
    payload: bytes | None = b"",
) -> Headers:
    """The headers to add to `head`, which must have its Host. payload: whose sha256 is signed; None: not signed."""
    stamp = datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    payload_hash = UNSIGNED_PAYLOAD if payload is None else hashlib.sha256(payload).hexdigest()
    added = [("x-amz-date", stamp), ("x-amz-content-sha256", payload_hash)]
    signed = _with_headers(head, added)
    names = sorted(
        name for name in signed.header_names() if name.startswith("x-amz-") or name in ("host", "content-type", "range")
    )
    scope = Scope(access_key_id, stamp[:8], region, "s3")
    to_sign = sigv4_text.string_to_sign(stamp, scope, sigv4_text.canonical_request(signed, names, payload_hash))
    signature = sigv4_text.signature(sigv4_text.signing_key(secret_access_key, scope), to_sign)
    authorization = (
        f"{sigv4_text.ALGORITHM} Credential={access_key_id}/{scope.text},"
        f"SignedHeaders={';'.join(names)},Signature={signature}"
    )
    return [*added, ("authorization", authorization)]


def _with_headers(head: RequestHead, added: Headers) -> RequestHead:
    return RequestHead(head.method, head.raw_path, head.raw_query, (*head.headers, *added))
