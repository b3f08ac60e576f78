"""A proof that a provider has one piece: the piece, the checksums of its column, and their integrity hash.

Source: greenfield-storage-provider's challenge API (GREENFIELD.md 4): piece data, piece hash list, integrity hash.
"""

from __future__ import annotations

from dataclasses import dataclass

from sp.domain.errors import IntegrityMismatch, PieceCorrupt, PieceNotFound
from sp.domain.ids import Checksum, ObjectId, RedundancyIndex, SegmentIndex
from sp.domain.integrity import integrity_hash, piece_checksum


@dataclass(frozen=True, slots=True)
class Challenge:
    """The answer to one challenge.

    redundancy_index: PRIMARY for a whole segment
    checksums: of all pieces of the column (all segments), in segment order; root: their integrity hash
    """

    object_id: ObjectId
    version: int
    redundancy_index: RedundancyIndex
    segment: SegmentIndex
    piece: bytes
    checksums: tuple[Checksum, ...]
    root: Checksum

    def check(self, expected_root: Checksum) -> None:
        """Nothing when it proves possession under the chain's integrity hash; PieceNotFound, PieceCorrupt,
        IntegrityMismatch. Blocks for 0.5 ms a MiB."""
        computed = integrity_hash(self.checksums)
        if computed != expected_root or self.root != expected_root:
            raise IntegrityMismatch(self.redundancy_index, expected_root.hex(), computed.hex())
        name = f"e{self.object_id}_s{self.segment}_p{self.redundancy_index}"
        if self.segment >= len(self.checksums):
            raise PieceNotFound(name)
        actual = piece_checksum(self.piece)
        if actual != self.checksums[self.segment]:
            raise PieceCorrupt(name, self.checksums[self.segment].hex(), actual.hex())
