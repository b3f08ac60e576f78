"""Payload in messages of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

CHUNK_BYTES: Final = 1024 * 1024
"""Most payload in one message: 64 KiB messages cost three times the CPU, larger ones gain nothing."""


def chunks_of(payload: bytes | bytearray | memoryview, size_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """`payload` in pieces of at most `size_bytes`; not copied when it is bytes and fits into one."""
    if isinstance(payload, bytes) and len(payload) <= size_bytes:
        if payload:
            yield payload
        return
    view = memoryview(payload)
    for start in range(0, len(view), size_bytes):
        yield bytes(view[start : start + size_bytes])
