"""One piece held for another provider: is it well, and if not, can it be made so."""

from __future__ import annotations

from dataclasses import dataclass, replace

from piecestore.store import PieceStore
from piecestore.verified import read_verified
from receiver.mending import Mender
from receiver.receiving import Column
from signer.client import Signer
from sp.domain.errors import NoSuchObjectId, PieceCorrupt, PieceNotFound, ShortPiece, SpError, StoreFailed
from sp.domain.findings import Finding, Health, health_of
from sp.domain.ids import SegmentIndex
from sp.domain.jobs import ReceivedGroup
from sp.runtime.log import get_logger
from sp.runtime.pace import Pace
from sp.runtime.pool import CpuPool
from sp.runtime.scrub_metrics import SCRUBBED, count_finding

WHAT = "pieces"

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PieceChecker:
    """For groups that were signed for: before that there is nothing to hold them to."""

    store: PieceStore
    mender: Mender
    signer: Signer
    pool: CpuPool

    async def check(self, group: ReceivedGroup, segment: SegmentIndex, *, repair: bool, pace: Pace) -> Finding | None:
        """What is found of one piece, and mended. None: the group is not wanted any more. Never raises for what is
        wrong with the piece, the other providers or the disk: that is the finding."""
        found = await self._looked_at(group, segment, pace)
        if found.health is Health.OK:
            return found
        ref = group.object
        if not await self.mender.records.get(ref.object_id, ref.version, group.redundancy_index):
            return None
        log.warning(
            "piece is not well",
            object_id=ref.object_id,
            index=group.redundancy_index,
            segment=segment,
            health=found.health,
            reason=found.reason,
        )
        mended = await self._mended(group, found) if repair else found
        if mended is not None:
            count_finding(WHAT, mended, tried=repair)
        return mended

    async def _looked_at(self, group: ReceivedGroup, segment: SegmentIndex, pace: Pace) -> Finding:
        column = Column(group.object, group.redundancy_index)
        size = column.piece_bytes(segment)
        await pace.take(size)
        health, reason = Health.OK, ""
        try:
            await read_verified(self.store, column.key(segment), group.piece_checksums[segment])
        except (PieceNotFound, ShortPiece, PieceCorrupt, StoreFailed) as error:
            health, reason = health_of(error), str(error)
        SCRUBBED.labels(WHAT).inc(size)
        ref, me = group.object, (await self.signer.keys()).operator
        index = group.redundancy_index
        return Finding(
            ref.bucket, ref.object_name, ref.object_id, ref.version, segment, index, me, health, reason=reason
        )

    async def _mended(self, group: ReceivedGroup, found: Finding) -> Finding | None:
        try:
            await self.mender.mend(group, found.segment)
        except NoSuchObjectId:
            return None
        except SpError as error:
            log.error(
                "piece cannot be repaired",
                object_id=group.object.object_id,
                index=group.redundancy_index,
                segment=found.segment,
                reason=str(error),
            )
            return replace(found, reason=f"{found.reason}; {error}")
        return replace(found, repaired=True)
