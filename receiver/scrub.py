"""The scrubber of a secondary: reads every piece it has signed for again, slowly, and mends what has gone bad."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from receiver.checking import WHAT, PieceChecker
from receiver.claims import GroupKey
from sp.domain.ids import ObjectId, RedundancyIndex, SegmentIndex
from sp.domain.jobs import ReceivedGroup
from sp.runtime.chores import Chore
from sp.runtime.clock import Clock
from sp.runtime.pace import Pace
from sp.runtime.scrub_metrics import LAST_PASS
from spdb.passes import Passes, Place
from spdb.received import Received

CHORE: Final = "scrub pieces"
LOOK_INTERVAL_S: Final = 30.0
GROUPS_PER_PAGE: Final = 32
_COLUMNS: Final = 256
"""More than any erasure code here has."""

TICK_S: Final = 5.0
"""How far apart the places are at which a killed process takes the work up again."""


@dataclass(frozen=True, slots=True)
class PieceScrubber:
    """Goes through the groups in the order of their keys, from where it was, also after a restart. A page of rows and
    one piece are all it holds."""

    records: Received
    checker: PieceChecker
    passes: Passes
    pace: Pace
    clock: Clock

    def chore(self) -> Chore:
        return Chore(CHORE, LOOK_INTERVAL_S, self.tick)

    async def tick(self) -> bool:
        """Some seconds of work. False: no pass is due, another process is at it, or the pass is through."""
        place = await self.passes.begin()
        if place is None:
            return False
        until_s = self.clock.monotonic_s() + TICK_S
        page = await self.records.list(GROUPS_PER_PAGE, _key_before(place))
        for group in page:
            here = _place_of(group)
            first = place.part if (here.at, here.rank) == (place.at, place.rank) else 0
            stopped = await self._scrub(group, first, until_s)
            if stopped is not None:
                await self.passes.reached(replace(here, part=stopped))
                return True
        if len(page) == GROUPS_PER_PAGE:
            last = _place_of(page[-1])
            await self.passes.reached(replace(last, rank=last.rank + 1))
            return True
        await self.passes.ended()
        LAST_PASS.labels(WHAT).set(self.clock.now_ms() / 1000)
        return False

    async def _scrub(self, group: ReceivedGroup, first: int, until_s: float) -> int | None:
        """Pieces from `first` on until the time is up; the one to go on with, None when that was the last. At least one
        is looked at, so that every tick gets on."""
        for segment in range(first, len(group.piece_checksums)):
            await self.checker.check(group, SegmentIndex(segment), repair=True, pace=self.pace)
            if self.clock.monotonic_s() >= until_s:
                return segment + 1
        return None

    async def tell_last_pass(self) -> None:
        """The metric survives a restart."""
        LAST_PASS.labels(WHAT).set(await self.passes.last_ms() / 1000)


def _place_of(group: ReceivedGroup) -> Place:
    """rank: version and column in one number, in the order of the keys"""
    return Place(group.object.object_id, group.object.version * _COLUMNS + group.redundancy_index)


def _key_before(place: Place) -> GroupKey:
    version, column = divmod(place.rank, _COLUMNS)
    return ObjectId(place.at), version, RedundancyIndex(column - 1)
