"""One replicate data group on its way in: frames to durable pieces, a chunk at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from piecestore.store import PieceStore
from receiver.claims import Claim
from receiver.client import CHUNK_BYTES
from receiver.frames import ChunkFrame, EndFrame, Frame, PieceFrame
from sp.domain.approvals import ObjectRef
from sp.domain.errors import (
    GroupIncomplete,
    InvalidRequest,
    PieceCorrupt,
    PieceExists,
    PieceNotFound,
    WrongPieceSize,
)
from sp.domain.ids import Checksum, RedundancyIndex, SegmentIndex
from sp.domain.integrity import piece_checksum
from sp.domain.jobs import ReceivedPiece
from sp.domain.pieces import EcPieceKey
from sp.domain.segments import piece_size, segment_count, segment_size
from sp.runtime.metrics import counter
from spdb.received import Received

RECEIVED_BYTES = counter("sp_receiver_received_bytes_total", "Bytes of pieces taken from other providers and stored")

_NAMED_MISSING = 8


@dataclass(frozen=True, slots=True)
class Column:
    """Which pieces a group has: arithmetic on its object."""

    ref: ObjectRef
    index: RedundancyIndex

    @property
    def segments(self) -> int:
        return segment_count(self.ref.payload_size, self.ref.params.max_segment_size)

    def key(self, segment: SegmentIndex) -> EcPieceKey:
        return EcPieceKey(self.ref.object_id, self.ref.version, segment, self.index)

    def piece_bytes(self, segment: SegmentIndex) -> int:
        params = self.ref.params
        whole = segment_size(self.ref.payload_size, params.max_segment_size, segment)
        return piece_size(whole, params.data_chunks)


async def present(store: PieceStore, column: Column, recorded: dict[SegmentIndex, Checksum]) -> set[SegmentIndex]:
    """Those of the recorded pieces that the store has, in their full length. A row may be ahead of it: while a piece
    is replaced, after the collector stopped half-way, after a disk was lost."""
    found = set()
    for segment in recorded:
        try:
            size = await store.size(column.key(segment))
        except PieceNotFound:
            continue
        if size == column.piece_bytes(segment):
            found.add(segment)
    return found


@dataclass(slots=True)
class Receiving:
    """recorded: checksums the database has, by segment; here: those of them that the store has, too
    signed: a receipt was given, so that no piece may change any more
    """

    column: Column
    recorded: dict[SegmentIndex, Checksum]
    here: set[SegmentIndex]
    signed: bool
    store: PieceStore
    records: Received
    claim: Claim
    idle_timeout_s: float
    _last: int = field(default=-1)

    @property
    def held(self) -> dict[SegmentIndex, Checksum]:
        return {segment: self.recorded[segment] for segment in sorted(self.here)}

    async def take(self, frames: AsyncIterator[Frame]) -> tuple[Checksum, ...]:
        """Every piece up to the end, each durable and recorded before the next is looked at: what a broken stream has
        brought is kept. All checksums in order. InvalidRequest, WrongPieceSize, GroupIncomplete, StoreFull, ..."""
        while not isinstance(frame := await self._next(frames), EndFrame):
            if not isinstance(frame, PieceFrame):
                raise InvalidRequest("a piece begins with its header")
            self._check(frame)
            await self._piece(frame, frames)
        missing = [s for s in map(SegmentIndex, range(self.column.segments)) if s not in self.here]
        if missing:
            names = ", ".join(str(self.column.key(segment)) for segment in missing[:_NAMED_MISSING])
            raise GroupIncomplete(len(missing), names)
        return tuple(self.held.values())

    async def take_whole(self, piece: bytes) -> tuple[Checksum, ...]:
        """The piece of a column of one segment, which came with its offer: durable, and not recorded by itself, since
        the group is signed for next. What `take` gives. WrongPieceSize, PieceCorrupt, StoreFull, ..."""
        segment = SegmentIndex(0)
        key, expected = self.column.key(segment), self.column.piece_bytes(segment)
        if len(piece) != expected:
            raise WrongPieceSize(self.column.index, expected, len(piece))
        if self.signed or segment in self.here:
            checksum = piece_checksum(piece)
            if self.signed and self.recorded[segment] != checksum:
                raise PieceCorrupt(str(key), self.recorded[segment].hex(), checksum.hex())
            if segment in self.here and self.recorded[segment] == checksum:
                return (checksum,)
        try:
            checksum = await self.store.put(key, piece)
        except PieceExists:  # not signed for, or damaged: what a broken attempt has left
            await self.store.delete(key)
            checksum = await self.store.put(key, piece)
        RECEIVED_BYTES.inc(len(piece))
        return (checksum,)

    def _check(self, frame: PieceFrame) -> None:
        if frame.segment >= self.column.segments:
            raise InvalidRequest(f"the object has {self.column.segments} segments, there is no {frame.segment}")
        if frame.segment <= self._last:
            raise InvalidRequest("segments are to be sent in ascending order")
        expected = self.column.piece_bytes(frame.segment)
        if frame.size != expected:
            raise WrongPieceSize(self.column.index, expected, frame.size)
        self._last = frame.segment

    async def _piece(self, header: PieceFrame, frames: AsyncIterator[Frame]) -> None:
        key = self.column.key(header.segment)
        if not self.signed:
            await self._make_room(key)
        async with self.store.writer(key) as writer:
            while writer.size < header.size:
                chunk = await self._chunk(frames, header.size, writer.size)
                await writer.write(chunk)
            checksum = await writer.commit()
        RECEIVED_BYTES.inc(header.size)
        if self.signed and self.recorded[header.segment] != checksum:
            await self.store.delete(key)  # it was missing, and this is not what we have signed for
            raise PieceCorrupt(str(key), self.recorded[header.segment].hex(), checksum.hex())
        ref = self.column.ref
        if not self.signed:
            piece = ReceivedPiece(header.segment, checksum, header.size)
            await self.records.add_pieces(ref.object_id, ref.version, self.column.index, [piece])
        self.recorded[header.segment] = checksum
        self.here.add(header.segment)

    async def _make_room(self, key: EcPieceKey) -> None:
        """A piece that is sent although we have one under its key is meant to replace it. It may be there without a
        record, from a stream that broke between the two."""
        try:
            await self.store.size(key)
        except PieceNotFound:
            return
        self.here.discard(key.segment)
        await self.store.delete(key)

    async def _chunk(self, frames: AsyncIterator[Frame], size: int, so_far: int) -> bytes | memoryview:
        frame = await self._next(frames)
        if not isinstance(frame, ChunkFrame):
            raise WrongPieceSize(self.column.index, size, so_far)
        length = len(frame.payload)
        if not 1 <= length <= CHUNK_BYTES:
            raise InvalidRequest(f"a chunk has 1 to {CHUNK_BYTES} bytes")
        if so_far + length > size:
            raise WrongPieceSize(self.column.index, size, so_far + length)
        return frame.payload

    async def _next(self, frames: AsyncIterator[Frame]) -> Frame:
        async with self.claim.waiting(self.idle_timeout_s):
            frame = await anext(frames, None)
        if frame is None:
            raise InvalidRequest("the stream ended before its end was said")
        return frame
