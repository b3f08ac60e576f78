"""Pieces that were found lost or damaged when another provider asked for them: to be mended soon."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from receiver.checking import PieceChecker
from receiver.claims import GroupKey
from sp.domain.ids import SegmentIndex
from sp.runtime.chores import Chore
from sp.runtime.clock import Clock
from sp.runtime.pace import unpaced
from spdb.received import Received

CHORE: Final = "mend pieces"
LOOK_INTERVAL_S: Final = 60.0
REMEMBERED_MAX: Final = 4096
"""More than these are found by the scrubber, or when they are asked for again."""


@dataclass(slots=True)
class DamagedPieces:
    """In memory: what is forgotten at a restart is found again. added: told that there is something to do."""

    added: Callable[[], None] = field(default=lambda: None)
    _pieces: OrderedDict[tuple[GroupKey, SegmentIndex], None] = field(default_factory=OrderedDict)

    def add(self, group: GroupKey, segment: SegmentIndex) -> None:
        if len(self._pieces) < REMEMBERED_MAX:
            self._pieces[group, segment] = None
            self.added()

    def take(self) -> tuple[GroupKey, SegmentIndex] | None:
        return self._pieces.popitem(last=False)[0] if self._pieces else None


@dataclass(frozen=True, slots=True)
class DamageMender:
    """Mends them one after the other. What cannot be mended now is left: it is found again when the next one asks."""

    damaged: DamagedPieces
    records: Received
    checker: PieceChecker
    clock: Clock

    def chore(self) -> Chore:
        return Chore(CHORE, LOOK_INTERVAL_S, self.tick)

    async def tick(self) -> bool:
        taken = self.damaged.take()
        if taken is None:
            return False
        (object_id, version, index), segment = taken
        for group in await self.records.get(object_id, version, index):
            if segment < len(group.piece_checksums):
                await self.checker.check(group, segment, repair=True, pace=unpaced(self.clock))
        return True
