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
    """A GroupSender that offers and sends at its end, when there is something to send.

    place: offers the group with its piece; its receipt
    """

    place: Callable[[Buffer], Awaitable[Receipt]]
    held: dict[SegmentIndex, Checksum] = field(default_factory=dict)
    _piece: Buffer = b""

    async def send_piece(self, segment: SegmentIndex, piece: Buffer) -> None:
        assert segment == 0
        self._piece = bytes(piece)  # the segment it lies in is let go of before it is sent

    async def finish(self) -> Receipt:
        return await self.place(self._piece)
