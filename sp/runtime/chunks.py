"""Payload in pieces of bounded size: cut, gathered without copying the large ones, joined."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Final

Piece = bytes | bytearray | memoryview

CHUNK_BYTES: Final = 1024 * 1024
"""Most payload in one message: 64 KiB messages cost three times the CPU, larger ones gain nothing."""


def chunks_of(payload: Piece, size_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """`payload` in pieces of at most `size_bytes`; not copied when it is bytes and fits into one."""
    if isinstance(payload, bytes) and len(payload) <= size_bytes:
        if payload:
            yield payload
        return
    view = memoryview(payload)
    for start in range(0, len(view), size_bytes):
        yield bytes(view[start : start + size_bytes])


SMALL_BYTES: Final = 1 << 14
"""A piece shorter than this is copied: a view of it would cost more than it holds, and keep its whole buffer alive."""


class Gathered:
    """Pieces in order. At most one object for each SMALL_BYTES of payload, and one for the first piece, however small
    the pieces come: what came as one piece is given back as it is."""

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
        elif not self.pieces and isinstance(piece, bytes):
            self.pieces.append(piece)
        else:
            self._open = bytearray(piece)
            self.pieces.append(self._open)

    def joined(self) -> bytes:
        """Everything as one; empties it."""
        whole = b"".join(self.pieces)
        self.pieces, self.size, self._open = [], 0, None
        return whole


async def coalesced(body: AsyncIterator[Piece]) -> AsyncGenerator[bytes, None]:
    """The same bytes in chunks of exactly CHUNK_BYTES but for the last; a chunk that fits is passed on uncopied."""
    held = Gathered()
    async for piece in body:
        if not held.size and len(piece) == CHUNK_BYTES and isinstance(piece, bytes):
            yield piece
            continue
        view = memoryview(piece)
        while held.size + len(view) >= CHUNK_BYTES:
            fits = CHUNK_BYTES - held.size
            held.add(view[:fits])
            yield held.joined()
            view = view[fits:]
        if view:
            held.add(view)
    if held.size:
        yield held.joined()
