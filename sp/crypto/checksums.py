"""The checksums that S3 clients send beside a body: of a stream, of what is small, and joining those of two halves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from awscrt import checksums as crt
from isal.isal_zlib import crc32

from sp.crypto.buffers import Buffer


class Hasher(Protocol):
    def update(self, chunk: Buffer, /) -> None: ...

    def digest(self) -> bytes: ...


class Crc:
    """A running CRC with hashlib's interface; big-endian, as the x-amz-checksum-crc* headers are."""

    def __init__(self, advance: Callable[[Buffer, int], int], size: int) -> None:
        self._advance = advance
        self._size = size
        self._crc = 0

    def update(self, chunk: Buffer, /) -> None:
        self._crc = self._advance(chunk, self._crc)

    def digest(self) -> bytes:
        return self._crc.to_bytes(self._size, "big")


@dataclass(frozen=True, slots=True)
class Algorithm:
    """name: as it ends x-amz-checksum-*; size: bytes of a digest; new: for one stream"""

    name: str
    size: int
    new: Callable[[], Hasher]


ALGORITHMS: Final[dict[str, Algorithm]] = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm("crc32", 4, lambda: Crc(crc32, 4)),  # ten times as fast as zlib's and awscrt's
        Algorithm("crc32c", 4, lambda: Crc(crt.crc32c, 4)),
        Algorithm("crc64nvme", 8, lambda: Crc(crt.crc64nvme, 8)),
        Algorithm("sha1", 20, lambda: hashlib.sha1(usedforsecurity=False)),
        Algorithm("sha256", 32, hashlib.sha256),
    )
}
_COMBINE: Final[dict[str, Callable[[int, int, int], int]]] = {
    "crc32": crt.combine_crc32,
    "crc32c": crt.combine_crc32c,
    "crc64nvme": crt.combine_crc64nvme,
}

COMBINABLE: Final = frozenset(_COMBINE)
"""Those whose value for a whole follows from the values of its parts."""


def crc64(payload: Buffer) -> int:
    """CRC-64/NVME: 64 bits at 20 GB/s, against chance and not against malice."""
    value: int = crt.crc64nvme(payload)
    return value


def digest(algorithm: str, payload: bytes) -> bytes:
    """Big-endian, as S3 shows it in base64. algorithm: one of ALGORITHMS. For what is small: nothing is streamed."""
    hasher = ALGORITHMS[algorithm].new()
    hasher.update(payload)
    return hasher.digest()


def combined(algorithm: str, first: bytes, second: bytes, second_size: int) -> bytes:
    """The CRC of a whole from those of its two halves. algorithm: one of COMBINABLE; second_size: bytes it covers"""
    value = _COMBINE[algorithm](int.from_bytes(first, "big"), int.from_bytes(second, "big"), second_size)
    return value.to_bytes(len(first), "big")
