"""The parts of a completed upload, read again in order, every byte checked before the put that they become ends."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from piecestore.notes import BLOCK_BYTES, BlockNotes, Crcs, Unchanged
from piecestore.store import PieceStore
from sp.domain.errors import PieceCorrupt
from sp.domain.ids import Checksum
from sp.domain.multipart import Part
from sp.domain.pieces import StagedKey
from sp.runtime.pool import CpuPool


async def payload_of(
    parts: Iterable[Part], pieces: PieceStore, pool: CpuPool, notes: BlockNotes
) -> AsyncGenerator[bytes, None]:
    """Their bytes in blocks; two are held at a time. PieceNotFound, ShortPiece, or PieceCorrupt at the end of a piece
    that is damaged: what was yielded of it must come to nothing then, as a put whose body raises does."""
    for part in parts:
        for key, size, checksum in part.pieces():
            crcs = notes.of(key, checksum)
            way = _hashed(pieces, pool, key, size, checksum) if crcs is None else _unchanged(pieces, key, size, crcs)
            async with aclosing(way) as blocks:
                async for block in blocks:
                    yield block


async def _unchanged(pieces: PieceStore, key: StagedKey, size: int, crcs: Crcs) -> AsyncGenerator[bytes, None]:
    for offset, crc in zip(range(0, size, BLOCK_BYTES), crcs, strict=True):
        yield await pieces.get(key, offset, min(offset + BLOCK_BYTES, size), Unchanged(key, crc))


async def _hashed(
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
