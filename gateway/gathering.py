"""Collect pieces of a body without copying the large ones, in bounded memory."""

from __future__ import annotations

from typing import Final

Piece = bytes | bytearray | memoryview

SMALL_BYTES: Final = 1 << 14
"""A piece shorter than this is copied: a view of it would cost more than it holds, and keep its whole buffer alive."""


class Gathered:
    """Pieces in order. At most one object for each SMALL_BYTES of payload, however small the pieces come."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.size = 0
        self._open: bytearray | None = None

    def add(self, piece: Piece) -> None:
        self.size += len(piece)
        if len(piece) >= SMALL_BYTES:
            self.pieces.append(piece)
            self._open = None
        elif self._open is not None:
            self._open += piece
        else:
            self._open = bytearray(piece)
            self.pieces.append(self._open)

    def joined(self) -> bytes:
        """Everything as one; empties it."""
        whole = b"".join(self.pieces)
        self.pieces, self.size, self._open = [], 0, None
        return whole
