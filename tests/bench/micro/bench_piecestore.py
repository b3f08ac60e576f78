"""Piece stores: memory, disk with O_DIRECT, disk through the page cache. `put` is durable but in memory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from piecestore.disk import open_disk_store
from piecestore.memory import MemoryStore
from piecestore.store import PieceStore
from sp.domain.ids import JobId, SegmentIndex
from sp.domain.pieces import SegmentKey

KIB, MIB = 1 << 10, 1 << 20
SIZES = [4 * KIB, MIB, 16 * MIB]
ROUNDS = {4 * KIB: 300, MIB: 60, 16 * MIB: 20}


@pytest.fixture(params=["memory", "direct", "buffered"])
def store(request: pytest.FixtureRequest, runner: asyncio.Runner, tmp_path: Path) -> Iterator[PieceStore]:
    if request.param == "memory":
        yield MemoryStore()
        return
    with ThreadPoolExecutor(4) as pool:
        opened = open_disk_store(tmp_path, pool, direct_io=request.param == "direct")
        yield runner.run(opened.__aenter__())
        runner.run(opened.__aexit__(None, None, None))


def pedantic(benchmark: BenchmarkFixture, work: Callable[[], Any], rounds: int) -> Any:
    """So many rounds, of one call each, whatever they cost: pytest-benchmark's own choice would fill the disk."""
    return benchmark.pedantic(work, rounds=rounds, warmup_rounds=3)  # type: ignore[no-untyped-call]


def key(number: int) -> SegmentKey:
    return SegmentKey(JobId(number), SegmentIndex(0))


@pytest.mark.benchmark(group="piece put")
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size // KIB}KiB")
def test_put(benchmark: BenchmarkFixture, runner: asyncio.Runner, store: PieceStore, size: int) -> None:
    payload, numbers = os.urandom(size), count(1)

    def put() -> None:
        number = next(numbers)
        runner.run(store.put(key(number), payload))
        if number > 4:
            runner.run(store.delete(key(number - 4)))  # so that memory and disk stay small

    pedantic(benchmark, put, ROUNDS[size])


@pytest.mark.benchmark(group="piece get")
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size // KIB}KiB")
def test_get(benchmark: BenchmarkFixture, runner: asyncio.Runner, store: PieceStore, size: int) -> None:
    runner.run(store.put(key(1), os.urandom(size)))
    got = pedantic(benchmark, lambda: runner.run(store.get(key(1))), ROUNDS[size])
    assert len(got) == size
