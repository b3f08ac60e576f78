"""Reading a piece so that wrong bytes are never handed on."""

from __future__ import annotations

import hashlib

from piecestore.store import Buffer, PieceStore
from sp.domain.errors import PieceCorrupt
from sp.domain.ids import Checksum
from sp.domain.pieces import PieceKey


def check_piece(key: PieceKey, piece: Buffer, checksum: Checksum) -> None:
    """PieceCorrupt (digests in hex) unless sha256(piece) is `checksum`. Blocks for 0.5 ms a MiB."""
    actual = hashlib.sha256(piece).digest()
    if actual != checksum:
        raise PieceCorrupt(str(key), expected=checksum.hex(), actual=actual.hex())


async def read_verified(store: PieceStore, key: PieceKey, checksum: Checksum) -> bytes:
    """The whole piece, its sha256 checked where it is read. PieceNotFound, PieceCorrupt, StoreFailed."""
    return await store.get(key, absorb=lambda piece: check_piece(key, piece, checksum))


async def read_verified_into(store: PieceStore, key: PieceKey, checksum: Checksum, buffer: memoryview) -> None:
    """The same, of a piece of len(buffer) bytes. ShortPiece, too."""
    await store.get_into(key, buffer, lambda piece: check_piece(key, piece, checksum))
