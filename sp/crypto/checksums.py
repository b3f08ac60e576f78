"""The checksums that S3 clients send beside a body: bytes to bytes, and joining those of two halves."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from typing import Final

from awscrt import checksums as crt


def _crc32(payload: bytes) -> bytes:
    return zlib.crc32(payload).to_bytes(4, "big")


def _crc32c(payload: bytes) -> bytes:
    value: int = crt.crc32c(payload)
    return value.to_bytes(4, "big")


def _crc64nvme(payload: bytes) -> bytes:
    value: int = crt.crc64nvme(payload)
    return value.to_bytes(8, "big")


def _sha1(payload: bytes) -> bytes:
    return hashlib.sha1(payload, usedforsecurity=False).digest()


def _sha256(payload: bytes) -> bytes:
    return hashlib.sha256(payload).digest()


_DIGESTS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "crc32": _crc32,
    "crc32c": _crc32c,
    "crc64nvme": _crc64nvme,
    "sha1": _sha1,
    "sha256": _sha256,
}
_COMBINE: Final[dict[str, Callable[[int, int, int], int]]] = {
    "crc32": crt.combine_crc32,
    "crc32c": crt.combine_crc32c,
    "crc64nvme": crt.combine_crc64nvme,
}

ALGORITHMS: Final = frozenset(_DIGESTS)
COMBINABLE: Final = frozenset(_COMBINE)
"""Those whose value for a whole follows from the values of its parts."""


def digest(algorithm: str, payload: bytes) -> bytes:
    """Big-endian, as S3 shows it in base64. algorithm: one of ALGORITHMS. For what is small: nothing is streamed."""
    return _DIGESTS[algorithm](payload)


def combined(algorithm: str, first: bytes, second: bytes, second_size: int) -> bytes:
    """The CRC of a whole from those of its two halves. algorithm: one of COMBINABLE; second_size: bytes it covers"""
    value = _COMBINE[algorithm](int.from_bytes(first, "big"), int.from_bytes(second, "big"), second_size)
    return value.to_bytes(len(first), "big")
