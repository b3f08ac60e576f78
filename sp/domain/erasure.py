"""The network's erasure code: k data pieces and m parity pieces per segment, any k of which give the segment back.

    segment of n bytes, zero-padded to k * per, per = ceil(n / k)
    +---------+---------+---------+-----+---+
    | piece 0 | piece 1 | piece 2 | ... | 0 |   k contiguous data pieces of `per` bytes, no interleaving
    +---------+---------+---------+-----+---+
    piece k + r = sum over j of matrix[k + r][j] * piece j, byte by byte, in GF(2^8)/0x11d

The matrix is klauspost/reedsolomon's default, as greenfield-common go/redundancy/erasure/erasure_coding.go uses it;
vectors: tests/vectors/vectors.json.
Nothing here notices a wrong byte: check every piece against its recorded checksum before decoding.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

from sp.crypto.buffers import Buffer
from sp.crypto.ec import Kernel, field
from sp.domain.errors import WrongPieceSize
from sp.domain.ids import RedundancyIndex
from sp.domain.segments import piece_size


@lru_cache(maxsize=64)
def coding_matrix(data_chunks: int, parity_chunks: int) -> field.Matrix:
    """k + m rows of k coefficients; the first k are the identity.

    The Vandermonde matrix V[r][c] = r^c times the inverse of its own top k rows. k from 1, k + m up to 256.
    """
    assert data_chunks >= 1
    assert parity_chunks >= 0
    assert data_chunks + parity_chunks <= field.ORDER
    rows = range(data_chunks + parity_chunks)
    vandermonde = [tuple(field.power(row, column) for column in range(data_chunks)) for row in rows]
    return field.product(vandermonde, field.inverted(vandermonde[:data_chunks]))


def decode_rows(data_chunks: int, parity_chunks: int, present: Sequence[int], wanted: Sequence[int]) -> field.Matrix:
    """For each wanted piece, data or parity, the coefficients that make it out of the k present ones."""
    return _decode_rows(data_chunks, parity_chunks, tuple(present), tuple(wanted))


@lru_cache(maxsize=1024)
def _decode_rows(data_chunks: int, parity_chunks: int, present: field.Row, wanted: field.Row) -> field.Matrix:
    assert len(set(present)) == len(present) == data_chunks
    matrix = coding_matrix(data_chunks, parity_chunks)
    assert all(0 <= column < len(matrix) for column in (*present, *wanted))
    data_from_present = field.inverted([matrix[column] for column in present])
    return field.product([matrix[column] for column in wanted], data_from_present)


def split(segment: Buffer, data_chunks: int) -> list[memoryview]:
    """The k data pieces: views of the segment, but for those that need padding, which are copies.

    The views keep the segment alive, and change with it: do not reuse its buffer before they are done with.
    """
    view = memoryview(segment).cast("B")
    per = piece_size(view.nbytes, data_chunks)
    return [_padded(view[column * per : (column + 1) * per], per) for column in range(data_chunks)]


def _padded(part: memoryview, size: int) -> memoryview:
    return part if part.nbytes == size else memoryview(bytes(part).ljust(size, b"\0"))


def encode_segment(segment: Buffer, data_chunks: int, parity_chunks: int, kernel: Kernel) -> list[Buffer]:
    """The k + m pieces of one segment in column order: data pieces as `split` gives them, then new parity pieces."""
    pieces = split(segment, data_chunks)
    parity_rows = coding_matrix(data_chunks, parity_chunks)[data_chunks:]
    return [*pieces, *kernel.combine(parity_rows, pieces, pieces[0].nbytes)]


def rebuild_segment(
    pieces: Mapping[RedundancyIndex, Buffer], segment_bytes: int, data_chunks: int, parity_chunks: int, kernel: Kernel
) -> bytes:
    """The segment, without its padding. `pieces`, `segment_bytes` and the errors are those of `rebuild_pieces`."""
    per = piece_size(segment_bytes, data_chunks)
    columns = [RedundancyIndex(column) for column in range(data_chunks) if column * per < segment_bytes]
    data = rebuild_pieces(pieces, columns, segment_bytes, data_chunks, parity_chunks, kernel)
    return b"".join(memoryview(data[column])[: segment_bytes - column * per] for column in columns)


def rebuild_pieces(
    pieces: Mapping[RedundancyIndex, Buffer],
    wanted: Collection[RedundancyIndex],
    segment_bytes: int,
    data_chunks: int,
    parity_chunks: int,
    kernel: Kernel,
    into: Sequence[memoryview] = (),
) -> dict[RedundancyIndex, Buffer]:
    """The wanted pieces of a segment, data or parity: those at hand as they are, the others made out of k pieces.

    pieces: when one must be made, at least k, of which the lowest k are used. The caller counts them first, and raises
            TooFewPieces with what it knows.
    into: memory for the first pieces that are made, as Kernel.combine takes it
    segment_bytes: the segment's true length. Raises WrongPieceSize when a piece is not as long as that implies.
    """
    size = piece_size(segment_bytes, data_chunks)
    _check_sizes(pieces, size)
    found = {column: pieces[column] for column in wanted if column in pieces}
    missing = list(dict.fromkeys(column for column in wanted if column not in pieces))
    if missing:
        sources = sorted(pieces)[:data_chunks]
        rows = decode_rows(data_chunks, parity_chunks, sources, missing)
        made = kernel.combine(rows, [pieces[column] for column in sources], size, into)
        found.update(zip(missing, made, strict=True))
    return found


def _check_sizes(pieces: Mapping[RedundancyIndex, Buffer], size: int) -> None:
    for column, piece in pieces.items():
        actual = memoryview(piece).nbytes
        if actual != size:
            raise WrongPieceSize(column, expected_bytes=size, actual_bytes=actual)
