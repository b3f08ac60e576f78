"""Collect the segments of puts that came to nothing, or whose content was replaced or deleted."""

from __future__ import annotations

from dataclasses import dataclass

from piecestore.store import PieceStore
from sp.domain.errors import PieceNotFound
from sp.domain.ids import SegmentIndex
from sp.domain.jobs import Job
from sp.domain.pieces import SegmentKey
from sp.runtime.clock import Clock
from sp.runtime.log import get_logger
from spdb.jobs import Jobs
from uploader.segments import delete_uncounted

log = get_logger(__name__)

BATCH = 100


@dataclass(frozen=True, slots=True)
class SegmentCollector:
    """Removes segments that one row proves dead: a job's pieces are its own, so its row alone decides.

    Crash-safe: the row stays marked until its segments are gone, and deleting twice is harmless. A reader who has begun
    goes on for `keep_replaced_ms` on content that the name does not mean any more.
    """

    pieces: PieceStore
    jobs: Jobs
    clock: Clock
    keep_replaced_ms: int
    keep_failed_ms: int
    actor: str

    async def tick(self) -> bool:
        """Fail uploads whose process vanished, delete dead segments, purge rows past their retention."""
        expired = await self.jobs.expired_uploads(BATCH)
        for job in expired:
            await self.jobs.fail_upload(job.id, "the uploading process vanished", self.actor, only_expired=True)
        marked_before_ms = self.clock.now_ms() - self.keep_replaced_ms
        dead = await self.jobs.collectable(BATCH, marked_before_ms=marked_before_ms)
        for job in dead:
            await self._delete_segments(job)
            await self.jobs.collected(job.id, self.actor)
            log.info("segments collected", job_id=job.id, bucket=job.bucket, object_name=job.object_name)
        purged = await self._purge()
        return bool(expired or dead or purged)

    async def _purge(self) -> int:
        """Forget rows past their retention. Before a row goes, its segments are looked for once more: a repair that was
        killed right after it wrote one back, while they were being collected, left what only this row still knows."""
        old = await self.jobs.purgeable(self.keep_failed_ms, BATCH)
        for job in old:
            for index in range(len(job.segment_checksums)):
                await self._delete_leftover(SegmentKey(job.id, SegmentIndex(index)))
        return await self.jobs.forget([job.id for job in old]) if old else 0

    async def _delete_leftover(self, key: SegmentKey) -> None:
        try:
            await self.pieces.size(key)
        except PieceNotFound:
            return
        log.warning("a collected segment had come back", key=str(key))
        await self.pieces.delete(key)

    async def _delete_segments(self, job: Job) -> None:
        """All segments of a job. How many an aborted one had is not recorded."""
        if job.segment_checksums:
            for index in range(len(job.segment_checksums)):
                await self.pieces.delete(SegmentKey(job.id, SegmentIndex(index)))
        else:
            await delete_uncounted(self.pieces, lambda index: SegmentKey(job.id, SegmentIndex(index)))
