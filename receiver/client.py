"""Another provider's Receiver, as the task node and the downloader call it across the network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from sp.domain.approvals import Offer, PieceRequest
from sp.domain.ids import Checksum, SegmentIndex, Signature

CHUNK_BYTES = 1024 * 1024
"""Largest chunk of payload in one message."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a secondary says it holds, signed. Not yet verified: that is the caller's duty."""

    integrity_hash: Checksum
    signature: Signature


class GroupSender(Protocol):
    """One replicate data group on its way to one secondary: an open Replicate stream.

    Every method raises SecondaryFailed-worthy errors as they are (SignatureError, ServiceUnavailable, ...).
    """

    @property
    def held(self) -> dict[SegmentIndex, Checksum]:
        """Pieces the secondary already has, with the checksums it claims: those that match need not be sent again."""

    async def send_piece(self, segment: SegmentIndex, piece: bytes | bytearray | memoryview) -> None:
        """Stream one piece, in ascending order of segments. Waits while the secondary is slow (flow control)."""

    async def finish(self) -> Receipt:
        """Say that all pieces are sent; the secondary's receipt."""


class Receivers(Protocol):
    """The Receivers of all other providers, by endpoint. Channels are kept and shared."""

    def replicate(
        self, endpoint: str, offer: Offer, signature: Signature, timeout_s: float
    ) -> AbstractAsyncContextManager[GroupSender]:
        """Open a Replicate stream; entering waits for the answer to the offer. timeout_s bounds the whole stream.
        Leaving without `finish` cancels it."""

    def get_piece(
        self, endpoint: str, request: PieceRequest, signature: Signature, timeout_s: float
    ) -> AsyncIterator[bytes]:
        """The piece's bytes in chunks, unverified: the caller checks them. PieceNotFound, SignatureError, ..."""
