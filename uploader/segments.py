"""Cutting a stream of bytes into durable segments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Self

from piecestore.store import PieceStore, PieceWriter
from sp.domain.errors import PieceNotFound
from sp.domain.ids import Checksum, JobId, SegmentIndex
from sp.domain.pieces import PieceKey, SegmentKey
from sp.runtime.chunks import Piece


class Cutter:
    """Cuts what it is fed every `max_segment_size` bytes and stores each segment under its key.

    While one segment is made durable the next one is already being received; at most two are open at a time, and
    neither is held in memory. Segments become durable in ascending order. Use as a context: leaving it without `end`
    abandons what is open.
    """

    def __init__(
        self, pieces: PieceStore, key_of: Callable[[int], PieceKey], max_segment_size: int, first: int = 0
    ) -> None:
        """first: index of the first segment, where those before it are stored already"""
        self._pieces = pieces
        self._key_of = key_of
        self._max_segment_size = max_segment_size
        self._begun = first
        self._open: tuple[PieceWriter, AsyncExitStack] | None = None
        self._committing: tuple[asyncio.Task[Checksum], AsyncExitStack] | None = None
        self._checksums: list[Checksum] = []
        self.payload_size = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        if self._committing is not None:
            await _abandoned(*self._committing)
        if self._open is not None:
            await self._open[1].aclose()

    async def feed(self, chunk: Piece) -> None:
        """Append bytes; waits while the store is slower than the sender."""
        view = memoryview(chunk)
        while view:
            writer = await self._writer()
            part = view[: self._max_segment_size - writer.size]
            await writer.write(part)
            self.payload_size += len(part)
            view = view[len(part) :]
            if writer.size == self._max_segment_size:
                await self._cut()

    async def end(self) -> tuple[Checksum, ...]:
        """All segments durable: their checksums in order."""
        await self._committed()
        if self._open is not None:
            (writer, stack), self._open = self._open, None
            self._checksums.append(await _commit(writer, stack))
        return tuple(self._checksums)

    async def _writer(self) -> PieceWriter:
        if self._open is None:
            stack = AsyncExitStack()
            writer = await stack.enter_async_context(self._pieces.writer(self._key_of(self._begun)))
            self._open = (writer, stack)
            self._begun += 1
        return self._open[0]

    async def _cut(self) -> None:
        assert self._open is not None
        await self._committed()
        writer, stack = self._open
        self._open = None
        committing = asyncio.create_task(_commit(writer, stack), name=f"commit before {self._key_of(self._begun)}")
        self._committing = committing, stack

    async def _committed(self) -> None:
        if self._committing is not None:
            (task, stack), self._committing = self._committing, None
            try:
                self._checksums.append(await task)
            except asyncio.CancelledError:
                await _abandoned(task, stack)
                raise


class SegmentCutter(Cutter):
    """Cuts an object into the segments of its job."""

    def __init__(self, pieces: PieceStore, job_id: JobId, max_segment_size: int, first: int = 0) -> None:
        super().__init__(pieces, lambda index: SegmentKey(job_id, SegmentIndex(index)), max_segment_size, first)


async def _commit(writer: PieceWriter, stack: AsyncExitStack) -> Checksum:
    async with stack:
        return await writer.commit()


async def _abandoned(committing: asyncio.Task[Checksum], stack: AsyncExitStack) -> None:
    committing.cancel()
    await asyncio.wait([committing])
    await stack.aclose()  # a task that is cancelled before its first step has not even entered it


async def delete_uncounted(pieces: PieceStore, key_of: Callable[[int], PieceKey], first: int = 0) -> None:
    """Delete what a Cutter left, from `first` on, where nobody recorded how many there are. They were made in order,
    two at most were open at a time: past two absent ones there are none. The last goes first, so that what is left
    behind by an interruption still begins at `first`, where the next attempt looks for it."""
    stop, absent = first, 0
    while absent < 2:
        absent = 0 if await _is_there(pieces, key_of(stop)) else absent + 1
        stop += 1
    for index in reversed(range(first, stop - 2)):
        await pieces.delete(key_of(index))


async def _is_there(pieces: PieceStore, key: PieceKey) -> bool:
    try:
        await pieces.size(key)
    except PieceNotFound:
        return False
    return True
