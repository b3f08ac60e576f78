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
FIRST_PAUSE_S: Final = 60.0
LONGEST_PAUSE_S: Final = 3600.0
REMEMBERED_MAX: Final = 4096
"""More than these are found by the scrubber, or when they are asked for again."""


Piece = tuple[GroupKey, SegmentIndex]


@dataclass(frozen=True, slots=True)
class _Failure:
    count: int
    again_at_s: float


@dataclass(slots=True)
class DamagedPieces:
    """In memory: what is forgotten at a restart is found again. added: told that there is something to do.

    A piece that could not be mended is left alone for a while. Its siblings may be in the same state, and in trying to
    mend theirs they ask for it: without a pause each would keep all the others busy for ever.
    """

    clock: Clock
    added: Callable[[], None] = field(default=lambda: None)
    _pieces: OrderedDict[Piece, None] = field(default_factory=OrderedDict)
    _failures: OrderedDict[Piece, _Failure] = field(default_factory=OrderedDict)

    def add(self, group: GroupKey, segment: SegmentIndex) -> None:
        piece = (group, segment)
        failure = self._failures.get(piece)
        if failure is not None and self.clock.monotonic_s() < failure.again_at_s:
            return
        if len(self._pieces) < REMEMBERED_MAX:
            self._pieces[piece] = None
            self.added()

    def take(self) -> Piece | None:
        return self._pieces.popitem(last=False)[0] if self._pieces else None

    def mended(self, piece: Piece) -> None:
        self._failures.pop(piece, None)

    def failed(self, piece: Piece) -> None:
        count = self._failures[piece].count + 1 if piece in self._failures else 1
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(count - 1, 10))
        self._failures[piece] = _Failure(count, self.clock.monotonic_s() + pause_s)
        self._failures.move_to_end(piece)
        if len(self._failures) > REMEMBERED_MAX:
            self._failures.popitem(last=False)


@dataclass(frozen=True, slots=True)
class DamageMender:
    """Mends them one after the other. What cannot be mended now is left to the next one who asks, after a pause."""

    damaged: DamagedPieces
    records: Received
    checker: PieceChecker
    clock: Clock

    def chore(self) -> Chore:
        return Chore(CHORE, LOOK_INTERVAL_S, self.tick)

    async def tick(self) -> bool:
        piece = self.damaged.take()
        if piece is None:
            return False
        (object_id, version, index), segment = piece
        found = None
        for group in await self.records.get(object_id, version, index):
            if segment < len(group.piece_checksums):
                found = await self.checker.check(group, segment, repair=True, pace=unpaced(self.clock))
        if found is None or found.well:
            self.damaged.mended(piece)
        else:
            self.damaged.failed(piece)
        return True
