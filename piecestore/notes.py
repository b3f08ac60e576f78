"""What the blocks of a piece were when its sha256 was known, so that reading it again need not hash all of it again.

Whoever hashes a piece, on its way into the store or out of it, notes a CRC-64 of each block in the same pass. A block
that has its noted CRC later is the one that was hashed: the checksum holds for it as if it had been computed anew.
A CRC stands against chance, not malice; see docs/decisions/0006.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, TypeAlias

from piecestore.store import Buffer
from sp.crypto.checksums import crc64
from sp.domain.errors import PieceCorrupt
from sp.domain.ids import Checksum
from sp.domain.pieces import PieceKey

BLOCK_BYTES: Final = 1 << 20

NOTED_PIECES: Final = 4096
"""Of which the blocks' CRCs are remembered, the last used ones: about 250 bytes each, for 64 GiB of full segments."""

Crcs: TypeAlias = "array[int]"
"""Of blocks of BLOCK_BYTES in order; the last block may be shorter."""


def no_crcs() -> Crcs:
    return array("Q")


class BlockNotes:
    """Of one process, for one event loop. By key and content: what was noted of one content says nothing of another
    under the same key."""

    def __init__(self) -> None:
        self._noted: OrderedDict[tuple[PieceKey, Checksum], Crcs] = OrderedDict()

    def note(self, key: PieceKey, checksum: Checksum, crcs: Crcs) -> None:
        """crcs: computed of the same bytes in memory as `checksum` was. A piece of one block is not worth it."""
        if len(crcs) > 1:
            self._noted[key, checksum] = crcs
            self._noted.move_to_end((key, checksum))
            if len(self._noted) > NOTED_PIECES:
                self._noted.popitem(last=False)

    def of(self, key: PieceKey, checksum: Checksum) -> Crcs | None:
        crcs = self._noted.get((key, checksum))
        if crcs is not None:
            self._noted.move_to_end((key, checksum))
        return crcs


@dataclass(frozen=True, slots=True)
class Unchanged:
    """PieceCorrupt unless a block is as it was when it was noted. Runs in the thread that has read it."""

    key: PieceKey
    crc: int

    def __call__(self, block: Buffer) -> None:
        crc = crc64(block)
        if crc != self.crc:
            raise PieceCorrupt(str(self.key), f"crc64 {self.crc:016x}", f"crc64 {crc:016x} when read again")
