"""Checking and repairing on an operator's order what is held for others: of one object, a bucket, or everything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace

from chain.client import Chain
from receiver.checking import PieceChecker
from receiver.claims import GroupKey
from receiver.receiving import Column
from receiver.recovering import GroupRecoverer
from sp.domain.findings import Finding, Health, ScrubOrder, Tally
from sp.domain.ids import ObjectId, RedundancyIndex, SegmentIndex
from sp.domain.jobs import ReceivedGroup
from sp.runtime.clock import Clock
from sp.runtime.limits import Slots
from sp.runtime.pace import unpaced
from spdb.received import Received

GROUPS_PER_PAGE = 32

Part = tuple[ReceivedGroup, SegmentIndex]


@dataclass(frozen=True, slots=True)
class GroupInspector:
    """at_once: pieces checked, and where needed made again, at the same time"""

    chain: Chain
    records: Received
    checker: PieceChecker
    clock: Clock
    slots: Slots
    at_once: int
    recoverer: GroupRecoverer

    async def run(self, order: ScrubOrder) -> AsyncIterator[Finding | Tally]:
        """Findings as they are made (of one object all, else those that are not well), a tally after each page of
        groups and at the end. What cannot be repaired is a finding, and the work goes on. NoSuchObject, Overloaded."""
        with self.slots.slot():
            tally = Tally()
            if order.recover:
                async for finding, size in self.recoverer.run(order):
                    tally = tally.plus(finding, size)
                    yield finding
                yield tally
            async for page in self._object(order) if order.object_name else self._walk(order):
                tally = replace(tally, objects=tally.objects + len(page))
                for batch in _batches(page, self.at_once):
                    for group, finding in await self._checked(batch, repair=order.repair):
                        size = Column(group.object, group.redundancy_index).piece_bytes(finding.segment)
                        tally = tally.plus(finding, size)
                        if order.object_name or finding.health is not Health.OK:
                            yield finding
                yield tally
            yield tally

    async def _object(self, order: ScrubOrder) -> AsyncIterator[list[ReceivedGroup]]:
        found = await self.chain.head_object(order.bucket, order.object_name)
        after: GroupKey = (found.id, -1, RedundancyIndex(-1))
        groups = await self.records.list(GROUPS_PER_PAGE, after)
        yield [group for group in groups if group.object.object_id == found.id]

    async def _walk(self, order: ScrubOrder) -> AsyncIterator[list[ReceivedGroup]]:
        after: GroupKey | None = (ObjectId(0), -1, RedundancyIndex(-1))
        while after is not None:
            page = await self.records.list(GROUPS_PER_PAGE, after)
            yield [group for group in page if order.bucket in ("", group.object.bucket)]
            after = _key_of(page[-1]) if len(page) == GROUPS_PER_PAGE else None

    async def _checked(self, batch: Sequence[Part], *, repair: bool) -> list[tuple[ReceivedGroup, Finding]]:
        pace = unpaced(self.clock)
        async with asyncio.TaskGroup() as tasks:
            checks = [tasks.create_task(self.checker.check(g, s, repair=repair, pace=pace)) for g, s in batch]
        results = [(group, check.result()) for (group, _), check in zip(batch, checks, strict=True)]
        return [(group, finding) for group, finding in results if finding is not None]


def _batches(page: Sequence[ReceivedGroup], size: int) -> Iterator[Sequence[Part]]:
    parts = [(group, SegmentIndex(segment)) for group in page for segment in range(len(group.piece_checksums))]
    return (parts[start : start + size] for start in range(0, len(parts), size))


def _key_of(group: ReceivedGroup) -> GroupKey:
    return group.object.object_id, group.object.version, group.redundancy_index
