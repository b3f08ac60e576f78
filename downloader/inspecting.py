"""Checking and repairing on an operator's order: one object, a bucket, or every segment of this primary."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace

from downloader.auditing import ObjectAuditor
from downloader.checking import SegmentChecker
from downloader.recovering import ObjectRecoverer
from sp.domain.errors import NoSuchObject
from sp.domain.findings import Finding, Health, ScrubOrder, Tally
from sp.domain.ids import PRIMARY, SegmentIndex
from sp.domain.jobs import Job
from sp.domain.segments import piece_size, segment_size
from sp.runtime.clock import Clock
from sp.runtime.limits import Slots
from sp.runtime.pace import unpaced
from spdb.cursors import Cursors
from spdb.jobs import Jobs
from spdb.objects import Objects

JOBS_PER_PAGE = 32

Part = tuple[Job, SegmentIndex]


@dataclass(frozen=True, slots=True)
class Inspector:
    """at_once: segments checked, and where needed rebuilt, at the same time"""

    jobs: Jobs
    objects: Objects
    checker: SegmentChecker
    auditor: ObjectAuditor
    cursors: Cursors
    clock: Clock
    slots: Slots
    at_once: int
    recoverer: ObjectRecoverer

    async def run(self, order: ScrubOrder) -> AsyncIterator[Finding | Tally]:
        """Findings as they are made (of one object all, else those that are not well), a tally after each page of jobs
        and at the end. What cannot be repaired is a finding, and the work goes on. NoSuchObject, Overloaded."""
        with self.slots.slot():
            tally = Tally()
            if order.recover:
                async for finding, size in self.recoverer.run(order):
                    tally = tally.plus(finding, size)
                    yield finding
                yield tally
            async for each in self._object(order, tally) if order.object_name else self._walk(order, tally):
                yield each

    async def _object(self, order: ScrubOrder, tally: Tally) -> AsyncIterator[Finding | Tally]:
        entry = await self.objects.head(order.bucket, order.object_name)
        if entry is None and tally.damaged:
            return  # on chain, and not to be had back: that has been said
        if entry is None:
            raise NoSuchObject(order.bucket, order.object_name)
        job, tally = entry.job, tally.with_object()
        if order.everywhere:
            async for finding in self.auditor.audit(job, repair=order.repair):
                tally = tally.plus(finding, _bytes_of(job, finding))
                yield finding
        else:
            for batch in _batches([job], self.at_once):
                for job, finding in await self._checked(batch, repair=order.repair):
                    tally = tally.plus(finding, _bytes_of(job, finding))
                    yield finding
        yield tally

    async def _walk(self, order: ScrubOrder, tally: Tally) -> AsyncIterator[Finding | Tally]:
        """The place, and the damage left behind it, are kept durably after each page: a run that was interrupted may be
        resumed, and its end still tells the truth about all of it."""
        saved = Saved(self.cursors, f"repair {order.bucket}")
        at, left = await saved.load() if order.resume else (0, 0)
        unrecovered = tally.unrepaired  # looked for anew each time
        tally = replace(tally, damaged=tally.damaged + left)
        after: int | None = at
        while after is not None:
            page, after = await self.jobs.walk(after, JOBS_PER_PAGE, order.bucket)
            tally = replace(tally, objects=tally.objects + len(page))
            for batch in _batches(page, self.at_once):
                for job, finding in await self._checked(batch, repair=order.repair):
                    tally = tally.plus(finding, _bytes_of(job, finding))
                    if finding.health is not Health.OK:
                        yield finding
            if order.repair:
                await saved.save(after or 0, tally.unrepaired - unrecovered if after else 0)
            yield tally

    async def _checked(self, batch: Sequence[Part], *, repair: bool) -> list[tuple[Job, Finding]]:
        pace = unpaced(self.clock)
        async with asyncio.TaskGroup() as group:
            checks = [group.create_task(self.checker.check(job, i, repair=repair, pace=pace)) for job, i in batch]
        results = [(job, check.result()) for (job, _), check in zip(batch, checks, strict=True)]
        return [(job, finding) for job, finding in results if finding is not None]


@dataclass(frozen=True, slots=True)
class Saved:
    """Where an interrupted repair of one scope stopped, and how much damage it left behind."""

    cursors: Cursors
    name: str

    async def load(self) -> tuple[int, int]:
        return await self.cursors.get(f"{self.name} at"), await self.cursors.get(f"{self.name} left")

    async def save(self, at: int, left: int) -> None:
        await self.cursors.set_all({f"{self.name} at": at, f"{self.name} left": left})


def _batches(page: Sequence[Job], size: int) -> Iterator[Sequence[Part]]:
    parts = [(job, SegmentIndex(index)) for job in page for index in range(job.segments)]
    return (parts[start : start + size] for start in range(0, len(parts), size))


def _bytes_of(job: Job, finding: Finding) -> int:
    assert job.payload_size is not None
    whole = segment_size(job.payload_size, job.params.max_segment_size, finding.segment)
    return whole if finding.redundancy_index == PRIMARY else piece_size(whole, job.params.data_chunks)
