"""Checksums and integrity hashes, and how an object's seven come about.

piece checksum   sha256 of one segment, or of one erasure-coded piece with its padding
integrity hash   sha256 over the 32-byte checksums of one column, joined in segment order; a flat hash, no tree
object checksums [primary, column 0, ..., column k+m-1]: the integrity hashes as they stand on chain

Source: greenfield-common go/hash/hash.go; vectors: tests/vectors/vectors.json.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sp.crypto.buffers import Buffer
from sp.crypto.ec import Kernel
from sp.crypto.hashing import sha256
from sp.domain.erasure import encode_segment
from sp.domain.errors import InvalidRequest
from sp.domain.ids import PRIMARY, Checksum, RedundancyIndex


def piece_checksum(piece: Buffer) -> Checksum:
    return Checksum(sha256(piece))


def integrity_hash(piece_checksums: Iterable[Checksum]) -> Checksum:
    """Of one column. No checksums (an empty object) give sha256 of nothing."""
    return Checksum(sha256(b"".join(piece_checksums)))


def object_checksums(primary: Iterable[Checksum], columns: Iterable[Iterable[Checksum]]) -> tuple[Checksum, ...]:
    """primary: the segments' checksums; columns: those of the pieces, one list a column, all in segment order."""
    return integrity_hash(primary), *(integrity_hash(column) for column in columns)


def expected_for(checksums: Sequence[Checksum], redundancy_index: RedundancyIndex) -> Checksum:
    """The integrity hash that an object's checksums have for a column, or for PRIMARY; InvalidRequest for no column."""
    place = redundancy_index - PRIMARY
    if not 0 <= place < len(checksums):
        raise InvalidRequest(f"no checksum for redundancy index {redundancy_index} among {len(checksums)}")
    return checksums[place]


class ObjectHasher:
    """All checksums of one object, from its segments one by one. Holds 32 bytes per piece, never a payload.

    `add` works for about 25 ms on a 16 MiB segment: keep it off the event loop. Not for two threads at once.
    """

    def __init__(self, data_chunks: int, parity_chunks: int, kernel: Kernel) -> None:
        self._data_chunks = data_chunks
        self._parity_chunks = parity_chunks
        self._kernel = kernel
        self._primary: list[Checksum] = []
        self._columns: list[list[Checksum]] = [[] for _ in range(data_chunks + parity_chunks)]

    def add(self, segment: Buffer, checksum: Checksum | None = None) -> list[Buffer]:
        """Take the next segment, in order. Returns its k + m pieces, for whoever sends them on.

        checksum: the segment's, from a caller who has just computed it; saves hashing it again.
        """
        pieces = encode_segment(segment, self._data_chunks, self._parity_chunks, self._kernel)
        self._primary.append(piece_checksum(segment) if checksum is None else checksum)
        for column, piece in zip(self._columns, pieces, strict=True):
            column.append(piece_checksum(piece))
        return pieces

    def piece_checksums(self, redundancy_index: RedundancyIndex) -> tuple[Checksum, ...]:
        """Of one column, or of the segments for PRIMARY, in segment order."""
        return tuple(self._primary if redundancy_index == PRIMARY else self._columns[redundancy_index])

    def checksums(self) -> tuple[Checksum, ...]:
        """The object's checksums over the segments so far: k + m + 1 integrity hashes, the primary's first."""
        return object_checksums(self._primary, self._columns)
