"""What was found when stored bytes were checked, and how much of it: records of scrubbing, audits and repairs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sp.domain.errors import Kind, PieceCorrupt, PieceNotFound, ShortPiece, SpError, StoreFailed, WrongPieceSize
from sp.domain.ids import Address, ObjectId, RedundancyIndex, SegmentIndex


class Health(StrEnum):
    OK = "ok"
    MISSING = "missing"
    CORRUPT = "corrupt"
    UNREADABLE = "unreadable"  # the disk gives an error instead of bytes
    UNREACHABLE = "unreachable"  # its holder did not answer: nothing is known
    UNPROVEN = "unproven"  # its holder sent bytes, but no segment could be had to compare them with


DAMAGED = frozenset({Health.MISSING, Health.CORRUPT, Health.UNREADABLE})


@dataclass(frozen=True, slots=True)
class Finding:
    """One segment, or one piece of it, at one provider.

    object_id: None before the chain has given one; redundancy_index: PRIMARY for the segment itself
    provider: operator address of its holder
    repaired: it was damaged, and is well again; reason: in words, "" when all is well
    """

    bucket: str
    object_name: str
    object_id: ObjectId | None
    version: int
    segment: SegmentIndex
    redundancy_index: RedundancyIndex
    provider: Address
    health: Health
    repaired: bool = False
    reason: str = ""

    @property
    def well(self) -> bool:
        return self.health is Health.OK or self.repaired


@dataclass(frozen=True, slots=True)
class Tally:
    """parts: segments and pieces looked at, of `size_bytes` in all; unreachable: of which nothing certain is known"""

    objects: int = 0
    parts: int = 0
    size_bytes: int = 0
    damaged: int = 0
    repaired: int = 0
    unreachable: int = 0

    @property
    def unrepaired(self) -> int:
        return self.damaged - self.repaired

    @property
    def well(self) -> bool:
        """Everything that was looked at is, or is again, as it should be."""
        return not (self.unrepaired or self.unreachable)

    def plus(self, finding: Finding, size_bytes: int) -> Tally:
        damaged = finding.health in DAMAGED
        return Tally(
            self.objects,
            self.parts + 1,
            self.size_bytes + size_bytes,
            self.damaged + damaged,
            self.repaired + (damaged and finding.repaired),
            self.unreachable + (finding.health in (Health.UNREACHABLE, Health.UNPROVEN)),
        )

    def with_object(self) -> Tally:
        return Tally(self.objects + 1, self.parts, self.size_bytes, self.damaged, self.repaired, self.unreachable)


@dataclass(frozen=True, slots=True)
class ScrubOrder:
    """What an operator wants checked.

    bucket: "" is everything the provider holds in the role that is asked; object_name: "" is the whole bucket
    repair: make damaged parts again; everywhere: of one object, at its primary: its secondaries' pieces too
    resume: go on where an interrupted run of the same scope stopped
    recover: bring back first what the chain has here and the database does not know
    """

    bucket: str = ""
    object_name: str = ""
    repair: bool = False
    everywhere: bool = False
    resume: bool = False
    recover: bool = False


def health_of(error: SpError) -> Health:
    """What an error on reading one part says of it."""
    if isinstance(error, PieceNotFound):
        return Health.MISSING
    if isinstance(error, PieceCorrupt | ShortPiece | WrongPieceSize):
        return Health.CORRUPT
    if isinstance(error, StoreFailed):
        return Health.UNREADABLE
    return Health.MISSING if error.kind is Kind.NOT_FOUND else Health.UNREACHABLE
