"""Give objects back, every byte verified; what names mean on this SP.

Owns:  reading, and rebuilding what cannot be read.
Never: serves a byte that was not checked, moves a job, talks to the chain about permissions (the gateway does).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from chain.client import Chain
from downloader.inspecting import Inspector
from downloader.reading import SegmentReader
from downloader.rebuild import Rebuilder
from piecestore.verified import check_piece
from receiver.client import OwnReceiver
from sp.domain.challenges import Challenge
from sp.domain.errors import (
    InvalidRange,
    InvalidRequest,
    NoSuchObject,
    PieceCorrupt,
    PieceNotFound,
    ShortPiece,
)
from sp.domain.findings import Finding, ScrubOrder, Tally
from sp.domain.ids import PRIMARY, JobId, ObjectId, RedundancyIndex, SegmentIndex
from sp.domain.jobs import Listing, ObjectEntry
from sp.domain.pieces import SegmentKey
from sp.domain.segments import segment_size
from sp.runtime.limits import Slots
from sp.runtime.log import get_logger
from spdb.objects import Objects

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DownloaderService:
    objects: Objects
    reader: SegmentReader
    rebuilder: Rebuilder
    slots: Slots
    chain: Chain
    receiver: OwnReceiver
    inspector: Inspector

    async def head(self, bucket: str, object_name: str) -> ObjectEntry:
        entry = await self.objects.content(bucket, object_name)
        if entry is None:
            raise NoSuchObject(bucket, object_name)
        return entry

    async def list(self, bucket: str, prefix: str, delimiter: str, marker: str, limit: int) -> Listing:
        return await self.objects.list(bucket, prefix, delimiter, marker, limit)

    async def entry_of(self, job_id: JobId, start: int, stop: int) -> ObjectEntry:
        """The entry whose content a GET that was headed before is to send; NoSuchObject, InvalidRange."""
        entry = await self.objects.content_of(job_id)
        if entry is None:
            raise NoSuchObject("", f"job {job_id}")
        if entry.job.payload_size is None or not 0 <= start <= stop <= entry.job.payload_size:
            raise InvalidRange(entry.job.payload_size or 0)
        return entry

    async def get(self, entry: ObjectEntry, start: int, stop: int) -> AsyncIterator[bytes | memoryview]:
        job = entry.job
        assert job.payload_size is not None
        assert 0 <= start <= stop <= job.payload_size
        full = job.params.max_segment_size
        with self.slots.slot():
            for index in range(start // full, -(-stop // full)):
                offset = index * full
                segment = self._segment(entry, SegmentIndex(index), max(0, start - offset), stop - offset)
                async with aclosing(segment) as blocks:
                    async for block in blocks:
                        yield block

    async def segment(
        self, object_id: ObjectId, version: int, index: SegmentIndex
    ) -> AsyncIterator[bytes | memoryview]:
        """One whole segment of one content, as `get`. PieceNotFound when this provider is not the primary of it."""
        entry, size = await self._content(object_id, version, index)
        start = index * entry.job.params.max_segment_size
        async for block in self.get(entry, start, start + size):
            yield block

    async def challenge(self, object_id: ObjectId, index: RedundancyIndex, segment: SegmentIndex) -> Challenge:
        """Proof that this provider has one piece (PRIMARY: segment) of an object as the chain knows it. NoSuchObjectId,
        PieceNotFound, TooFewPieces when it was lost and cannot be rebuilt."""
        if index < PRIMARY:
            raise InvalidRequest(f"there is no redundancy index {index}")
        if index != PRIMARY:
            return await self.receiver.challenge(object_id, index, segment)
        version = (await self.chain.head_object_by_id(object_id)).version
        entry, _ = await self._content(object_id, version, segment)
        job = entry.job
        assert job.root is not None
        piece = b"".join([bytes(block) async for block in self.segment(object_id, version, segment)])
        return Challenge(object_id, version, PRIMARY, segment, piece, job.segment_checksums, job.root)

    def scrub(self, order: ScrubOrder) -> AsyncIterator[Finding | Tally]:
        """`Inspector.run`."""
        return self.inspector.run(order)

    async def _content(self, object_id: ObjectId, version: int, index: SegmentIndex) -> tuple[ObjectEntry, int]:
        """The put that brought this content, and the size of its segment. PieceNotFound."""
        entry = await self.objects.by_object_id(object_id, version)
        if entry is None or not 0 <= index < entry.job.segments:
            raise PieceNotFound(f"segment {index} of object {object_id} version {version}")
        assert entry.job.payload_size is not None
        return entry, segment_size(entry.job.payload_size, entry.job.params.max_segment_size, index)

    async def _segment(
        self, entry: ObjectEntry, index: SegmentIndex, start: int, stop: int
    ) -> AsyncGenerator[memoryview, None]:
        """One segment's share of the range. What is lost or damaged is rebuilt once, even in the middle of it."""
        job = entry.job
        assert job.payload_size is not None
        key = SegmentKey(job.id, index)
        size = segment_size(job.payload_size, job.params.max_segment_size, index)
        stop = min(stop, size)
        checksum = job.segment_checksums[index]
        sent = start
        try:
            if entry.small is not None:
                check_piece(key, entry.small, checksum)
                yield memoryview(entry.small)[start:stop]
                return
            async with aclosing(self.reader.read(key, size, checksum, start, stop)) as blocks:
                async for block in blocks:
                    yield block
                    sent += len(block)
            return
        except (PieceNotFound, ShortPiece, PieceCorrupt) as error:
            log.warning("segment unreadable", job_id=job.id, segment=index, error=str(error))
            await self.rebuilder.check_kept(job)  # to a reader slower than an overwrite it is no fault
            await self.rebuilder.restore(job, index)
        async with aclosing(self.reader.read(key, size, checksum, sent, stop)) as blocks:
            async for block in blocks:
                yield block
