"""One pass over an object's segments: read, verify, code, and feed the wanted columns to their secondaries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from piecestore.notes import BlockNotes
from piecestore.store import PieceStore
from piecestore.verified import read_verified_into
from receiver.client import GroupSender, Receipt
from sp.crypto.ec import Kernel
from sp.domain.erasure import rebuild_pieces, split
from sp.domain.errors import DeadlineExceeded, PieceCorrupt, PieceNotFound, ShortPiece, SpError, StoreFailed
from sp.domain.ids import Checksum, RedundancyIndex, SegmentIndex
from sp.domain.integrity import integrity_hash, piece_checksum
from sp.domain.jobs import Job
from sp.domain.pieces import SegmentKey
from sp.domain.segments import piece_size, segment_size
from sp.runtime.errors import sp_error_in
from sp.runtime.limits import ByteBudget
from sp.runtime.pace import Pace
from sp.runtime.pool import CpuPool
from tasknode.memory import Region, SegmentMemory

Buffer = bytes | bytearray | memoryview


@dataclass(slots=True)
class _Segment:
    """One coded segment in memory; that, and its share of the budget, is given back when the last column has let go of
    it."""

    index: SegmentIndex
    pieces: Mapping[RedundancyIndex, Buffer]
    checksums: Mapping[RedundancyIndex, Checksum]
    give_back: Callable[[], None]
    holders: int

    def let_go(self) -> None:
        self.holders -= 1
        if self.holders == 0:
            # Now, not when the last task that saw this segment sees the next one.
            give_back, self.pieces, self.give_back = self.give_back, {}, _nothing
            give_back()


def _nothing() -> None:
    """Instead of a call that has been made, and held memory."""


@dataclass(slots=True)
class Column:
    """One secondary's stream within a pass.

    conclude: verifies and records the receipt as soon as it is there; what is wrong with it, or None
    error: set when this secondary failed; its siblings go on without it
    """

    index: RedundancyIndex
    sender: GroupSender
    piece_timeout_s: float
    conclude: Callable[[Column], Awaitable[SpError | None]]
    checksums: list[Checksum] = field(default_factory=list)
    receipt: Receipt | None = None
    error: SpError | None = None
    _queue: asyncio.Queue[_Segment | None] = field(default_factory=asyncio.Queue)

    def offer(self, segment: _Segment) -> None:
        """Hand a segment over. The queue is bounded by the memory budget that every queued segment holds a part of."""
        self._queue.put_nowait(segment)

    def close(self) -> None:
        self._queue.put_nowait(None)

    async def drain(self) -> None:
        """Send what is offered until closed, then fetch the receipt. Never raises what the secondary did wrong: that
        is in `error`, and from then on segments are let go of unsent."""
        while (segment := await self._queue.get()) is not None:
            try:
                if self.error is None:
                    await self._send(segment)
            finally:
                segment.let_go()
        if self.error is None:
            await self._guarded("its receipt", self._finish())
        if self.error is None:
            self.error = await self.conclude(self)

    async def _send(self, segment: _Segment) -> None:
        checksum = segment.checksums[self.index]
        self.checksums.append(checksum)
        if self.sender.held.get(segment.index) != checksum:
            await self._guarded("a piece", self.sender.send_piece(segment.index, segment.pieces[self.index]))

    async def _finish(self) -> None:
        self.receipt = await self.sender.finish()

    async def _guarded(self, waiting_for: str, step: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self.piece_timeout_s):
                await step
        except TimeoutError:
            self.error = DeadlineExceeded(waiting_for, int(self.piece_timeout_s * 1000))
        except SpError as error:
            self.error = error

    def release_unsent(self) -> None:
        """After a cancelled pass: let go of everything still queued."""
        while not self._queue.empty():
            segment = self._queue.get_nowait()
            if segment is not None:
                segment.let_go()

    @property
    def integrity_hash(self) -> Checksum:
        """Of the whole column as coded here: what the secondary's receipt must say."""
        return integrity_hash(self.checksums)


@dataclass(frozen=True, slots=True)
class ColumnFeeder:
    """Codes segments once and feeds all columns of a pass, at bounded memory: a slow secondary slows the reading.

    pace: of reading, for work that has time; rebuilt: a segment that cannot be read here, from whoever has its pieces
    notes: of this process
    """

    pieces: PieceStore
    pool: CpuPool
    kernel: Kernel
    budget: ByteBudget
    pace: Pace | None = None
    rebuilt: Callable[[Job, SegmentIndex], Awaitable[bytes]] | None = None
    memory: SegmentMemory = field(default_factory=SegmentMemory)
    notes: BlockNotes = field(default_factory=BlockNotes)

    async def feed(self, job: Job, columns: list[Column]) -> None:
        """Drive one pass; afterwards each column has a receipt or an error. Raises only what is our own fault."""
        with self.memory.in_use():
            await self._feed(job, columns)

    async def _feed(self, job: Job, columns: list[Column]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for column in columns:
                    group.create_task(column.drain(), name=f"column {column.index} of job {job.id}")
                for index in range(job.segments):
                    live = [c for c in columns if c.error is None]
                    if not live:
                        break
                    segment = await self._code(job, SegmentIndex(index), live)
                    for column in live:
                        column.offer(segment)
                for column in columns:
                    column.close()
        except ExceptionGroup as failed:  # not `except*`: before Python 3.11.4 what it raises is in a group again
            error = sp_error_in(failed)
            if error is None:
                raise
            raise error from None
        finally:
            for column in columns:
                column.release_unsent()

    async def _code(self, job: Job, index: SegmentIndex, columns: list[Column]) -> _Segment:
        assert job.payload_size is not None
        size = segment_size(job.payload_size, job.params.max_segment_size, index)
        k, m = job.params.data_chunks, job.params.parity_chunks
        if self.pace is not None:
            await self.pace.take(size)
        granted = await self.budget.acquire(size + size * m // k)
        region: Region | None = None

        def give_back() -> None:
            if region is not None:
                self.memory.give(region)
            self.budget.release(granted)

        try:
            region = self.memory.take(size, m * piece_size(size, k))
            payload = await self._read(job, index, region.segment)
            wanted = [c.index for c in columns]
            pieces, checksums = await self.pool.run(_coded, payload, k, m, wanted, self.kernel, region.parity)
        except BaseException:
            give_back()
            raise
        return _Segment(index, pieces, checksums, give_back, len(columns))

    async def _read(self, job: Job, index: SegmentIndex, segment: memoryview) -> Buffer:
        """`segment`, filled; or the bytes that were rebuilt, when it cannot be."""
        try:
            key = SegmentKey(job.id, index)
            await read_verified_into(self.pieces, key, job.segment_checksums[index], segment, self.notes)
        except (PieceNotFound, ShortPiece, PieceCorrupt, StoreFailed):
            if self.rebuilt is None:
                raise
            return await self.rebuilt(job, index)
        return segment


def _coded(
    payload: Buffer,
    data_chunks: int,
    parity_chunks: int,
    wanted: Sequence[RedundancyIndex],
    kernel: Kernel,
    parity: memoryview,
) -> tuple[dict[RedundancyIndex, Buffer], dict[RedundancyIndex, Checksum]]:
    """The wanted pieces of one segment and their checksums; no parity is computed that nobody wants.

    parity: memory for it, parity_chunks pieces long
    """
    data_pieces = {RedundancyIndex(i): piece for i, piece in enumerate(split(payload, data_chunks))}
    size = len(parity) // parity_chunks if parity_chunks else 0
    made = sum(column >= data_chunks for column in wanted)
    into = [parity[number * size : (number + 1) * size] for number in range(made)]
    pieces = rebuild_pieces(data_pieces, wanted, len(payload), data_chunks, parity_chunks, kernel, into)
    return pieces, {column: piece_checksum(piece) for column, piece in pieces.items()}
