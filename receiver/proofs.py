"""Making segments and pieces again when nothing here says any more what they must be: the chain does.

Of each column of a sealed object the chain has the integrity hash. So a holder's list of the checksums of its pieces is
true if that hash comes out of it, whoever sent it; and then each of its pieces can be checked by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from receiver.gathering import Gatherer, Holders, Pieces, Wanted
from sp.crypto.ec import Kernel
from sp.domain.approvals import ObjectRef
from sp.domain.contents import Content
from sp.domain.erasure import encode_segment, rebuild_pieces, rebuild_segment
from sp.domain.errors import SpError, TooFewPieces
from sp.domain.ids import PRIMARY, Address, Checksum, RedundancyIndex, SegmentIndex
from sp.domain.integrity import expected_for, integrity_hash, piece_checksum
from sp.domain.ledger import StorageProvider
from sp.domain.segments import segment_count


@dataclass(frozen=True, slots=True)
class ProvenColumns:
    """Those columns of one content (PRIMARY: its segments) whose checksums are proved, and who holds them.

    reasons: why others are not among them, in words
    """

    ref: ObjectRef
    checksums: Mapping[RedundancyIndex, tuple[Checksum, ...]]
    holders: Holders
    reasons: str


@dataclass(frozen=True, slots=True)
class Prover:
    """Asks the holders of an object for their checksums, and makes its parts again out of what they prove."""

    gatherer: Gatherer
    kernel: Kernel

    async def prove(
        self, ref: ObjectRef, content: Content, providers: Mapping[Address, StorageProvider], *columns: RedundancyIndex,
        primary: Address,
    ) -> ProvenColumns:  # fmt: skip
        """What the holders of these columns can prove. Never raises for what one of them does."""
        named = {c: primary if c == PRIMARY else content.secondaries[c] for c in columns}
        holders = {column: providers[who] for column, who in named.items() if who in providers}
        asked = sorted(holders)
        answers = await asyncio.gather(
            *(self.gatherer.checksums(Wanted(ref, SegmentIndex(0)), c, holders[c]) for c in asked)
        )
        proved: dict[RedundancyIndex, tuple[Checksum, ...]] = {}
        reasons = []
        for column, answer in zip(asked, answers, strict=True):
            wrong = _objection(ref, content, column, answer)
            if wrong:
                reasons.append(f"column {column} at {holders[column].moniker}: {wrong}")
            elif not isinstance(answer, SpError):
                proved[column] = answer
        return ProvenColumns(ref, proved, {c: holders[c] for c in proved}, "; ".join(reasons)[:1000])

    async def segment(self, proven: ProvenColumns, index: SegmentIndex) -> bytes:
        """One segment out of k proven columns. TooFewPieces."""
        return await self._gathered(proven, index, partial(self._segment_of, proven, index))

    async def piece(self, proven: ProvenColumns, column: RedundancyIndex, index: SegmentIndex) -> bytes:
        """One piece out of k proven siblings, else out of the primary's proven segment. TooFewPieces."""
        try:
            return await self._gathered(proven, index, partial(self._piece_of, proven, column, index))
        except TooFewPieces as error:
            segment = await self._primary_segment(proven, index)
            if isinstance(segment, str):
                raise TooFewPieces(
                    error.object_name,
                    error.segment_index,
                    error.have,
                    error.need,
                    f"{error.reasons}; primary: {segment}",
                ) from error
        params = proven.ref.params
        pieces = await self.gatherer.pool.run(
            encode_segment, segment, params.data_chunks, params.parity_chunks, self.kernel
        )
        return bytes(pieces[column])

    async def _gathered(self, proven: ProvenColumns, index: SegmentIndex, made: partial[bytes | None]) -> bytes:
        secondaries = {column: holder for column, holder in proven.holders.items() if column != PRIMARY}
        try:
            return await self.gatherer.gather(Wanted(proven.ref, index), secondaries, made)
        except TooFewPieces as error:
            reasons = "; ".join(filter(None, (error.reasons, proven.reasons)))[:1500]
            raise TooFewPieces(error.object_name, error.segment_index, error.have, error.need, reasons) from error

    async def _primary_segment(self, proven: ProvenColumns, index: SegmentIndex) -> bytes | str:
        """Or why it cannot be had."""
        if PRIMARY not in proven.holders:
            return "its checksums are not proved"
        segment = await self.gatherer.fetch(Wanted(proven.ref, index), PRIMARY, proven.holders[PRIMARY])
        if isinstance(segment, SpError):
            return str(segment)
        return segment if piece_checksum(segment) == proven.checksums[PRIMARY][index] else "not what it has proved"

    def _segment_of(self, proven: ProvenColumns, index: SegmentIndex, pieces: Pieces) -> bytes | None:
        """Blocks."""
        if not _true(proven, index, pieces):
            return None
        params, size = proven.ref.params, Wanted(proven.ref, index).segment_bytes
        return rebuild_segment(pieces, size, params.data_chunks, params.parity_chunks, self.kernel)

    def _piece_of(
        self, proven: ProvenColumns, column: RedundancyIndex, index: SegmentIndex, pieces: Pieces
    ) -> bytes | None:
        """Blocks."""
        if not _true(proven, index, pieces):
            return None
        params, size = proven.ref.params, Wanted(proven.ref, index).segment_bytes
        made = rebuild_pieces(pieces, [column], size, params.data_chunks, params.parity_chunks, self.kernel)
        return bytes(made[column])


def _true(proven: ProvenColumns, index: SegmentIndex, pieces: Pieces) -> bool:
    return all(piece_checksum(piece) == proven.checksums[column][index] for column, piece in pieces.items())


def _objection(
    ref: ObjectRef, content: Content, column: RedundancyIndex, answer: tuple[Checksum, ...] | SpError
) -> str:
    if isinstance(answer, SpError):
        return str(answer)
    if len(answer) != segment_count(ref.payload_size, ref.params.max_segment_size):
        return "not one checksum for each segment"
    if integrity_hash(answer) != expected_for(content.checksums, column):
        return "its checksums are not those of the seal"
    return ""
