"""In which order to add and double whole blocks, so that a matrix over GF(2^8) is multiplied in few passes. Pure.

A row is made by Horner's rule over the bits of its coefficients, the highest first: twice what is there, plus the
sources whose coefficient has the bit. What is needed twice is made once: a sum of sources, the first steps of a row,
and a row of which a later one differs in low bits only. For 4+2's parity, (27, 28, 18, 20) and (28, 27, 20, 18), whose
difference is (7, 7, 6, 6), that leaves 5 doublings and 12 sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

Row = tuple[int, ...]

Subset = int
"""Bit j set: source j is a term of the sum."""


@dataclass(frozen=True, slots=True)
class Step:
    """Twice the value `left`, or (right is not None) left + right. Values have numbers: the sources first, then the
    step's own results in order.

    room: of Schedule.rooms, where the result goes; it may be an operand's. None: it is the row `row` of the outcome
    """

    left: int
    right: int | None
    room: int | None = None
    row: int | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """copies: for each row that no step makes, its number and the value that it equals; None: zeros"""

    steps: tuple[Step, ...]
    rooms: int
    copies: tuple[tuple[int, int | None], ...]


def schedule(rows: Sequence[Row]) -> Schedule:
    """rows: coefficients 0..255, each row one per source."""
    sources = len(rows[0]) if rows else 0
    draft = _Draft(sources)
    made: list[int | None] = []
    for number, row in enumerate(rows):
        # A row by itself, or an earlier one plus the difference, whichever has the fewer doublings.
        choices = [(_bits(row), -1)]
        choices += [(_bits(_difference(row, rows[e])), e) for e in range(number) if made[e] is not None]
        _, earlier = min(choices)
        if earlier < 0:
            made.append(draft.row(row))
        else:
            made.append(draft.sum(made[earlier], draft.row(_difference(row, rows[earlier]))))
    return _placed(draft.steps, made, sources)


def _bits(row: Row) -> int:
    return max(row, default=0).bit_length()


def _difference(row: Row, other: Row) -> Row:
    return tuple(a ^ b for a, b in zip(row, other, strict=True))


@dataclass
class _Draft:
    """Steps without places; the same step is taken only once."""

    sources: int
    steps: list[Step] = field(default_factory=list)
    known: dict[Step, int] = field(default_factory=dict)
    subsets: dict[Subset, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.subsets = {1 << j: j for j in range(self.sources)}

    def row(self, row: Row) -> int | None:
        """None for zeros."""
        total: int | None = None
        for bit in reversed(range(_bits(row))):
            if total is not None:
                total = self._step(Step(total, None))
            wanted = sum((coefficient >> bit & 1) << j for j, coefficient in enumerate(row))
            total = self.sum(total, self._subset(wanted))
        return total

    def sum(self, left: int | None, right: int | None) -> int | None:
        if left is None or right is None:
            return right if left is None else left
        return self._step(Step(min(left, right), max(left, right)))

    def _subset(self, wanted: Subset) -> int | None:
        """Out of the largest part that is there already, and single sources. None for the empty one."""
        if wanted in self.subsets or not wanted:
            return self.subsets.get(wanted)
        have = max((part for part in self.subsets if part & wanted == part), key=int.bit_count)
        total: int | None = self.subsets[have]
        while have != wanted:
            lacking = (wanted ^ have) & -(wanted ^ have)
            total = self.sum(total, self.subsets[lacking])
            have |= lacking
            assert total is not None
            self.subsets[have] = total
        return total

    def _step(self, step: Step) -> int:
        if step not in self.known:
            self.known[step] = self.sources + len(self.steps)
            self.steps.append(step)
        return self.known[step]


def _placed(steps: list[Step], made: list[int | None], sources: int) -> Schedule:
    """Each result has a room from its step to its last use, unless it is a row of the outcome."""
    last_use: dict[int, int] = {}
    for at, step in enumerate(steps):
        last_use[step.left] = at
        if step.right is not None:
            last_use[step.right] = at
    row_of: dict[int, int] = {}
    copies = []
    for row, value in enumerate(made):
        if value is None or value < sources or value in row_of:
            copies.append((row, value))
        else:
            row_of[value] = row
    placed, free, rooms = list[Step](), list[int](), 0
    for at, step in enumerate(steps):
        for operand in {step.left, step.left if step.right is None else step.right}:
            room = placed[operand - sources].room if operand >= sources else None
            if room is not None and last_use[operand] == at:
                free.append(room)
        value = sources + at
        if value in row_of:
            placed.append(Step(step.left, step.right, None, row_of[value]))
            continue
        if not free:
            free.append(rooms)
            rooms += 1
        placed.append(Step(step.left, step.right, free.pop(), None))
    return Schedule(tuple(placed), rooms, tuple(copies))
