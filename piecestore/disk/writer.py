"""The event loop's side of one piece on its way to disk."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from piecestore.disk.direct_io import BlockPool
from piecestore.disk.sync import ShardDirectories
from piecestore.disk.temporary import TemporaryPiece
from piecestore.notes import BLOCK_BYTES, BlockNotes, no_crcs
from piecestore.store import Buffer
from sp.crypto.checksums import crc64
from sp.domain.errors import StoreFailed
from sp.domain.ids import Checksum
from sp.domain.pieces import PieceKey

Ts = TypeVarTuple("Ts")
T = TypeVar("T")


class DiskWriter:
    """Collects chunks into blocks of 1 MiB; each full block is hashed and written by one job in the executor while the
    next one fills. So at most two blocks (2 MiB) are held, whatever the piece's size, and order is kept
    because a block is handed over only when the one before is done. The last block and the commit are one job, so a
    piece of one block costs one. What the blocks were is noted once the piece is committed.
    """

    def __init__(
        self,
        key: PieceKey,
        temporary: TemporaryPiece,
        target: Path,
        shards: ShardDirectories,
        blocks: BlockPool,
        executor: Executor | None,
        notes: BlockNotes,
    ) -> None:
        self._key = key
        self._temporary = temporary
        self._target = target
        self._shards = shards
        self._blocks = blocks
        self._executor = executor
        self._notes = notes
        self._hasher = hashlib.sha256()
        self._crcs = no_crcs()
        self._filling: memoryview | None = None
        self._filled = 0
        self._other: memoryview | None = None
        self._under_way: asyncio.Future[None] | None = None
        self._size = 0
        self._touched_disk = False
        self._intact = True
        self._committed = False

    @property
    def size(self) -> int:
        return self._size

    async def write(self, chunk: Buffer) -> None:
        assert not self._committed
        rest = memoryview(chunk).cast("B")
        self._intact = False
        while rest:
            if self._filled == BLOCK_BYTES:  # not before more comes: the last one goes with `commit`, a job less
                await self._hand_over()
            taken = self._copy(rest)
            rest = rest[taken:]
        self._intact = True

    async def commit(self) -> Checksum:
        assert not self._committed
        if not self._intact:  # failed or cancelled half-way: what came through is not what was meant
            raise StoreFailed("disk", "an earlier write to this piece did not finish")
        await self._settle()
        last = self._filling[: self._filled] if self._filling is not None else memoryview(b"")
        checksum = await self._run(self._finish, last)
        self._committed = True
        self._notes.note(self._key, checksum, self._crcs)
        return checksum

    async def close(self) -> None:
        """Every way out of the context comes here. What is not committed is removed, in the executor, even when the
        task is cancelled meanwhile; blocks that a thread may still read are dropped, not reused."""
        if self._committed:
            for block in (self._filling, self._other):
                if block is not None:
                    self._blocks.give(block)
        elif self._touched_disk:
            if self._under_way is not None:
                self._under_way.cancel()
            await asyncio.shield(self._run(self._temporary.abandon))

    def _copy(self, rest: memoryview) -> int:
        if self._filling is None:
            self._filling = self._blocks.take()
        taken = min(len(rest), BLOCK_BYTES - self._filled)
        self._filling[self._filled : self._filled + taken] = rest[:taken]
        self._filled += taken
        self._size += taken
        return taken

    async def _hand_over(self) -> None:
        await self._settle()
        assert self._filling is not None
        block, self._filling, self._filled = self._filling, self._other, 0
        self._other = block
        self._under_way = self._run(self._absorb, block)
        self._under_way.add_done_callback(_mark_seen)

    async def _settle(self) -> None:
        if self._under_way is not None:
            await self._under_way
            self._under_way = None

    def _absorb(self, block: memoryview) -> None:
        self._hasher.update(block)
        self._crcs.append(crc64(block))
        self._temporary.write(block)

    def _finish(self, last: memoryview) -> Checksum:
        self._absorb(last)
        checksum = self._hasher.digest()
        self._temporary.publish(self._target, checksum, self._shards)
        return Checksum(checksum)

    def _run(self, call: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        self._touched_disk = True
        return asyncio.get_running_loop().run_in_executor(self._executor, call, *args)


def _mark_seen(blocks: asyncio.Future[None]) -> None:
    """A failed block fails the next `write` or `commit`; if there is none, its caller left for a reason of its own."""
    if not blocks.cancelled():
        blocks.exception()
