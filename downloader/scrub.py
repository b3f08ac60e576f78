"""The scrubber of a primary: reads every segment again, slowly, and mends what has gone bad while nobody read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from downloader.checking import WHAT, SegmentChecker
from sp.domain.errors import NoSuchJob
from sp.domain.findings import Finding
from sp.domain.ids import SegmentIndex
from sp.domain.jobs import Job
from sp.runtime.chores import Chore
from sp.runtime.clock import Clock
from sp.runtime.pace import Pace
from sp.runtime.scrub_metrics import LAST_PASS
from spdb.jobs import Jobs
from spdb.passes import Passes, Place

CHORE: Final = "scrub segments"
LOOK_INTERVAL_S: Final = 30.0
JOBS_PER_PAGE: Final = 32
"""A job's row has 32 bytes for each segment: 128 KiB for an object of 64 GiB."""

TICK_S: Final = 5.0
"""How far apart the places are at which a killed process takes the work up again."""


@dataclass(frozen=True, slots=True)
class SegmentScrubber:
    """Goes through the jobs in the order of their ids, from where it was, also after a restart. A page of rows and one
    block of a segment are all it holds."""

    jobs: Jobs
    checker: SegmentChecker
    passes: Passes
    pace: Pace
    clock: Clock
    actor: str

    def chore(self) -> Chore:
        return Chore(CHORE, LOOK_INTERVAL_S, self.tick)

    async def tick(self) -> bool:
        """Some seconds of work. False: no pass is due, another process is at it, or the pass is through."""
        place = await self.passes.begin()
        if place is None:
            return False
        until_s = self.clock.monotonic_s() + TICK_S
        page, after = await self.jobs.walk(place.at, JOBS_PER_PAGE)
        for job in page:
            if job is not page[0] and self.clock.monotonic_s() >= until_s:
                await self.passes.reached(Place(job.id))
                return True
            stopped = await self._scrub(job, place.part if job.id == place.at else 0, until_s)
            if stopped is not None:
                await self.passes.reached(Place(job.id, part=stopped))
                return True
        if after is not None:
            await self.passes.reached(Place(after))
            return True
        await self.passes.ended()
        LAST_PASS.labels(WHAT).set(self.clock.now_ms() / 1000)
        return False

    async def _scrub(self, job: Job, first: int, until_s: float) -> int | None:
        """Segments from `first` on until the time is up; the one to go on with, None when that was the last."""
        bad: list[Finding] = []
        index = first
        for index in range(first, job.segments):
            if self.clock.monotonic_s() >= until_s and index > first:
                break
            found = await self.checker.check(job, SegmentIndex(index), repair=True, pace=self.pace)
            if found is None:
                return None
            if found.reason:
                bad.append(found)
        else:
            index = job.segments
        await self._write_down(job, bad)
        return index if index < job.segments else None

    async def _write_down(self, job: Job, bad: list[Finding]) -> None:
        """Into the job's history, for the operator who asks what happened to an object."""
        if not bad:
            return
        repaired = sum(found.repaired for found in bad)
        first = f"segment {bad[0].segment} {bad[0].health}: {bad[0].reason}"
        reason = f"{len(bad)} segments damaged, {repaired} of them repaired; {first}"
        try:
            await self.jobs.note(job, "scrubbed", reason[:1000], "", self.actor)
        except NoSuchJob:
            return  # deleted meanwhile, and its history with it

    async def tell_last_pass(self) -> None:
        """The metric survives a restart."""
        LAST_PASS.labels(WHAT).set(await self.passes.last_ms() / 1000)
