"""One segment of this primary: is it well, and if not, can it be made so."""

from __future__ import annotations

from dataclasses import dataclass, replace

from downloader.reading import SegmentReader
from downloader.rebuild import Rebuilder
from signer.client import Signer
from sp.domain.errors import NoSuchObject, PieceCorrupt, PieceNotFound, ShortPiece, SpError, StoreFailed
from sp.domain.findings import Finding, Health, health_of
from sp.domain.ids import PRIMARY, SegmentIndex
from sp.domain.jobs import Job
from sp.domain.pieces import SegmentKey
from sp.domain.segments import segment_size
from sp.runtime.log import get_logger
from sp.runtime.pace import Pace
from sp.runtime.scrub_metrics import SCRUBBED, count_finding

WHAT = "segments"

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SegmentChecker:
    reader: SegmentReader
    rebuilder: Rebuilder
    signer: Signer

    async def check(self, job: Job, index: SegmentIndex, *, repair: bool, pace: Pace) -> Finding | None:
        """What is found of one segment, and mended. None: its content is gone by now. Never raises for what is wrong
        with the segment, its secondaries or the disk: that is the finding."""
        found = await self.looked_at(job, index, pace)
        if found.health is Health.OK:
            return found
        try:
            await self.rebuilder.check_kept(job)
            log.warning("segment is not well", job_id=job.id, segment=index, health=found.health, reason=found.reason)
            found = await self._mended(job, found) if repair else found
        except NoSuchObject:
            return None
        count_finding(WHAT, found, tried=repair)
        return found

    async def looked_at(self, job: Job, index: SegmentIndex, pace: Pace) -> Finding:
        assert job.payload_size is not None
        size = segment_size(job.payload_size, job.params.max_segment_size, index)
        health, reason = Health.OK, ""
        try:
            await self.reader.verify(SegmentKey(job.id, index), size, job.segment_checksums[index], pace)
        except (PieceNotFound, ShortPiece, PieceCorrupt, StoreFailed) as error:
            health, reason = health_of(error), str(error)
        SCRUBBED.labels(WHAT).inc(size)
        me = (await self.signer.keys()).operator
        return Finding(
            job.bucket, job.object_name, job.object_id, job.version, index, PRIMARY, me, health, reason=reason
        )

    async def _mended(self, job: Job, found: Finding) -> Finding:
        """NoSuchObject."""
        try:
            await self.rebuilder.restore(job, found.segment)
        except NoSuchObject:
            raise
        except SpError as error:
            log.error("segment cannot be repaired", job_id=job.id, segment=found.segment, reason=str(error))
            return replace(found, reason=f"{found.reason}; {error}")
        return replace(found, repaired=True)
