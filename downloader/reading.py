"""Reading one segment so that every byte that leaves was checked, in bounded memory however slow its reader is.

A sha256 covers a whole segment, so all of it is read and hashed before its first byte leaves. While the budget has room
for the segment, its blocks are kept meanwhile, and handed out and let go of one by one. When many read at once, or
slowly, and there is no room, the first pass only notes a CRC of each block; a second pass reads the wanted blocks
again, from the page cache, and yields each only if its CRC is the noted one. Such a reader holds one block.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from piecestore.store import Absorb, PieceStore
from sp.domain.errors import PieceCorrupt
from sp.domain.ids import Checksum
from sp.domain.pieces import SegmentKey
from sp.runtime.limits import ByteBudget
from sp.runtime.pace import Pace

BLOCK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SegmentReader:
    """budget: bytes of segments that are verified and not handed out yet, over all readers"""

    pieces: PieceStore
    budget: ByteBudget

    async def read(
        self, key: SegmentKey, size: int, checksum: Checksum, start: int, stop: int
    ) -> AsyncGenerator[memoryview, None]:
        """Bytes [start, stop) of a segment of `size` bytes, in blocks. PieceNotFound, ShortPiece or PieceCorrupt before
        the first block, or, should the store rot between two passes, PieceCorrupt before the first bad one."""
        if size <= BLOCK_BYTES:
            digest = hashlib.sha256()
            block = await self.pieces.get(key, 0, size, digest.update)
            _check(key, checksum, digest.digest())
            yield memoryview(block)[start:stop]
            return
        way = self._kept if self.budget.taken_at_once(size) else self._read_again
        async with aclosing(way(key, size, checksum, start, stop)) as blocks:
            async for view in blocks:
                yield view

    async def verify(self, key: SegmentKey, size: int, checksum: Checksum, pace: Pace) -> None:
        """Read it all, a block at a time, and hand nothing on. PieceNotFound, ShortPiece, PieceCorrupt, StoreFailed."""
        digest = hashlib.sha256()
        for offset in range(0, size, BLOCK_BYTES):
            stop = min(offset + BLOCK_BYTES, size)
            await pace.take(stop - offset)
            await self.pieces.get(key, offset, stop, digest.update)
        if await self.pieces.size(key) != size:
            raise PieceCorrupt(str(key), f"{size} bytes", "more")
        _check(key, checksum, digest.digest())

    async def _kept(
        self, key: SegmentKey, size: int, checksum: Checksum, start: int, stop: int
    ) -> AsyncGenerator[memoryview, None]:
        """`size` bytes of the budget are ours; they are given back as blocks leave, the last at the end."""
        held = size
        try:
            digest, blocks = hashlib.sha256(), deque[bytes]()
            for offset in range(0, size, BLOCK_BYTES):
                blocks.append(await self._block(key, offset, size, digest.update))
            _check(key, checksum, digest.digest())
            offset = 0
            while blocks:
                block = blocks.popleft()
                view = memoryview(block)[max(0, start - offset) : max(0, stop - offset)]
                offset += len(block)
                if view:
                    yield view
                held -= len(block)
                self.budget.release(len(block))
        finally:
            self.budget.release(held)

    async def _read_again(
        self, key: SegmentKey, size: int, checksum: Checksum, start: int, stop: int
    ) -> AsyncGenerator[memoryview, None]:
        digest, crcs = hashlib.sha256(), list[int]()

        def absorb(block: bytes) -> None:
            digest.update(block)
            crcs.append(zlib.crc32(block))

        for offset in range(0, size, BLOCK_BYTES):
            await self._block(key, offset, size, absorb)
        _check(key, checksum, digest.digest())
        for index in range(start // BLOCK_BYTES, -(-stop // BLOCK_BYTES)):
            offset = index * BLOCK_BYTES
            block = await self._block(key, offset, size, _Expected(key, crcs[index]))
            yield memoryview(block)[max(0, start - offset) : stop - offset]

    async def _block(self, key: SegmentKey, offset: int, size: int, absorb: Absorb) -> bytes:
        return await self.pieces.get(key, offset, min(offset + BLOCK_BYTES, size), absorb)


@dataclass(frozen=True, slots=True)
class _Expected:
    """PieceCorrupt unless a block is as it was when its segment was verified. Runs in the thread that reads it."""

    key: SegmentKey
    crc: int

    def __call__(self, block: bytes) -> None:
        crc = zlib.crc32(block)
        if crc != self.crc:
            raise PieceCorrupt(str(self.key), f"crc32 {self.crc:08x}", f"crc32 {crc:08x} on the second reading")


def _check(key: SegmentKey, expected: Checksum, actual: bytes) -> None:
    if actual != expected:
        raise PieceCorrupt(str(key), expected.hex(), actual.hex())
