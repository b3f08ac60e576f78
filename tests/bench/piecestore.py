"""How fast pieces come and go on a disk: `python -m tests.bench.piecestore [directory]` (needs 8 GB there).

Prints the table of piecestore/README.md: the best of three rounds each, since noise only ever slows. All 4,096 shard
directories exist before, as in a store that has been in use. Nothing is deleted before everything is put, because ext4
creates slowly for a minute after many deletes. Reads follow their writes: from the page cache where those were
buffered, else from the disk.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from piecestore.disk import DiskStore, open_disk_store
from piecestore.disk.layout import Layout
from sp.domain.ids import JobId, SegmentIndex
from sp.domain.pieces import SegmentKey

KIB, MIB = 1 << 10, 1 << 20
ROUNDS = 3


@dataclass(frozen=True)
class Case:
    """`count` pieces of `size` bytes, each written in chunks of `chunk` bytes, `at_once` of them at a time."""

    size: int
    chunk: int
    at_once: int
    count: int
    direct_io: bool

    def keys(self, round_: int) -> list[SegmentKey]:
        job = JobId(hash((self.size, self.chunk, self.at_once, self.direct_io)) % 2**60)
        return [SegmentKey(job, SegmentIndex(round_ * self.count + n)) for n in range(self.count)]


CASES = [
    Case(*shape, direct_io=direct_io)
    for shape in (
        (KIB, KIB, 1, 200),
        (KIB, KIB, 16, 800),
        (64 * KIB, 64 * KIB, 4, 200),
        (MIB, MIB, 4, 100),
        (4 * MIB, MIB, 1, 24),
        (4 * MIB, MIB, 6, 48),
        (16 * MIB, MIB, 1, 16),
        (16 * MIB, 64 * KIB, 1, 16),
        (16 * MIB, MIB, 4, 24),
    )
    for direct_io in (True, False)
]


async def _timed(calls: list[Callable[[], Awaitable[object]]], at_once: int) -> tuple[float, float]:
    """(seconds, CPU seconds) for all calls, so many at a time."""
    waiting = iter(calls)

    async def work() -> None:
        for call in waiting:
            await call()

    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work() for _ in range(at_once)))
    return time.perf_counter() - started, time.process_time() - cpu


async def _put(store: DiskStore, key: SegmentKey, payload: memoryview, chunk_bytes: int) -> None:
    async with store.writer(key) as writer:
        for start in range(0, len(payload), chunk_bytes):
            await writer.write(payload[start : start + chunk_bytes])
        await writer.commit()


async def _put_and_get(store: DiskStore, case: Case) -> str:
    payload = memoryview(os.urandom(case.size))
    rounds = []
    for round_ in range(ROUNDS):
        keys = case.keys(round_)
        put_s, cpu_s = await _timed([partial(_put, store, key, payload, case.chunk) for key in keys], case.at_once)
        get_s, _ = await _timed([partial(store.get, key) for key in keys], case.at_once)
        rounds.append((case.count / put_s, cpu_s / (case.count * case.size) * 1e9, case.count / get_s))
    puts, cpu, gets = max(r[0] for r in rounds), min(r[1] for r in rounds), max(r[2] for r in rounds)
    megabytes = case.size / 1e6
    return f"{puts * megabytes:,.0f} | {puts:,.0f} | {cpu:.2f} | {gets * megabytes:,.0f} | {gets:,.0f}"


async def _delete(store: DiskStore, case: Case) -> str:
    rounds = [await _timed([partial(store.delete, key) for key in case.keys(n)], case.at_once) for n in range(ROUNDS)]
    return f"{case.count / min(seconds for seconds, _ in rounds):,.0f}"


async def _measure(root: Path) -> None:
    for shard in Layout(root).shards():
        shard.mkdir(parents=True, exist_ok=True)
    os.sync()
    with ThreadPoolExecutor(4) as pool:
        async with open_disk_store(root, pool) as direct, open_disk_store(root, pool, direct_io=False) as buffered:
            stores = {True: direct, False: buffered}
            rows = [await _put_and_get(stores[case.direct_io], case) for case in CASES]
            deletes = [await _delete(stores[case.direct_io], case) for case in CASES]
    print("| piece KiB | chunk KiB | at once | I/O | put MB/s | put/s | put CPU s/GB | get MB/s | get/s | delete/s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for case, row, delete in zip(CASES, rows, deletes, strict=True):
        mode = "direct" if case.direct_io else "buffered"
        print(f"| {case.size // KIB} | {case.chunk // KIB} | {case.at_once} | {mode} | {row} | {delete} |")


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as root:
        asyncio.run(_measure(Path(root)))


if __name__ == "__main__":
    main()
