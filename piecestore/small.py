"""A wrapper: segments that lie beside their jobs' rows are read, and deleted, like those in the store.

An object of one small segment is put in one transaction of SPDB, its payload included (docs/decisions/0013); what
writes it there is not this store. Whoever repairs it deletes it here and writes it anew: then it is in the store below.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeGuard

from piecestore.ranges import exact_stop
from piecestore.store import Absorb, Buffer, PieceStore, PieceWriter
from sp.domain.errors import PieceExists, PieceNotFound
from sp.domain.ids import Checksum, JobId, SegmentIndex
from sp.domain.pieces import PieceKey, SegmentKey

SMALL_MOST_BYTES: Final = 128 * 1024
"""No payload that is kept beside its row is larger: it is hashed on the event loop, and a database is no place for
bulk."""

FIRST: Final = SegmentIndex(0)
KEYS_PER_PAGE: Final = 1000


class SmallSegments(Protocol):
    """Payloads of whole objects by job; spdb.small_segments has them. None: not there. What it raises comes out."""

    async def get(self, job_id: JobId) -> bytes | None:
        """The payload."""

    async def size(self, job_id: JobId) -> int | None:
        """Its bytes."""

    async def delete(self, job_id: JobId) -> None:
        """Durably; absent is success."""

    async def page(self, after: int, limit: int) -> list[JobId]:
        """Jobs above `after` that have one, ascending."""


@dataclass(frozen=True, slots=True)
class WithSmallSegments:
    """Implements piecestore.store.PieceStore. The store below is asked first: what is large costs nothing more."""

    store: PieceStore
    small: SmallSegments

    @asynccontextmanager
    async def writer(self, key: PieceKey) -> AsyncIterator[PieceWriter]:
        held = await self._held(key)
        if held is not None:
            yield _Compared(key, held)
            return
        async with self.store.writer(key) as writer:
            yield writer

    async def put(self, key: PieceKey, payload: Buffer) -> Checksum:
        async with self.writer(key) as writer:
            await writer.write(payload)
            return await writer.commit()

    async def get(self, key: PieceKey, start: int = 0, stop: int | None = None, absorb: Absorb | None = None) -> bytes:
        try:
            return await self.store.get(key, start, stop, absorb)
        except PieceNotFound:
            held = await self._held(key)
            if held is None:
                raise
        wanted = held[start : exact_stop(key, len(held), start, stop)]
        if absorb is not None:
            absorb(wanted)
        return wanted

    async def get_into(
        self, key: PieceKey, buffer: memoryview, absorb: Callable[[memoryview], object] | None = None
    ) -> None:
        """The other way round where that little is wanted: it is a small segment then, most of the time."""
        held = await self._held(key) if len(buffer) <= SMALL_MOST_BYTES else None
        if held is None:
            await self.store.get_into(key, buffer, absorb)
            return
        buffer[:] = held[: exact_stop(key, len(held), 0, len(buffer))]
        if absorb is not None:
            absorb(buffer)

    async def size(self, key: PieceKey) -> int:
        try:
            return await self.store.size(key)
        except PieceNotFound:
            held = await self.small.size(key.job_id) if _may_be_small(key) else None
            if held is None:
                raise
            return held

    async def delete(self, key: PieceKey) -> None:
        await self.store.delete(key)
        if _may_be_small(key):
            await self.small.delete(key.job_id)

    async def keys(self) -> AsyncIterator[PieceKey]:
        stored = self.store.keys()
        async for key in stored:
            yield key
        after = -1
        while page := await self.small.page(after, KEYS_PER_PAGE):
            for job_id in page:
                yield SegmentKey(job_id, FIRST)
            after = page[-1]

    async def _held(self, key: PieceKey) -> bytes | None:
        return await self.small.get(key.job_id) if _may_be_small(key) else None

    async def free_bytes(self) -> int:
        return await self.store.free_bytes()


@dataclass(slots=True)
class _Compared:
    """A writer of what is there already: no-op, or PieceExists. Keeps a digest, no bytes."""

    _key: PieceKey
    _held: bytes
    _size: int = 0
    _digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def size(self) -> int:
        return self._size

    async def write(self, chunk: Buffer) -> None:
        self._size += memoryview(chunk).nbytes
        self._digest.update(chunk)

    async def commit(self) -> Checksum:
        if self._digest.digest() != hashlib.sha256(self._held).digest():
            raise PieceExists(str(self._key))
        return Checksum(self._digest.digest())


def _may_be_small(key: PieceKey) -> TypeGuard[SegmentKey]:
    return isinstance(key, SegmentKey) and key.segment == FIRST
