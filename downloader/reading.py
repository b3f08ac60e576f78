"""Reading one segment so that every byte that leaves was checked, in bounded memory however slow its reader is.

A sha256 covers a whole segment, so all of it is read and hashed before its first byte leaves. While the budget has room
for the segment, its blocks are kept meanwhile, and handed out and let go of one by one. When many read at once, or
slowly, and there is no room, they are read again, from the page cache.

What this process has hashed before, when it was put or read, is noted (piecestore.notes). Of such a segment a block
leaves if it still has its noted CRC, so a range of it costs that range alone.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from piecestore.notes import BLOCK_BYTES, BlockNotes, Crcs, Unchanged, no_crcs
from piecestore.store import Absorb, PieceStore
from sp.crypto.checksums import crc64
from sp.domain.errors import PieceCorrupt
from sp.domain.ids import Checksum
from sp.domain.pieces import SegmentKey
from sp.runtime.limits import ByteBudget
from sp.runtime.pace import Pace


class SegmentReader:
    """budget: bytes of segments that are verified and not handed out yet, over all readers
    notes: of this process
    """

    def __init__(self, pieces: PieceStore, budget: ByteBudget, notes: BlockNotes | None = None) -> None:
        self._pieces = pieces
        self._budget = budget
        self._notes = notes or BlockNotes()

    async def read(
        self, key: SegmentKey, size: int, checksum: Checksum, start: int, stop: int
    ) -> AsyncGenerator[memoryview, None]:
        """Bytes [start, stop) of a segment of `size` bytes, in blocks. PieceNotFound, ShortPiece or PieceCorrupt before
        the first block, or, should the store rot after the segment was verified, before the first bad one."""
        if size <= BLOCK_BYTES:
            digest = hashlib.sha256()
            block = await self._pieces.get(key, 0, size, digest.update)
            _check(key, checksum, digest.digest())
            yield memoryview(block)[start:stop]
            return
        crcs = self._notes.of(key, checksum)
        if crcs is None and self._budget.taken_at_once(size):
            way = self._kept(key, size, checksum, start, stop)
        else:
            way = self._again(key, size, checksum, start, stop, crcs)
        async with aclosing(way) as blocks:
            async for view in blocks:
                yield view

    async def verify(self, key: SegmentKey, size: int, checksum: Checksum, pace: Pace) -> None:
        """Read it all, a block at a time, and hand nothing on. PieceNotFound, ShortPiece, PieceCorrupt, StoreFailed."""
        digest = hashlib.sha256()
        for offset in range(0, size, BLOCK_BYTES):
            stop = min(offset + BLOCK_BYTES, size)
            await pace.take(stop - offset)
            await self._pieces.get(key, offset, stop, digest.update)
        if await self._pieces.size(key) != size:
            raise PieceCorrupt(str(key), f"{size} bytes", "more")
        _check(key, checksum, digest.digest())

    async def _kept(
        self, key: SegmentKey, size: int, checksum: Checksum, start: int, stop: int
    ) -> AsyncGenerator[memoryview, None]:
        """`size` bytes of the budget are ours; they are given back as blocks leave, the last at the end."""
        held = size
        try:
            blocks = deque[bytes]()
            await self._verify_blocks(key, size, checksum, blocks.append)
            offset = 0
            while blocks:
                block = blocks.popleft()
                view = memoryview(block)[max(0, start - offset) : max(0, stop - offset)]
                offset += len(block)
                if view:
                    yield view
                held -= len(block)
                self._budget.release(len(block))
        finally:
            self._budget.release(held)

    async def _again(
        self, key: SegmentKey, size: int, checksum: Checksum, start: int, stop: int, crcs: Crcs | None
    ) -> AsyncGenerator[memoryview, None]:
        """crcs: as noted; None: the segment is yet to be verified"""
        if crcs is None:
            crcs = await self._verify_blocks(key, size, checksum, lambda block: None)
        for index in range(start // BLOCK_BYTES, -(-stop // BLOCK_BYTES)):
            offset = index * BLOCK_BYTES
            block = await self._block(key, offset, size, Unchanged(key, crcs[index]))
            yield memoryview(block)[max(0, start - offset) : stop - offset]

    async def _verify_blocks(
        self, key: SegmentKey, size: int, checksum: Checksum, keep: Callable[[bytes], object]
    ) -> Crcs:
        """Read and hash the whole segment, block by block. The blocks' CRCs, noted."""
        digest, crcs = hashlib.sha256(), no_crcs()

        def absorb(block: bytes) -> None:
            digest.update(block)
            crcs.append(crc64(block))

        for offset in range(0, size, BLOCK_BYTES):
            keep(await self._block(key, offset, size, absorb))
        _check(key, checksum, digest.digest())
        self._notes.note(key, checksum, crcs)
        return crcs

    async def _block(self, key: SegmentKey, offset: int, size: int, absorb: Absorb) -> bytes:
        return await self._pieces.get(key, offset, min(offset + BLOCK_BYTES, size), absorb)


def _check(key: SegmentKey, expected: Checksum, actual: bytes) -> None:
    if actual != expected:
        raise PieceCorrupt(str(key), expected.hex(), actual.hex())
