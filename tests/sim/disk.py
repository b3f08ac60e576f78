"""The disk of a simulated provider: it forgets what was not committed; it may be full, fail, rot or be cut short."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

from piecestore.ranges import exact_stop
from piecestore.store import Absorb, Buffer
from sp.domain.errors import PieceExists, PieceNotFound, StoreFailed, StoreFull
from sp.domain.ids import Checksum
from sp.domain.pieces import PieceKey


async def _at_once() -> None:
    return


@dataclass(slots=True)
class Disk:
    """What is on the platters: whole pieces, synced. A piece on its way in is in no process's reach after a crash, so
    it is not here; only the space it takes is, until the next start removes it. deleting: told of what is to go"""

    pieces: dict[PieceKey, bytes] = field(default_factory=dict)
    capacity_bytes: int = 1 << 40
    temporary_bytes: int = 0
    deleting: Callable[[PieceKey, bytes], None] = lambda key, piece: None

    @property
    def used_bytes(self) -> int:
        return sum(map(len, self.pieces.values())) + self.temporary_bytes

    def restarted(self) -> None:
        """A store that is opened removes temporary files whose writer is gone."""
        self.temporary_bytes = 0


@dataclass(slots=True)
class SimStore:
    """Implements piecestore.store.PieceStore on a Disk, for one process.

    pause: lets time pass before and after each operation, so that a crash can come between
    fails: whether the disk fails this operation (EIO), before or after its effect
    """

    disk: Disk
    pause: Callable[[], Awaitable[None]] = _at_once
    fails: Callable[[str], bool] = lambda op: False

    @asynccontextmanager
    async def writer(self, key: PieceKey) -> AsyncIterator[SimWriter]:
        await self.pause()
        writer = SimWriter(self, key)
        try:
            yield writer
        finally:
            writer.close()

    async def put(self, key: PieceKey, payload: Buffer) -> Checksum:
        async with self.writer(key) as writer:
            await writer.write(payload)
            return await writer.commit()

    async def get(self, key: PieceKey, start: int = 0, stop: int | None = None, absorb: Absorb | None = None) -> bytes:
        await self._operation("get")
        piece = self._piece(key)
        wanted = piece[start : exact_stop(key, len(piece), start, stop)]
        if absorb is not None:
            absorb(wanted)
        return wanted

    async def get_into(
        self, key: PieceKey, buffer: memoryview, absorb: Callable[[memoryview], object] | None = None
    ) -> None:
        buffer[:] = await self.get(key, 0, len(buffer))
        if absorb is not None:
            absorb(buffer)

    async def size(self, key: PieceKey) -> int:
        await self._operation("size")
        return len(self._piece(key))

    async def delete(self, key: PieceKey) -> None:
        await self._operation("delete")
        if (piece := self.disk.pieces.get(key)) is not None:
            self.disk.deleting(key, piece)
            del self.disk.pieces[key]
        await self._operation("delete")

    async def keys(self) -> AsyncIterator[PieceKey]:
        for key in list(self.disk.pieces):
            yield key

    async def free_bytes(self) -> int:
        await self._operation("free_bytes")
        return max(0, self.disk.capacity_bytes - self.disk.used_bytes)

    async def _operation(self, op: str) -> None:
        await self.pause()
        if self.fails(op):
            raise StoreFailed("simulated disk", f"EIO in {op}")

    def _piece(self, key: PieceKey) -> bytes:
        if key not in self.disk.pieces:
            raise PieceNotFound(str(key))
        return self.disk.pieces[key]

    async def take(self, size_bytes: int) -> None:
        await self._operation("write")
        if self.disk.used_bytes + size_bytes > self.disk.capacity_bytes:
            raise StoreFull("simulated disk")
        self.disk.temporary_bytes += size_bytes

    async def publish(self, key: PieceKey, piece: bytes) -> None:
        """Synced and renamed. After an error it is there whole, or not at all."""
        await self._operation("commit")
        if self.disk.pieces.get(key, piece) != piece:
            raise PieceExists(str(key))
        self.disk.pieces[key] = piece
        await self._operation("commit")


@dataclass(slots=True)
class SimWriter:
    _store: SimStore
    _key: PieceKey
    _bytes: bytearray = field(default_factory=bytearray)
    _closed: bool = False

    @property
    def size(self) -> int:
        return len(self._bytes)

    async def write(self, chunk: Buffer) -> None:
        await self._store.take(memoryview(chunk).nbytes)
        self._bytes += chunk

    async def commit(self) -> Checksum:
        piece = bytes(self._bytes)
        await self._store.publish(self._key, piece)
        return Checksum(hashlib.sha256(piece).digest())

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._store.disk.temporary_bytes = max(0, self._store.disk.temporary_bytes - len(self._bytes))


@dataclass(slots=True)
class ChanceFails:
    """EIO by chance. rate: how often at present"""

    chance: Random
    count: Callable[[str], None]
    rate: Callable[[], float]

    def __call__(self, op: str) -> bool:
        rate = self.rate()
        if not rate or self.chance.random() >= rate:
            return False
        self.count(f"I/O error in {op}")
        return True
