"""Reading a piece so that wrong bytes are never handed on."""

from __future__ import annotations

import hashlib

from piecestore.notes import BLOCK_BYTES, BlockNotes, Unchanged, no_crcs
from piecestore.store import Buffer, PieceStore
from sp.crypto.checksums import crc64
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


async def read_verified_into(
    store: PieceStore, key: PieceKey, checksum: Checksum, buffer: memoryview, notes: BlockNotes
) -> None:
    """The same, of a piece of len(buffer) bytes. ShortPiece, too. What was noted of it is compared instead of hashing;
    else it is noted now."""
    noted, crcs = notes.of(key, checksum), no_crcs()

    def absorb(piece: memoryview) -> None:
        blocks = [piece[start : start + BLOCK_BYTES] for start in range(0, len(piece), BLOCK_BYTES)]
        if noted is not None:
            for block, crc in zip(blocks, noted, strict=True):
                Unchanged(key, crc)(block)
        else:
            check_piece(key, piece, checksum)
            crcs.extend(map(crc64, blocks))

    await store.get_into(key, buffer, absorb)
    if noted is None:
        notes.note(key, checksum, crcs)
