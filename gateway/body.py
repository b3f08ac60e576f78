"""Check a body against everything the request promised of it, while it streams past.

The put is committed only when the body ends by itself: a digest or a length that does not fit raises at the end, before
that. Large chunks are hashed in the CPU pool, one at a time per body, while the chunk before is being stored.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.auth.scheme import BodyCheck
from gateway.errors import InvalidDigest, NotSupported
from gateway.request import RequestHead
from sp.domain.errors import ObjectTooLarge, PayloadDigestMismatch, PayloadSizeMismatch
from sp.runtime.pool import CpuPool

CHUNK_BYTES: Final = 1 << 20
"""Chunks are made this long before they go on, but for the last."""

INLINE_BYTES: Final = 1 << 16
"""A chunk shorter than this is hashed where we are: a hop to the pool costs more."""


class Hasher(Protocol):
    def update(self, chunk: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class Crc32:
    """zlib's CRC-32 with hashlib's interface; big-endian, as x-amz-checksum-crc32 is."""

    def __init__(self) -> None:
        self._crc = 0

    def update(self, chunk: bytes, /) -> None:
        self._crc = zlib.crc32(chunk, self._crc)

    def digest(self) -> bytes:
        return self._crc.to_bytes(4, "big")


def _md5() -> Hasher:
    return hashlib.md5(usedforsecurity=False)


def _sha1() -> Hasher:
    return hashlib.sha1(usedforsecurity=False)


BASE64_HEADERS: Final[dict[str, tuple[Callable[[], Hasher], int]]] = {
    "content-md5": (_md5, 16),
    "x-amz-checksum-crc32": (Crc32, 4),
    "x-amz-checksum-sha1": (_sha1, 20),
    "x-amz-checksum-sha256": (hashlib.sha256, 32),
}
"""Header: how its digest is computed, and how many bytes it has."""

CONTENT_SHA256: Final = "x-amz-content-sha256"
_OTHER_CHECKSUMS: Final = ("x-amz-checksum-crc32c", "x-amz-checksum-crc64nvme", "x-amz-trailer")


@dataclass(frozen=True, slots=True)
class DeclaredDigest:
    """A digest that the request says its body has. header: where it says so"""

    header: str
    digest: bytes


def declared_digests(head: RequestHead, check: BodyCheck) -> tuple[DeclaredDigest, ...]:
    """All of them. InvalidDigest for a malformed one, NotSupported for one we cannot check."""
    declared = [] if check.sha256 is None else [DeclaredDigest(CONTENT_SHA256, check.sha256)]
    for name in head.header_names():
        if name in _OTHER_CHECKSUMS or (name.startswith("x-amz-checksum-") and not _is_checkable(name)):
            raise NotSupported(f"{name}; send crc32, sha1 or sha256 in a header")
    for name, (_, size) in BASE64_HEADERS.items():
        if head.values(name):
            declared.append(DeclaredDigest(name, _decoded(name, head.header(name), size)))
    return tuple(declared)


def refuse_framed_body(head: RequestHead, check: BodyCheck) -> None:
    """NotSupported for a body with chunk framing inside: stored as it is, it would be a silently damaged object."""
    announced = check.framing or head.header(CONTENT_SHA256)
    encodings = [encoding.strip().lower() for encoding in head.header("content-encoding").split(",")]
    if announced.startswith("STREAMING-") or "aws-chunked" in encodings or head.values("x-amz-decoded-content-length"):
        raise NotSupported("aws-chunked bodies; send the payload as it is, signed or UNSIGNED-PAYLOAD")


def _is_checkable(name: str) -> bool:
    return name in BASE64_HEADERS or name in ("x-amz-checksum-mode", "x-amz-checksum-algorithm", "x-amz-checksum-type")


def _decoded(header: str, value: str, size: int) -> bytes:
    try:
        digest = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidDigest(header) from error
    if len(digest) != size:
        raise InvalidDigest(header)
    return digest


def _update_all(hashers: list[Hasher], chunk: bytes) -> None:
    for hasher in hashers:
        hasher.update(chunk)


@dataclass(frozen=True, slots=True)
class BodyPromise:
    """What must be true of a body. size: bytes, or None when it is not known; max_size: bytes it may never exceed."""

    digests: tuple[DeclaredDigest, ...]
    size: int | None
    max_size: int


async def verified(body: AsyncIterator[bytes], promise: BodyPromise, pool: CpuPool) -> AsyncGenerator[bytes, None]:
    """`body` in chunks of CHUNK_BYTES, ending only if every promise held.

    Raises PayloadSizeMismatch (as soon as it is too long, or at the end), ObjectTooLarge, PayloadDigestMismatch, and
    whatever `body` raises. Holds two chunks at most.
    """
    hashers = [_new_hasher(declared.header) for declared in promise.digests]
    pending: asyncio.Task[None] | None = None
    received = 0
    try:
        async with aclosing(coalesced(body)) as chunks:
            async for chunk in chunks:
                received += len(chunk)
                _check_not_longer(received, promise)
                if pending is not None:
                    await pending
                    pending = None
                if len(chunk) < INLINE_BYTES:
                    _update_all(hashers, chunk)
                elif hashers:
                    pending = asyncio.create_task(pool.run(_update_all, hashers, chunk), name="hash body chunk")
                yield chunk
        if pending is not None:
            await pending
    finally:
        if pending is not None and not pending.done():
            pending.cancel()
            await asyncio.wait([pending])
    if promise.size is not None and received != promise.size:
        raise PayloadSizeMismatch(promise.size, received)
    _check_digests(promise.digests, hashers)


async def coalesced(body: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The same bytes in chunks of exactly CHUNK_BYTES but for the last; a chunk that fits is passed on uncopied."""
    kept = bytearray()
    async for chunk in body:
        if not kept and len(chunk) == CHUNK_BYTES:
            yield chunk
            continue
        kept += chunk
        while len(kept) >= CHUNK_BYTES:
            yield bytes(memoryview(kept)[:CHUNK_BYTES])
            del kept[:CHUNK_BYTES]
    if kept:
        yield bytes(kept)


def _new_hasher(header: str) -> Hasher:
    return hashlib.sha256() if header == CONTENT_SHA256 else BASE64_HEADERS[header][0]()


def _check_not_longer(received: int, promise: BodyPromise) -> None:
    if promise.size is not None and received > promise.size:
        raise PayloadSizeMismatch(promise.size, received)
    if received > promise.max_size:
        raise ObjectTooLarge(received, promise.max_size)


def _check_digests(declared: tuple[DeclaredDigest, ...], hashers: list[Hasher]) -> None:
    for promised, hasher in zip(declared, hashers, strict=True):
        computed = hasher.digest()
        if computed != promised.digest:
            raise PayloadDigestMismatch(promised.header, promised.digest.hex(), computed.hex())
