"""Rebuilding a lost or damaged segment from the secondaries, and writing it back: never of content that is gone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial

from chain.client import Chain
from piecestore.store import PieceStore
from receiver.client import Gatherer, Holders, Pieces, Wanted
from sp.crypto.ec import Kernel
from sp.domain.erasure import rebuild_segment
from sp.domain.errors import NoSuchJob, NoSuchObject, NoSuchObjectId, TooFewPieces
from sp.domain.ids import Address, RedundancyIndex, SegmentIndex
from sp.domain.integrity import piece_checksum
from sp.domain.jobs import Job, SecondaryState
from sp.domain.lifecycle import JobState
from sp.domain.pieces import SegmentKey
from sp.domain.segments import piece_size, segment_size
from sp.runtime.limits import ByteBudget
from sp.runtime.log import get_logger
from spdb.jobs import Jobs

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rebuilder:
    """A segment is written back only while its job's row says that it is kept, which is asked before and after the
    write. The collector marks the row before it deletes: so either the second question sees the mark, and the segment
    is removed here, or the collector's deletion comes after the write. What a crash between the write and the second
    question leaves, the collector finds before it forgets the row."""

    pieces: PieceStore
    jobs: Jobs
    chain: Chain
    gatherer: Gatherer
    kernel: Kernel
    budget: ByteBudget
    _under_way: dict[SegmentKey, asyncio.Task[None]] = field(default_factory=dict)

    async def restore(self, job: Job, index: SegmentIndex) -> None:
        """Bring one segment back into the store. Readers that miss the same segment share one rebuild.
        TooFewPieces when the secondaries cannot give it back; NoSuchObject when its content is gone by now."""
        key = SegmentKey(job.id, index)
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._restore(job, index), name=f"rebuild {key}")
            self._under_way[key] = task
            task.add_done_callback(lambda ended: self._ended(key, ended))
        await asyncio.shield(task)

    def _ended(self, key: SegmentKey, task: asyncio.Task[None]) -> None:
        """A failure comes out at every reader that still waits; when all have gone, the log is who is told."""
        self._under_way.pop(key, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("segment not rebuilt", key=str(key), error=str(error))

    async def check_kept(self, job: Job) -> None:
        """NoSuchObject: replaced or deleted, so that its segments are being collected."""
        try:
            now = await self.jobs.get(job.id)
        except NoSuchJob:
            raise NoSuchObject(job.bucket, job.object_name) from None
        if now.collect or now.state is JobState.OBJECT_DISCONTINUED:
            raise NoSuchObject(job.bucket, job.object_name)

    async def holders(self, job: Job) -> Holders:
        """Who holds which column: as recorded here, else as the chain says."""
        providers = await self.chain.storage_providers()
        rows = await self.jobs.secondaries(job.id)
        held: dict[RedundancyIndex, Address] = {
            s.redundancy_index: s.provider for s in rows if s.state is SecondaryState.DONE
        }
        if not held and job.object_id is not None:
            try:
                found = await self.chain.head_object_by_id(job.object_id)
            except NoSuchObjectId:
                return {}
            if found.version == job.version:
                held = {RedundancyIndex(i): operator for i, operator in enumerate(found.secondaries)}
        return {column: providers[operator] for column, operator in held.items() if operator in providers}

    async def close(self) -> None:
        """End what is under way; for the shutdown."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _restore(self, job: Job, index: SegmentIndex) -> None:
        assert job.payload_size is not None
        size = segment_size(job.payload_size, job.params.max_segment_size, index)
        async with self.budget.hold(size + job.params.secondaries * piece_size(size, job.params.data_chunks)):
            await self._write_back(job, index, await self._rebuilt(job, index))
        log.info("segment rebuilt from secondaries and written back", job_id=job.id, segment=index)

    async def _write_back(self, job: Job, index: SegmentIndex, segment: bytes) -> None:
        key = SegmentKey(job.id, index)
        await self.check_kept(job)
        await self.pieces.delete(key)  # what is there is damaged, and a store never overwrites
        await self.pieces.put(key, segment)
        try:
            await self.check_kept(job)
        except NoSuchObject:
            await self.pieces.delete(key)
            raise

    async def _rebuilt(self, job: Job, index: SegmentIndex) -> bytes:
        """The segment as its recorded checksum wants it. TooFewPieces."""
        if job.object_id is None:
            needed = job.params.data_chunks
            raise TooFewPieces(job.object_name, index, 0, needed, "not on chain yet: nobody else has any of it")
        wanted = Wanted(job.object_ref(), index)
        return await self.gatherer.gather(wanted, await self.holders(job), partial(self.made, job, index))

    def made(self, job: Job, index: SegmentIndex, pieces: Pieces) -> bytes | None:
        """The segment out of k columns, None when they do not decode to the recorded checksum. Blocks."""
        assert job.payload_size is not None
        size = segment_size(job.payload_size, job.params.max_segment_size, index)
        segment = rebuild_segment(pieces, size, job.params.data_chunks, job.params.parity_chunks, self.kernel)
        return segment if piece_checksum(segment) == job.segment_checksums[index] else None
