"""Length- and checksum-framed records in a file, and where a file stops being readable.

frame = "GFB1" | length of payload, 4 bytes big-endian | CRC-32 of payload, 4 bytes big-endian | payload
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

MAGIC: Final = b"GFB1"
_HEAD: Final = struct.Struct(">4sII")


def frame(payload: bytes) -> bytes:
    return _HEAD.pack(MAGIC, len(payload), zlib.crc32(payload)) + payload


def scan(contents: bytes) -> tuple[list[bytes], int]:
    """The payloads of the whole frames at the start, and the offset of the first byte after them."""
    payloads: list[bytes] = []
    offset = 0
    while (payload := _frame_at(contents, offset)) is not None:
        payloads.append(payload)
        offset += _HEAD.size + len(payload)
    return payloads, offset


def another_frame_after(contents: bytes, offset: int) -> bool:
    """Whether a whole frame lies anywhere behind `offset`, where none starts.

    One append that was cut short leaves no whole frame behind it: if there is one, the file was damaged in its middle
    and what follows was once acknowledged.
    """
    place = contents.find(MAGIC, offset + 1)
    while place >= 0:
        if _frame_at(contents, place) is not None:
            return True
        place = contents.find(MAGIC, place + 1)
    return False


def _frame_at(contents: bytes, offset: int) -> bytes | None:
    start = offset + _HEAD.size
    if start > len(contents):
        return None
    magic, length, checksum = _HEAD.unpack_from(contents, offset)
    payload = contents[start : start + length]
    if magic != MAGIC or len(payload) != length or zlib.crc32(payload) != checksum:
        return None
    return payload
