"""What travels on a Replicate stream, in the domain's words: an offer, then pieces with their chunks, then the end."""

from __future__ import annotations

from dataclasses import dataclass

from sp.domain.approvals import Offer
from sp.domain.ids import Checksum, SegmentIndex


@dataclass(frozen=True, slots=True)
class OfferFrame:
    offer: Offer
    signature: bytes


@dataclass(frozen=True, slots=True)
class PieceFrame:
    """The next piece follows in chunks, `size` bytes in all."""

    segment: SegmentIndex
    size: int


@dataclass(frozen=True, slots=True)
class ChunkFrame:
    payload: bytes | memoryview


@dataclass(frozen=True, slots=True)
class EndFrame:
    """Every piece has been sent."""


Frame = OfferFrame | PieceFrame | ChunkFrame | EndFrame


@dataclass(frozen=True, slots=True)
class Held:
    """Pieces that are here already, in ascending order of segments."""

    pieces: dict[SegmentIndex, Checksum]
