"""Pieces in this process's memory: for tests, the simulation and trials. Nothing survives the process.

It never leaves the event loop and never suspends, so a simulated run is the same each time; hash and copy happen where
they are called, which is why it is not for production.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from piecestore.ranges import exact_stop
from piecestore.store import Absorb, Buffer
from sp.domain.errors import PieceExists, PieceNotFound, StoreFull
from sp.domain.ids import Checksum
from sp.domain.pieces import PieceKey

DEFAULT_CAPACITY_BYTES = 1 << 40


@dataclass(slots=True)
class MemoryStore:
    """capacity_bytes: committed pieces and those under way may fill it, then StoreFull."""

    capacity_bytes: int = DEFAULT_CAPACITY_BYTES
    _pieces: dict[PieceKey, bytes] = field(default_factory=dict)
    _used_bytes: int = 0

    @asynccontextmanager
    async def writer(self, key: PieceKey) -> AsyncIterator[MemoryWriter]:
        writer = MemoryWriter(self, key)
        try:
            yield writer
        finally:
            writer.close()

    async def put(self, key: PieceKey, payload: Buffer) -> Checksum:
        async with self.writer(key) as writer:
            await writer.write(payload)
            return await writer.commit()

    async def get(self, key: PieceKey, start: int = 0, stop: int | None = None, absorb: Absorb | None = None) -> bytes:
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
        return len(self._piece(key))

    async def delete(self, key: PieceKey) -> None:
        self._used_bytes -= len(self._pieces.pop(key, b""))

    async def keys(self) -> AsyncIterator[PieceKey]:
        for key in list(self._pieces):
            yield key

    async def free_bytes(self) -> int:
        return self.capacity_bytes - self._used_bytes

    def _piece(self, key: PieceKey) -> bytes:
        if key not in self._pieces:
            raise PieceNotFound(str(key))
        return self._pieces[key]

    def take_space(self, size_bytes: int) -> None:
        if self._used_bytes + size_bytes > self.capacity_bytes:
            raise StoreFull("memory")
        self._used_bytes += size_bytes

    def give_space_back(self, size_bytes: int) -> None:
        self._used_bytes -= size_bytes

    def publish(self, key: PieceKey, piece: bytes) -> None:
        if self._pieces.get(key, piece) != piece:
            raise PieceExists(str(key))
        if key in self._pieces:
            self.give_space_back(len(piece))
        self._pieces[key] = piece


@dataclass(slots=True)
class MemoryWriter:
    """One piece on its way into a MemoryStore."""

    _store: MemoryStore
    _key: PieceKey
    _bytes: bytearray = field(default_factory=bytearray)
    _committed: bool = False

    @property
    def size(self) -> int:
        return len(self._bytes)

    async def write(self, chunk: Buffer) -> None:
        assert not self._committed
        self._store.take_space(memoryview(chunk).nbytes)
        self._bytes += chunk

    async def commit(self) -> Checksum:
        assert not self._committed
        piece = bytes(self._bytes)
        self._store.publish(self._key, piece)
        self._committed = True
        return Checksum(hashlib.sha256(piece).digest())

    def close(self) -> None:
        if not self._committed:
            self._store.give_space_back(len(self._bytes))
