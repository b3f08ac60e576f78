"""Bodies as S3 clients frame them (aws-chunked), written from Amazon's description and apart from our decoder."""

from __future__ import annotations

import base64
import hashlib
import hmac
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from awscrt import checksums as crt

from gateway.request import RequestHead

SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
FRAMINGS = (SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER)

CHECKSUMS: dict[str, Callable[[bytes], bytes]] = {
    "crc32": lambda payload: zlib.crc32(payload).to_bytes(4, "big"),
    "crc32c": lambda payload: crt.crc32c(payload).to_bytes(4, "big"),
    "crc64nvme": lambda payload: crt.crc64nvme(payload).to_bytes(8, "big"),
    "sha1": lambda payload: hashlib.sha1(payload).digest(),
    "sha256": lambda payload: hashlib.sha256(payload).digest(),
}


def checksum(algorithm: str, payload: bytes) -> str:
    return base64.b64encode(CHECKSUMS[algorithm](payload)).decode()


@dataclass(frozen=True)
class Credential:
    access_key_id: str
    secret: str
    region: str = "us-east-1"

    def key(self, date: str) -> bytes:
        key = f"AWS4{self.secret}".encode()
        for word in (date, self.region, "s3", "aws4_request"):
            key = hmac.new(key, word.encode(), hashlib.sha256).digest()
        return key


@dataclass(frozen=True)
class Style:
    """How one client writes: the case and zeros of sizes, what ends a trailer and comes before its signature."""

    size: str = "{:x}"
    trailer_end: str = "\r\n"
    before_signature: str = ""


PLAIN = Style()
MINIO_GO = Style(trailer_end="\n", before_signature="\r\n")
STYLES = (PLAIN, MINIO_GO, Style(size="{:X}"), Style(size="{:08x}"))


def cut(payload: bytes, sizes: Iterable[int]) -> list[bytes]:
    """Pieces of these sizes, and the rest."""
    pieces, at = [], 0
    for size in sizes:
        if 0 < size < len(payload) - at:
            pieces.append(payload[at : at + size])
            at += size
    return [*pieces, payload[at:]] if payload[at:] else pieces


def encoded(
    pieces: Sequence[bytes],
    framing: str,
    *,
    trailer: tuple[str, str] | None = None,
    key: bytes = b"",
    stamp: str = "",
    region: str = "us-east-1",
    seed: str = "",
    style: Style = PLAIN,
) -> bytes:
    """The body. trailer: name and value; key, stamp, region, seed: of signed chunks"""
    scope, previous, out = f"{stamp[:8]}/{region}/s3/aws4_request", seed, []

    def sign(kind: str, *last: str) -> str:
        nonlocal previous
        text = "\n".join((f"AWS4-HMAC-SHA256-{kind}", stamp, scope, previous, *last))
        previous = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        return previous

    for piece in (*pieces, b""):
        line = style.size.format(len(piece))
        if framing != UNSIGNED_TRAILER:
            hashes = (hashlib.sha256(b"").hexdigest(), hashlib.sha256(piece).hexdigest())
            line += f";chunk-signature={sign('PAYLOAD', *hashes)}"
        out.append(line.encode() + b"\r\n" + (piece + b"\r\n" if piece else b""))
    if trailer is not None:
        out.append(f"{trailer[0]}:{trailer[1]}{style.trailer_end}".encode())
        if framing == SIGNED_TRAILER:
            digest = hashlib.sha256(f"{trailer[0]}:{trailer[1]}\n".encode()).hexdigest()
            out.append(f"{style.before_signature}x-amz-trailer-signature:{sign('TRAILER', digest)}\r\n".encode())
    return b"".join([*out, b"\r\n"])


def streaming_put(
    credential: Credential,
    host: str,
    target: str,
    pieces: Sequence[bytes],
    framing: str,
    now_s: int,
    *,
    algorithm: str = "",
    more: Sequence[tuple[str, str]] = (),
    style: Style = PLAIN,
) -> tuple[list[tuple[str, str]], bytes]:
    """Headers (signed; without Host and Content-Length) and body of a PUT. algorithm: of a trailing checksum"""
    payload = b"".join(pieces)
    stamp = datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = [
        ("x-amz-date", stamp),
        ("x-amz-content-sha256", framing),
        ("x-amz-decoded-content-length", str(len(payload))),
        *more,
    ]
    trailer = None
    if algorithm:
        trailer = (f"x-amz-checksum-{algorithm}", checksum(algorithm, payload))
        headers.append(("x-amz-trailer", trailer[0]))
    authorization, seed = _authorization(credential, host, target, headers, stamp, framing)
    headers.append(("authorization", authorization))
    key = credential.key(stamp[:8])
    body = encoded(
        pieces, framing, trailer=trailer, key=key, stamp=stamp, region=credential.region, seed=seed, style=style
    )
    return headers, body


def _authorization(
    credential: Credential, host: str, target: str, headers: list[tuple[str, str]], stamp: str, payload_hash: str
) -> tuple[str, str]:
    from gateway.auth import sigv4_text as text

    head = RequestHead.of_target("PUT", target, [("host", host), *headers])
    names = sorted(head.header_names())
    scope = text.Scope(credential.access_key_id, stamp[:8], credential.region, "s3")
    canonical = text.canonical_request(head, names, payload_hash)
    signature = text.signature(credential.key(stamp[:8]), text.string_to_sign(stamp, scope, canonical))
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={credential.access_key_id}/{scope.text},"
        f"SignedHeaders={';'.join(names)},Signature={signature}"
    )
    return authorization, signature
