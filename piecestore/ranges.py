"""Which bytes a ranged read means: one answer for every backend."""

from __future__ import annotations

from sp.domain.errors import ShortPiece
from sp.domain.pieces import PieceKey


def exact_stop(key: PieceKey, size_bytes: int, start: int, stop: int | None) -> int:
    """The end of [start, stop) in a piece of `size_bytes`; None means its end. ShortPiece if the piece ends before."""
    assert start >= 0
    assert stop is None or stop >= start
    wanted = max(start, size_bytes) if stop is None else stop
    if wanted > size_bytes:
        raise ShortPiece(str(key), size_bytes, wanted)
    return wanted
