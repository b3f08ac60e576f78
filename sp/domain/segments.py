"""Where an object is cut: pure arithmetic on sizes (GREENFIELD.md 1)."""

from __future__ import annotations

from sp.domain.errors import InvalidRange
from sp.domain.ids import SegmentIndex


def segment_count(payload_size: int, max_segment_size: int) -> int:
    """Segments of an object of `payload_size` bytes. 0 bytes are 0 segments."""
    assert payload_size >= 0
    assert max_segment_size > 0
    return -(-payload_size // max_segment_size)


def segment_size(payload_size: int, max_segment_size: int, index: SegmentIndex) -> int:
    """Bytes in segment `index`: all are `max_segment_size` long but the last."""
    assert 0 <= index < segment_count(payload_size, max_segment_size)
    return min(max_segment_size, payload_size - index * max_segment_size)


def piece_size(segment_bytes: int, data_chunks: int) -> int:
    """Bytes in each erasure-coded piece of one segment: rounded up, the last data piece is padded with zeros."""
    return -(-segment_bytes // data_chunks)


def group_size(payload_size: int, max_segment_size: int, data_chunks: int) -> int:
    """Bytes in one replicate data group: one column over all segments, what one secondary stores."""
    count = segment_count(payload_size, max_segment_size)
    if count == 0:
        return 0
    last = segment_size(payload_size, max_segment_size, SegmentIndex(count - 1))
    return (count - 1) * piece_size(max_segment_size, data_chunks) + piece_size(last, data_chunks)


def resolve_range(first: int | None, last: int | None, payload_size: int) -> tuple[int, int]:
    """The half-open [start, stop) of an HTTP byte range `first-last` on an object, cut at its end (RFC 9110 14.1.2).

    (None, n) is the last n bytes, (a, None) from a to the end. Raises InvalidRange when nothing of it lies inside.
    """
    if first is None:
        assert last is not None
        start, stop = max(0, payload_size - last), payload_size
    else:
        start, stop = first, payload_size if last is None else min(last + 1, payload_size)
    if start >= stop:
        raise InvalidRange(payload_size)
    return start, stop
