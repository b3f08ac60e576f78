"""One object at all its providers: every segment here and every piece there, compared with what it must be.

A secondary's word is not taken for anything: its piece is fetched, and compared with the piece that is made here out of
the true segment, the one in the store or, where that is damaged, the one that k of the fetched pieces give.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial

from downloader.checking import SegmentChecker
from downloader.rebuild import Rebuilder
from piecestore.store import PieceStore
from receiver.client import Gatherer, Holders, Pieces, Wanted, column_sets
from sp.domain.erasure import encode_segment
from sp.domain.errors import SpError
from sp.domain.findings import DAMAGED, Finding, Health, health_of
from sp.domain.ids import RedundancyIndex, SegmentIndex
from sp.domain.jobs import Job
from sp.domain.pieces import SegmentKey
from sp.runtime.clock import Clock
from sp.runtime.pace import unpaced
from sp.runtime.pool import CpuPool

RETRY_S = 0.5
"""Between two looks at a secondary that is mending its piece; doubled each time."""

LOOKS_MAX = 6
"""0.5 s to 16 s: half a minute in all."""


@dataclass(frozen=True, slots=True)
class ObjectAuditor:
    pieces: PieceStore
    checker: SegmentChecker
    rebuilder: Rebuilder
    gatherer: Gatherer
    pool: CpuPool
    clock: Clock

    async def audit(self, job: Job, *, repair: bool) -> AsyncIterator[Finding]:
        """Segment by segment: the primary's, then its pieces by column. A secondary that is asked for a piece it has
        lost begins to mend it by itself; with `repair` it is asked again until it has."""
        holders = await self.rebuilder.holders(job) if job.object_id is not None else {}
        for index in map(SegmentIndex, range(job.segments)):
            for finding in await self._segment(job, index, holders, repair=repair):
                yield finding

    async def _segment(self, job: Job, index: SegmentIndex, holders: Holders, *, repair: bool) -> list[Finding]:
        own = await self.checker.check(job, index, repair=repair, pace=unpaced(self.clock))
        if own is None:
            return []
        if not holders:
            return [own]
        found = await self._columns(job, index, holders, own)
        if repair and any(finding.health in DAMAGED for finding in found):
            found = await self._mended(job, index, holders, own, found)
        return [own, *found]

    async def _columns(self, job: Job, index: SegmentIndex, holders: Holders, own: Finding) -> list[Finding]:
        wanted = Wanted(job.object_ref(), index)
        size = wanted.segment_bytes + len(holders) * wanted.piece_bytes
        async with self.rebuilder.budget.hold(size):
            columns = sorted(holders)
            answers = await asyncio.gather(*(self.gatherer.fetch(wanted, c, holders[c]) for c in columns))
            fetched = dict(zip(columns, answers, strict=True))
            stored = await self._stored(job, index) if own.well else None
            proved = await self.pool.run(partial(self._proved, job, index, fetched, stored))
        return [
            replace(own, redundancy_index=c, provider=holders[c].operator, health=health, reason=why, repaired=False)
            for c, (health, why) in proved.items()
        ]

    async def _stored(self, job: Job, index: SegmentIndex) -> bytes | None:
        try:
            return await self.pieces.get(SegmentKey(job.id, index))
        except SpError:
            return None  # it was well a moment ago: the pieces have to do without it

    def _proved(
        self, job: Job, index: SegmentIndex, fetched: dict[RedundancyIndex, bytes | SpError], stored: bytes | None
    ) -> dict[RedundancyIndex, tuple[Health, str]]:
        """Blocks."""
        pieces = {column: piece for column, piece in fetched.items() if isinstance(piece, bytes)}
        segment = stored if stored is not None else self._decoded(job, index, pieces)
        params = job.params
        if segment is None:
            true = None
        else:
            true = encode_segment(segment, params.data_chunks, params.parity_chunks, self.rebuilder.kernel)
        verdicts: dict[RedundancyIndex, tuple[Health, str]] = {}
        for column, piece in fetched.items():
            if isinstance(piece, SpError):
                verdicts[column] = health_of(piece), str(piece)
            elif true is None:
                verdicts[column] = Health.UNPROVEN, "no segment to compare it with"
            elif memoryview(true[column]) == piece:
                verdicts[column] = Health.OK, ""
            else:
                verdicts[column] = Health.CORRUPT, "its holder vouches for bytes that are not the object's"
        return verdicts

    def _decoded(self, job: Job, index: SegmentIndex, pieces: Pieces) -> bytes | None:
        for chosen in column_sets(pieces, set(pieces), job.params.data_chunks):
            segment = self.rebuilder.made(job, index, chosen)
            if segment is not None:
                return segment
        return None

    async def _mended(
        self, job: Job, index: SegmentIndex, holders: Holders, own: Finding, before: list[Finding]
    ) -> list[Finding]:
        """Ask those whose piece was damaged again, until they have it or half a minute is over."""
        latest = {finding.redundancy_index: finding for finding in before}
        for look in range(LOOKS_MAX):
            damaged = {
                c: holders[c] for c, finding in latest.items() if finding.health in DAMAGED and not finding.repaired
            }
            if not damaged:
                break
            await self.clock.sleep(RETRY_S * 2**look)
            for finding in await self._columns(job, index, damaged, own):
                first = next(f for f in before if f.redundancy_index == finding.redundancy_index)
                latest[finding.redundancy_index] = (
                    replace(first, repaired=True)
                    if finding.health is Health.OK
                    else replace(first, reason=finding.reason)
                )
        return [latest[column] for column in sorted(latest)]
