"""Reading one segment so that every byte that leaves was checked, at a megabyte of memory whatever the segment's size.

A sha256 covers a whole segment, so a first pass reads all of it and notes a CRC of each block while it computes the
digest; a second pass reads the wanted blocks again, from the page cache, and yields each only if its CRC is the noted
one. A slow reader then holds one block and not a segment of 16 MiB.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from piecestore.store import PieceStore
from sp.domain.errors import PieceCorrupt
from sp.domain.ids import Checksum
from sp.domain.pieces import SegmentKey
from sp.runtime.pace import Pace
from sp.runtime.pool import CpuPool

BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SegmentReader:
    pieces: PieceStore
    pool: CpuPool

    async def read(
        self, key: SegmentKey, size: int, checksum: Checksum, start: int, stop: int
    ) -> AsyncIterator[memoryview]:
        """Bytes [start, stop) of a segment of `size` bytes, in blocks. PieceNotFound, ShortPiece or PieceCorrupt before
        the first block, or, should the store rot between the passes, PieceCorrupt before the first bad one."""
        if size <= BLOCK_BYTES:
            block = await self.pieces.get(key, 0, size)
            await self._first_pass_of([block], key, checksum)
            yield memoryview(block)[start:stop]
            return
        crcs = await self._first_pass(key, size, checksum)
        for index in range(start // BLOCK_BYTES, -(-stop // BLOCK_BYTES)):
            offset = index * BLOCK_BYTES
            block = await self.pieces.get(key, offset, min(offset + BLOCK_BYTES, size))
            actual = await self.pool.run(zlib.crc32, block)
            if actual != crcs[index]:
                raise PieceCorrupt(str(key), f"crc32 {crcs[index]:08x}", f"crc32 {actual:08x} on the second reading")
            yield memoryview(block)[max(0, start - offset) : stop - offset]

    async def verify(self, key: SegmentKey, size: int, checksum: Checksum, pace: Pace) -> None:
        """Read it all, a block at a time, and hand nothing on. PieceNotFound, ShortPiece, PieceCorrupt, StoreFailed."""
        digest = hashlib.sha256()
        for offset in range(0, size, BLOCK_BYTES):
            stop = min(offset + BLOCK_BYTES, size)
            await pace.take(stop - offset)
            await self.pool.run(digest.update, await self.pieces.get(key, offset, stop))
        if await self.pieces.size(key) != size:
            raise PieceCorrupt(str(key), f"{size} bytes", "more")
        _check(key, checksum, digest.digest())

    async def _first_pass(self, key: SegmentKey, size: int, checksum: Checksum) -> list[int]:
        digest = hashlib.sha256()
        crcs = []
        for offset in range(0, size, BLOCK_BYTES):
            block = await self.pieces.get(key, offset, min(offset + BLOCK_BYTES, size))
            crcs.append(await self.pool.run(_absorb, digest, block))
        _check(key, checksum, digest.digest())
        return crcs

    async def _first_pass_of(self, blocks: list[bytes], key: SegmentKey, checksum: Checksum) -> None:
        digest = hashlib.sha256()
        for block in blocks:
            await self.pool.run(digest.update, block)
        _check(key, checksum, digest.digest())


def _absorb(digest: hashlib._Hash, block: bytes) -> int:
    digest.update(block)
    return zlib.crc32(block)


def _check(key: SegmentKey, expected: Checksum, actual: bytes) -> None:
    if actual != expected:
        raise PieceCorrupt(str(key), expected.hex(), actual.hex())
