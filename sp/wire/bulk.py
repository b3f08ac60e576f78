"""Messages that are one `bytes` field of payload, without the copies that the generated classes make.

On the wire they are what protobuf writes (tag, length, payload), so either end may use the generated class instead;
tests/unit/test_wire_bulk.py holds the two to each other. For field numbers up to 15.
"""

from __future__ import annotations

_LENGTH_DELIMITED = 2
_MAX_VARINT_BYTES = 5  # lengths below 2^35; a message has at most a few MiB


def bytes_message(field: int, payload: bytes | memoryview) -> bytes:
    """A message with this one field. Copies the payload once: gRPC takes only `bytes`."""
    assert 1 <= field <= 15
    head = bytearray([field << 3 | _LENGTH_DELIMITED])
    length = len(payload)
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return b"".join((head, payload))


def payload_of(message: bytes, field: int) -> memoryview | None:
    """The payload, where it lies, of a message that is exactly this one field; None for any other message."""
    if not message or message[0] != field << 3 | _LENGTH_DELIMITED:
        return None
    length = shift = 0
    for place, byte in enumerate(message[1 : 1 + _MAX_VARINT_BYTES], start=2):
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return memoryview(message)[place:] if place + length == len(message) else None
    return None
