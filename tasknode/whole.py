"""A column that is one small piece: it travels whole, in a call of its own or with others of the same secondary."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from receiver.client import SMALL_PIECE_BYTES, Receipt
from sp.domain.ids import Checksum, SegmentIndex
from sp.domain.jobs import Job
from sp.domain.segments import piece_size
from tasknode.columns import Buffer


def travels_whole(job: Job) -> bool:
    """Whether the columns of this object need no streams."""
    assert job.payload_size is not None
    return job.segments == 1 and piece_size(job.payload_size, job.params.data_chunks) <= SMALL_PIECE_BYTES


@dataclass(slots=True)
class WholePiece:
    """A GroupSender whose one piece goes with the offer: so its segment keeps its part of the memory budget until the
    receipt is there.

    place: offers the group with its piece; its receipt
    """

    place: Callable[[Buffer], Awaitable[Receipt]]
    held: dict[SegmentIndex, Checksum] = field(default_factory=dict)
    _receipt: Receipt | None = None

    async def send_piece(self, segment: SegmentIndex, piece: Buffer) -> None:
        assert segment == 0
        self._receipt = await self.place(piece)

    async def finish(self) -> Receipt:
        assert self._receipt is not None
        return self._receipt
