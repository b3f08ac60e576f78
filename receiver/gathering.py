"""Fetching the pieces of one segment from those who hold its columns, until some k of them give what is wanted.

What they send is hostile until what is made of it has a checksum that was recorded here. One lying holder is found by
trying other sets of k columns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from signer.client import Signer
from sp.domain.approvals import ObjectRef, PieceRequest
from sp.domain.errors import DeadlineExceeded, SpError, TooFewPieces, UnknownProvider, WrongPieceSize
from sp.domain.ids import PRIMARY, Checksum, RedundancyIndex, SegmentIndex, Signature
from sp.domain.ledger import StorageProvider
from sp.domain.segments import piece_size, segment_size
from sp.runtime.clock import Clock
from sp.runtime.pool import CpuPool

if TYPE_CHECKING:
    from receiver.client import Receivers

Pieces = dict[RedundancyIndex, bytes]
Holders = Mapping[RedundancyIndex, StorageProvider]

Made = Callable[[Pieces], bytes | None]
"""What is wanted, out of exactly k columns; None when it has not the recorded checksum. Runs in the CPU pool."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One segment of one content, as arithmetic on its object."""

    ref: ObjectRef
    segment: SegmentIndex

    @property
    def segment_bytes(self) -> int:
        return segment_size(self.ref.payload_size, self.ref.params.max_segment_size, self.segment)

    @property
    def piece_bytes(self) -> int:
        return piece_size(self.segment_bytes, self.ref.params.data_chunks)

    def bytes_of(self, column: RedundancyIndex) -> int:
        return self.segment_bytes if column == PRIMARY else self.piece_bytes


@dataclass(frozen=True, slots=True)
class Gatherer:
    """piece_timeout_s: for another provider to give one piece"""

    signer: Signer
    receivers: Receivers
    pool: CpuPool
    clock: Clock
    piece_timeout_s: float

    async def gather(self, wanted: Wanted, holders: Holders, made: Made) -> bytes:
        """Fetch k columns, then one more for each that fails, until some k of them give what is wanted. TooFewPieces,
        which names each holder that failed and why."""
        needed = wanted.ref.params.data_chunks
        pieces: Pieces = {}
        reasons: list[str] = []
        waiting = sorted(holders)
        while True:
            missing = max(1, needed - len(pieces))
            batch, waiting = waiting[:missing], waiting[missing:]
            if not batch:
                name, reason = wanted.ref.object_name, "; ".join(reasons)[:1000]
                raise TooFewPieces(name, wanted.segment, len(pieces), needed, reason)
            fetched = await asyncio.gather(*(self.fetch(wanted, column, holders[column]) for column in batch))
            for column, piece in zip(batch, fetched, strict=True):
                if isinstance(piece, bytes):
                    pieces[column] = piece
                else:
                    reasons.append(f"column {column} at {holders[column].moniker}: {piece}")
            result = await self.pool.run(_first_made, pieces, set(batch), needed, made)
            if result is not None:
                return result
            if len(pieces) >= needed:
                reasons.append(f"columns {sorted(pieces)} do not decode to the recorded checksum")

    async def fetch(self, wanted: Wanted, column: RedundancyIndex, holder: StorageProvider) -> bytes | SpError:
        """One column's piece (PRIMARY: the segment), of the right size at least; or why it could not be had."""
        try:
            async with asyncio.timeout(self.piece_timeout_s):
                return await self._ask(wanted, column, holder)
        except TimeoutError:
            return DeadlineExceeded("a piece", int(self.piece_timeout_s * 1000))
        except SpError as error:
            return error

    async def checksums(
        self, wanted: Wanted, column: RedundancyIndex, holder: StorageProvider
    ) -> tuple[Checksum, ...] | SpError:
        """What a holder says that the checksums of its column (PRIMARY: of the segments) are; or why it does not."""
        try:
            request, signature = await self._request(wanted, column, holder)
            return await self.receivers.get_checksums(
                holder.receiver_endpoint, request, signature, self.piece_timeout_s
            )
        except SpError as error:
            return error

    async def _ask(self, wanted: Wanted, column: RedundancyIndex, holder: StorageProvider) -> bytes:
        request, signature = await self._request(wanted, column, holder)
        size = wanted.bytes_of(column)
        piece = bytearray()
        async for chunk in self.receivers.get_piece(holder.receiver_endpoint, request, signature, self.piece_timeout_s):
            piece += chunk
            if len(piece) > size:
                break
        if len(piece) != size:
            raise WrongPieceSize(column, size, len(piece))
        return bytes(piece)

    async def _request(
        self, wanted: Wanted, column: RedundancyIndex, holder: StorageProvider
    ) -> tuple[PieceRequest, Signature]:
        if not holder.serving:
            raise UnknownProvider(holder.operator)
        me = (await self.signer.keys()).operator
        now_s = self.clock.now_ms() // 1000
        ref = wanted.ref
        request = PieceRequest(ref.object_id, ref.version, wanted.segment, column, me, holder.operator, now_s)
        return request, await self.signer.sign(request)


def column_sets(pieces: Mapping[RedundancyIndex, bytes], newest: set[RedundancyIndex], k: int) -> Iterator[Pieces]:
    """Every set of k of the columns that has one of the newest in it; those with most data columns first."""
    for chosen in combinations(sorted(pieces), k):
        if newest.intersection(chosen):
            yield {column: pieces[column] for column in chosen}


def _first_made(pieces: Pieces, newest: set[RedundancyIndex], k: int, made: Made) -> bytes | None:
    """By the first set of k columns that gives it; sets without a column of the newest batch were tried before."""
    for chosen in column_sets(pieces, newest, k):
        result = made(chosen)
        if result is not None:
            return result
    return None
