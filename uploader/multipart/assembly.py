"""The parts of a completed upload, read again in order, every byte checked before the put that they become ends."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Iterable
from typing import Final

from piecestore.store import PieceStore
from sp.domain.errors import PieceCorrupt
from sp.domain.ids import Checksum
from sp.domain.multipart import Part
from sp.domain.pieces import StagedKey
from sp.runtime.pool import CpuPool

BLOCK_BYTES: Final = 1024 * 1024


async def payload_of(parts: Iterable[Part], pieces: PieceStore, pool: CpuPool) -> AsyncGenerator[bytes, None]:
    """Their bytes in blocks; two are held at a time. PieceNotFound, ShortPiece, or PieceCorrupt at the end of a piece
    that is damaged: what was yielded of it must come to nothing then, as a put whose body raises does."""
    for part in parts:
        for key, size, checksum in part.pieces():
            async for block in _piece(pieces, pool, key, size, checksum):
                yield block


async def _piece(
    pieces: PieceStore, pool: CpuPool, key: StagedKey, size: int, checksum: Checksum
) -> AsyncGenerator[bytes, None]:
    digest = hashlib.sha256()
    for offset in range(0, size, BLOCK_BYTES):
        block = await pieces.get(key, offset, min(offset + BLOCK_BYTES, size))
        hashing = asyncio.create_task(pool.run(digest.update, block), name=f"check {key}")
        try:
            yield block
        finally:
            await hashing
    if digest.digest() != checksum:
        raise PieceCorrupt(str(key), checksum.hex(), digest.hexdigest())
