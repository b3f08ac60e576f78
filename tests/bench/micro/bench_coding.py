"""Erasure coding 4+2 and hashing of segments of 16 MiB."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from sp.crypto.ec import kernel
from sp.crypto.hashing import keccak256, sha256
from sp.domain.erasure import coding_matrix, encode_segment, rebuild_segment, split
from sp.domain.ids import RedundancyIndex
from tasknode.memory import SegmentMemory
from tests.bench.compare.singles import bare_isal

SEGMENT = os.urandom(16 << 20)
SMALL = os.urandom(4096)


@pytest.mark.benchmark(group="encode 16 MiB, 4+2")
@pytest.mark.parametrize("name", ["isal", "numpy"])
def test_encode(benchmark: BenchmarkFixture, name: str) -> None:
    """As the task node does it, in memory that is used again."""
    chosen, rows, size = kernel(name), coding_matrix(4, 2)[4:], len(SEGMENT) // 4
    region = SegmentMemory().take(4 * size, 2 * size)
    region.segment[:] = SEGMENT
    parity = benchmark(lambda: chosen.combine(rows, split(region.segment, 4), size, split(region.parity, 2)))
    assert len(parity) == 2


@pytest.mark.benchmark(group="encode 16 MiB, 4+2")
def test_encode_into_new_memory(benchmark: BenchmarkFixture) -> None:
    pieces = benchmark(lambda: encode_segment(SEGMENT, 4, 2, kernel("isal")))
    assert len(pieces) == 6


@pytest.mark.benchmark(group="encode 16 MiB, 4+2")
def test_encode_by_the_bare_call(benchmark: BenchmarkFixture) -> None:
    assert benchmark(bare_isal(SEGMENT)) == 2


@pytest.mark.benchmark(group="rebuild 16 MiB, two data pieces lost")
@pytest.mark.parametrize("name", ["isal", "numpy"])
def test_rebuild(benchmark: BenchmarkFixture, name: str) -> None:
    chosen = kernel(name)
    pieces = encode_segment(SEGMENT, 4, 2, kernel("isal"))
    left = {RedundancyIndex(column): pieces[column] for column in (1, 3, 4, 5)}
    assert benchmark(lambda: rebuild_segment(left, len(SEGMENT), 4, 2, chosen)) == SEGMENT


HASHES: dict[str, Callable[[bytes], object]] = {
    "sha256": sha256,
    "md5": lambda payload: hashlib.md5(payload).digest(),
    "crc32": zlib.crc32,
}


@pytest.mark.benchmark(group="hash 16 MiB")
@pytest.mark.parametrize("name", HASHES)
def test_hash(benchmark: BenchmarkFixture, name: str) -> None:
    benchmark(HASHES[name], SEGMENT)


@pytest.mark.benchmark(group="hash 4 KiB")
@pytest.mark.parametrize("hashing", [sha256, keccak256], ids=lambda each: each.__name__)
def test_hash_of_a_small_object(benchmark: BenchmarkFixture, hashing: Callable[[bytes], bytes]) -> None:
    assert len(benchmark(hashing, SMALL)) == 32
