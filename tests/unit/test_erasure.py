from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import pytest
import reedsolo
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sp.crypto.buffers import Buffer
from sp.crypto.ec import Kernel, kernel
from sp.domain.erasure import (
    coding_matrix,
    decode_rows,
    encode_segment,
    rebuild_pieces,
    rebuild_segment,
    split,
)
from sp.domain.errors import WrongPieceSize
from sp.domain.ids import RedundancyIndex
from sp.domain.segments import piece_size
from tests.unit import oracle
from tests.vectors import load

KERNELS = ("isal", "numpy")
K, M = 4, 2
PAIRS_LOST = list(combinations(range(K + M), 2))


@pytest.fixture(params=KERNELS)
def ec(request: pytest.FixtureRequest) -> Kernel:
    return kernel(request.param)


def without(pieces: list[Buffer], lost: tuple[int, ...]) -> dict[RedundancyIndex, Buffer]:
    return {RedundancyIndex(column): piece for column, piece in enumerate(pieces) if column not in lost}


def as_bytes(pieces: Mapping[RedundancyIndex, Buffer]) -> dict[int, bytes]:
    return {int(column): bytes(piece) for column, piece in pieces.items()}


def test_the_parity_rows_of_4_plus_2_are_the_networks() -> None:
    matrix = load("vectors.json")["matrix"]
    assert [list(row) for row in coding_matrix(matrix["data"], matrix["parity"])[matrix["data"] :]] == matrix[
        "parity_rows"
    ]


@pytest.mark.parametrize(("k", "m"), [(1, 0), (1, 3), (2, 2), (4, 2), (6, 3), (10, 6), (17, 3)])
def test_the_matrix_is_the_vandermonde_one_with_its_top_divided_out(k: int, m: int) -> None:
    reedsolo.init_tables(prim=0x11D, generator=2, c_exp=8)
    matrix = coding_matrix(k, m)
    vandermonde = [[1 if c == 0 else (reedsolo.gf_pow(r, c) if r else 0) for c in range(k)] for r in range(k + m)]
    for row, expected in zip(matrix, vandermonde, strict=True):
        again = [0] * k
        for coefficient, top in zip(row, vandermonde[:k], strict=True):
            for column in range(k):
                again[column] ^= reedsolo.gf_mul(coefficient, top[column])
        assert again == expected
    assert [list(row) for row in matrix[:k]] == [[int(r == c) for c in range(k)] for r in range(k)]


@pytest.mark.parametrize(
    "tiny", load("vectors.json")["tiny_pieces"], ids=lambda tiny: f"{len(tiny['segment_hex']) // 2}B"
)
def test_a_tiny_segment_gives_the_networks_pieces(ec: Kernel, tiny: dict[str, Any]) -> None:
    segment = bytes.fromhex(tiny["segment_hex"])
    pieces = encode_segment(segment, K, M, ec)
    assert [bytes(piece).hex() for piece in pieces] == tiny["shards_hex"]
    for lost in PAIRS_LOST:
        assert rebuild_segment(without(pieces, lost), len(segment), K, M, ec) == segment


@pytest.mark.parametrize("lost", PAIRS_LOST, ids=str)
@pytest.mark.parametrize("size", [4096, 10_007, 3])
def test_any_two_lost_pieces_are_rebuilt_and_the_segment_with_them(
    ec: Kernel, lost: tuple[int, int], size: int
) -> None:
    segment = random.Random(size).randbytes(size)
    pieces = encode_segment(segment, K, M, ec)
    left = without(pieces, lost)
    assert rebuild_segment(left, size, K, M, ec) == segment
    wanted = [RedundancyIndex(column) for column in range(K + M)]
    assert as_bytes(rebuild_pieces(left, wanted, size, K, M, ec)) == as_bytes(without(pieces, ()))


@st.composite
def losses(draw: st.DrawFn) -> tuple[int, int, bytes, tuple[int, ...]]:
    """k, m, a segment, and up to m lost columns."""
    k, m = draw(st.integers(1, 10)), draw(st.integers(0, 6))
    segment = random.Random(draw(st.integers(0, 2**32))).randbytes(draw(st.integers(0, 400)))
    lost = draw(st.lists(st.integers(0, k + m - 1), max_size=m, unique=True))
    return k, m, segment, tuple(lost)


@pytest.mark.parametrize("name", KERNELS)
def test_any_code_up_to_10_plus_6_agrees_with_the_oracle_and_survives_m_losses(name: str) -> None:
    @settings(max_examples=100)
    @given(losses())
    def survives(case: tuple[int, int, bytes, tuple[int, ...]]) -> None:
        k, m, segment, lost = case
        pieces = encode_segment(segment, k, m, kernel(name))
        size = piece_size(len(segment), k)
        assert b"".join(pieces[:k]) == segment.ljust(size * k, b"\0")
        assert pieces[k:] == oracle.combine(coding_matrix(k, m)[k:], pieces[:k], size)
        left = without(pieces, lost)
        assert rebuild_segment(left, len(segment), k, m, kernel(name)) == segment
        wanted = [RedundancyIndex(column) for column in lost]
        assert as_bytes(rebuild_pieces(left, wanted, len(segment), k, m, kernel(name))) == {
            column: bytes(pieces[column]) for column in lost
        }

    survives()


@settings(max_examples=30)
@given(st.integers(1, 8), st.integers(1, 4), st.randoms(use_true_random=False))
def test_decode_rows_express_a_present_piece_by_itself(k: int, m: int, chance: random.Random) -> None:
    present = chance.sample(range(k + m), k)
    rows = decode_rows(k, m, present, present)
    assert [list(row) for row in rows] == [[int(r == c) for c in range(k)] for r in range(k)]
    assert decode_rows(k, m, range(k), range(k + m)) == coding_matrix(k, m)


@given(st.integers(1, 8), st.integers(2, 4))
def test_fewer_than_k_pieces_are_never_decoded(k: int, m: int) -> None:
    pieces = encode_segment(bytes(range(40)), k, m, kernel("isal"))
    few = {RedundancyIndex(column): pieces[column] for column in range(m, k + m - 1)}
    assume(any(column not in few for column in range(k)))
    with pytest.raises(AssertionError):
        rebuild_segment(few, 40, k, m, kernel("isal"))


def test_a_piece_of_another_length_is_refused_before_it_is_used(ec: Kernel) -> None:
    pieces = without(encode_segment(bytes(100), K, M, ec), (1,))
    for wrong in (b"", bytes(24), bytes(26)):
        with pytest.raises(WrongPieceSize) as refusal:
            rebuild_segment({**pieces, RedundancyIndex(4): wrong}, 100, K, M, ec)
        assert refusal.value.facts == {"redundancy_index": 4, "expected_bytes": 25, "actual_bytes": len(wrong)}


def test_a_segment_whose_data_pieces_are_all_there_is_only_joined() -> None:
    class NoKernel:
        name = "none"

        def combine(self, *_: object) -> list[Buffer]:
            pytest.fail("there was nothing to compute")

    segment = bytes(range(250))
    pieces = dict(enumerate(split(segment, K)))
    assert rebuild_segment({RedundancyIndex(c): p for c, p in pieces.items()}, 250, K, M, NoKernel()) == segment


def test_an_all_zero_data_piece_beyond_the_end_need_not_be_there(ec: Kernel) -> None:
    pieces = encode_segment(b"x", K, M, ec)
    assert rebuild_segment({RedundancyIndex(0): pieces[0]}, 1, K, M, ec) == b"x"


def test_split_copies_only_what_it_must_pad() -> None:
    segment = bytearray(b"0123456789")  # pieces of 3: 012 345 678 9
    pieces = split(segment, 4)
    assert [bytes(piece) for piece in pieces] == [b"012", b"345", b"678", b"9\0\0"]
    segment[:] = b"abcdefghij"
    assert [bytes(piece) for piece in pieces] == [b"abc", b"def", b"ghi", b"9\0\0"]
    with pytest.raises(BufferError):
        segment.append(0)


def test_a_segment_may_be_a_slice_of_something_larger(ec: Kernel) -> None:
    around = random.Random(1).randbytes(1003)
    inside = memoryview(around)[3:1000]
    whole = [bytes(piece) for piece in encode_segment(around[3:1000], K, M, ec)]
    assert [bytes(piece) for piece in encode_segment(inside, K, M, ec)] == whole
