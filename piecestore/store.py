"""The narrow interface every piece backend satisfies. Its docstrings are the contract (tests/contracts)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from sp.domain.ids import Checksum
from sp.domain.pieces import PieceKey

Buffer = bytes | bytearray | memoryview

Absorb = Callable[[bytes], object]
"""Takes what was read in the thread that has read it: a hash there saves handing the bytes to another thread."""


class PieceWriter(Protocol):
    """One piece on its way in. Leaving the context without `commit` leaves no trace under the key."""

    async def write(self, chunk: Buffer) -> None:
        """Append. Hashes and writes off the event loop, in order; the chunk may be reused when this returns.
        Memory is bounded whatever the piece's size. StoreFull, StoreFailed."""

    async def commit(self) -> Checksum:
        """Make the piece durable (data and directory entry) and visible under its key; the sha256 of its bytes.
        Same key and same bytes as before: no-op. Same key, other bytes: PieceExists, and the old bytes stay.
        A piece whose commit did not return, or raised StoreFailed, is either absent or whole, never partial: put the
        same bytes again, or delete. StoreFull, StoreFailed."""

    @property
    def size(self) -> int:
        """Bytes written so far."""


class PieceStore(Protocol):
    """Bytes under a key, written once, durable when `commit` returns."""

    def writer(self, key: PieceKey) -> AbstractAsyncContextManager[PieceWriter]:
        """Begin a piece of any size."""

    async def put(self, key: PieceKey, payload: Buffer) -> Checksum:
        """`writer`, one `write`, `commit`."""

    async def get(self, key: PieceKey, start: int = 0, stop: int | None = None, absorb: Absorb | None = None) -> bytes:
        """Exactly the bytes [start, stop), else PieceNotFound or ShortPiece. Never fewer. stop=None: to the end.
        absorb: called once with these bytes, before they are returned; what it raises comes out as it is."""

    async def get_into(
        self, key: PieceKey, buffer: memoryview, absorb: Callable[[memoryview], object] | None = None
    ) -> None:
        """As `get` of the first len(buffer) bytes, into memory that the caller has. When it returns or raises, nobody
        writes into it any more. absorb: called with it, in the thread that has read."""

    async def size(self, key: PieceKey) -> int:
        """Bytes under the key, or PieceNotFound."""

    async def delete(self, key: PieceKey) -> None:
        """Absent is success: the collector retries. Durable when it returns."""

    def keys(self) -> AsyncIterator[PieceKey]:
        """Every committed key once, in no order, at bounded memory; pieces that come or go meanwhile may be missed."""

    async def free_bytes(self) -> int:
        """Space left for pieces, for placement; an estimate."""
