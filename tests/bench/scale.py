"""Whether anything grows with what is stored: `python -m tests.bench.scale [--rows 1000,100000,1000000]`.

For each number of rows one SPDB (SQLite) with that many sealed objects in one bucket, that many groups received for
others, a tenth as much garbage, and 10,000 puts waiting; and one piece store with that many pieces (--pieces at most: a
million files take minutes to make and to remove). The median of some calls each, in milliseconds; the sizes take turns.
What grows by more than the factor LIMIT from the least to the most is marked, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from random import Random
from statistics import median

import structlog
from sqlalchemy import Connection, text

from cli.output import note, print_table
from piecestore.disk import DiskStore, open_disk_store
from piecestore.disk.layout import Layout
from sp.domain.approvals import ObjectRef
from sp.domain.ids import Checksum, JobId, ObjectId, RedundancyIndex, SegmentIndex, UploadId
from sp.domain.jobs import JobFilter, Move, ReceivedPiece
from sp.domain.lifecycle import JobEvent, JobState
from sp.domain.params import StorageParams
from sp.domain.pieces import SegmentKey
from spdb.database import Database, open_database
from spdb.multipart import MultipartUploads
from tests.contracts.spdb_crowd import FIRST_ID, copies, group_copies
from tests.contracts.spdb_world import LEASE_MS, World, provider

LIMIT = 3.0
"""Times slower than with the fewest rows: more than noise, and far less than anything that walks over the rows."""

WAITING = 10_000
CALLS = 41
SMALL = 4096
COLUMN = RedundancyIndex(0)
CHECKSUM = Checksum(b"c" * 32)
LINEAR = {
    "operator: counts by state": "grows as it may: a scan of one narrow index, on a reader of its own",
    "operator: groups kept": "grows as it may",
}
IDS = count(FIRST_ID * 50)
"""Above those of all copies, as the clock's are above those of yesterday."""

Calls = dict[str, Callable[[], Awaitable[object]]]


def garbage(first_id: int, rows: int) -> Callable[[Connection], None]:
    """Of the jobs from first_id on: half have pieces to collect, half are collected. No name leads to them."""

    def mark(connection: Connection) -> None:
        facts = {"first": first_id, "half": first_id + rows // 2, "end": first_id + rows}
        connection.execute(text("DELETE FROM objects WHERE job_id >= :first AND job_id < :end"), facts)
        connection.execute(
            text("UPDATE jobs SET collect = 1, marked_at_ms = id WHERE id >= :first AND id < :half"), facts
        )
        connection.execute(
            text("UPDATE jobs SET collect = 2, collected_at_ms = id WHERE id >= :half AND id < :end"), facts
        )

    return mark


async def filled(database: Database, rows: int) -> World:
    world = World(database, ids=IDS)
    world.clock.advance(time.time() - world.now() / 1000)
    queued = await world.put("template/queued")
    sealed = await world.lead(await world.put("template/sealed"), JobState.SEAL_OBJECT_DONE)
    for start in range(0, rows, 100_000):
        size = min(100_000, rows - start)
        await database.write(copies(sealed, size, FIRST_ID + start, f"done/{start // 1000:06}/"))
    await database.write(copies(sealed, rows // 10, FIRST_ID * 20, "garbage/"))
    await database.write(garbage(FIRST_ID * 20, rows // 10))
    await database.write(copies(queued, WAITING, FIRST_ID * 30, "waiting/"))
    await received_group(world, 1)
    await database.write(group_copies(1, rows))
    return world


async def received_group(world: World, object_id: int) -> None:
    """One that was received, signed for and sealed."""
    subject = ObjectRef(ObjectId(object_id), 0, "others", f"photo {object_id}", 100, StorageParams())
    key = (subject.object_id, 0, COLUMN)
    await world.received.open(subject, COLUMN, provider(1))
    await world.received.add_pieces(*key, [ReceivedPiece(SegmentIndex(0), CHECKSUM, 25)])
    await world.received.sign(*key, CHECKSUM, [CHECKSUM])
    await world.received.mark_sealed(*key)


def calls(world: World, rows: int) -> Calls:
    """What services do all day, and what an operator looks at."""
    jobs, objects, groups = world.jobs, world.objects, world.received
    multipart = MultipartUploads(world.db, world.clock, lambda: UploadId(next(IDS)))
    fresh = (f"fresh/{number}" for number in count())
    new_groups = count(FIRST_ID * 40)
    middle = FIRST_ID + rows // 2
    deep = f"done/{rows // 2000:06}/{rows // 2}"
    now = world.now()
    return {
        "put: begin and finish": lambda: world.put(next(fresh)),
        "put over a name": lambda: world.put("template/queued"),
        "head": lambda: objects.head("bucket", deep),
        "head, no such name": lambda: objects.head("bucket", "nothing"),
        "list 1000, from the start": lambda: objects.list("bucket", limit=1000),
        "list 1000, from the middle": lambda: objects.list("bucket", marker=deep, limit=1000),
        "list with a delimiter": lambda: objects.list("bucket", delimiter="/", limit=1000),
        "is a bucket empty": lambda: objects.is_empty("bucket"),
        "dispatch: take 10": lambda: jobs.take("bench", LEASE_MS, 10),
        "dispatch: when next": jobs.next_due_ms,
        "GC: uploads given up": lambda: jobs.expired_uploads(64),
        "GC: pieces to collect": lambda: jobs.collectable(64),
        "GC: rows to purge": lambda: jobs.purgeable(1000, 64),
        "GC: groups never sealed": lambda: groups.unsealed(now, 64),
        "GC: dead parts": lambda: multipart.dead_parts(64),
        "GC: deletions due": lambda: world.deletions.due(64),
        "scrub: segments, in the middle": lambda: jobs.walk(middle, 32),
        "scrub: pieces, in the middle": lambda: groups.list(32, (ObjectId(rows // 2), 0, COLUMN)),
        "recover: a bucket, in the middle": lambda: jobs.walk(middle, 32, "bucket"),
        "receive: open to seal": lambda: received_group(world, next(new_groups)),
        "operator: newest jobs": lambda: jobs.list(JobFilter()),
        "operator: failed jobs": lambda: jobs.list(JobFilter(failed_only=True)),
        "operator: failed jobs of a bucket": lambda: jobs.list(JobFilter(bucket="bucket", failed_only=True)),
        "operator: jobs of a name": lambda: jobs.newest_of("bucket", deep),
        "operator: counts by state": jobs.counts,
        "operator: groups kept": groups.count,
    }


Spans = dict[str, list[float]]
"""Milliseconds of every call, by its name."""


async def timed(by_size: Sequence[Calls]) -> list[Spans]:
    """The calls take turns, and so do the sizes, so that a busy moment is busy for all. The first round warms up."""
    spans: list[Spans] = [{name: [] for name in each} for each in by_size]
    for number in range(CALLS):
        for name in by_size[0]:
            for each, found in zip(by_size, spans, strict=True):
                started = time.perf_counter()
                await each[name]()
                if number:
                    found[name].append((time.perf_counter() - started) * 1000)
    return spans


async def databases(folder: Path, sizes: Sequence[int]) -> list[Spans]:
    async with AsyncExitStack() as stack:
        by_size = []
        for rows in sizes:
            note(f"{rows:,} rows")
            database = await stack.enter_async_context(open_database(f"sqlite:///{folder}/spdb-{rows}.sqlite"))
            by_size.append(calls(await filled(database, rows), rows))
        return await timed(by_size)


def make_pieces(layout: Layout, pieces: int) -> None:
    """Plain files, as fast as the file system makes them: what lies there, not how it came there, is measured."""
    for shard in layout.shards():
        shard.mkdir(parents=True, exist_ok=True)
    payload = b"x" * 64
    for number in range(pieces):
        file = os.open(layout.path(SegmentKey(JobId(FIRST_ID + number), SegmentIndex(0))), os.O_CREAT | os.O_WRONLY)
        os.write(file, payload)
        os.close(file)
    os.sync()


def piece_calls(store: DiskStore, pieces: int) -> Calls:
    chance = Random(3)
    fresh = (SegmentKey(JobId(FIRST_ID * 60 + number), SegmentIndex(0)) for number in count())
    gone = (SegmentKey(JobId(FIRST_ID * 60 + number), SegmentIndex(0)) for number in count())
    payload = os.urandom(SMALL)

    def any_key() -> SegmentKey:
        return SegmentKey(JobId(FIRST_ID + chance.randrange(pieces)), SegmentIndex(0))

    async def first_keys() -> None:
        seen = 0
        async for _ in store.keys():
            seen += 1
            if seen == 100:
                return

    return {
        "piece put, 4 KiB": lambda: store.put(next(fresh), payload),
        "piece get": lambda: store.get(any_key()),
        "piece size": lambda: store.size(any_key()),
        "piece delete": lambda: store.delete(next(gone)),
        "first 100 keys": first_keys,
        "free bytes": store.free_bytes,
    }


async def piece_stores(folder: Path, sizes: Sequence[int]) -> list[Spans]:
    async with AsyncExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(4))
        by_size = []
        for pieces in sizes:
            note(f"{pieces:,} pieces")
            root = folder / f"pieces-{pieces}"
            await asyncio.to_thread(make_pieces, Layout(root), pieces)
            by_size.append(piece_calls(await stack.enter_async_context(open_disk_store(root, pool)), pieces))
        return await timed(by_size)


async def queue_and_front(folder: Path) -> list[tuple[str, str, str]]:
    """Puts and heads of 8 clients at once while nothing waits, while 10,000 jobs wait, and while a task node works on
    those: takes ten at a time and moves them on."""
    rows = []
    for label, waiting, works in (
        ("nothing waits", 0, False),
        ("10,000 wait", WAITING, False),
        ("and move", WAITING, True),
    ):
        async with open_database(f"sqlite:///{folder}/front-{waiting}-{works}.sqlite") as database:
            world = World(database, ids=IDS)
            queued = await world.put("template")
            if waiting:
                await database.write(copies(queued, waiting, FIRST_ID * 3, "waiting/"))
            working = asyncio.create_task(_work(world)) if works else None
            puts, heads = await _front(world)
            if working is not None:
                working.cancel()
            rows.append((label, f"{puts:,.0f}", f"{heads:,.0f}"))
    return rows


async def _work(world: World) -> None:
    while True:
        for job in await world.jobs.take("bench", LEASE_MS, 10):
            await world.jobs.move(
                job, Move(JobEvent.ALLOCATION_STARTED, "bench", object_id=ObjectId(job.id), version=0)
            )


async def _front(world: World, each: int = 200) -> tuple[float, float]:
    async def puts(client: int) -> None:
        for number in range(each):
            await world.put(f"front/{client}/{number}")

    async def heads(client: int) -> None:
        for number in range(each):
            assert await world.objects.head("bucket", f"front/{client}/{number}")

    rates = []
    for work in (puts, heads):
        started = time.perf_counter()
        await asyncio.gather(*(work(client) for client in range(8)))
        rates.append(8 * each / (time.perf_counter() - started))
    return rates[0], rates[1]


def show(title: str, sizes: Sequence[int], results: Sequence[Spans]) -> bool:
    """Whether nothing grew. Medians are shown; what grows is told by the quickest calls, which noise reaches least."""
    flat = True
    rows = []
    for name, least in results[0].items():
        factor = min(results[-1][name]) / min(least)
        grew = factor > LIMIT and name not in LINEAR
        flat = flat and not grew
        mark = "GROWS" if grew else LINEAR.get(name, "")
        rows.append((name, *(f"{median(each[name]):.2f}" for each in results), f"{factor:.1f}x", mark))
    print_table(("ms", *(f"{size:,}" for size in sizes), "last by first", ""), rows, title=title)
    return flat


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    parser.add_argument("--rows", default="1000,100000,1000000")
    parser.add_argument("--pieces", type=int, default=1_000_000, help="in one piece store, at most")
    parser.add_argument("--folder", type=Path, help="where the databases and pieces go for the while")
    arguments = parser.parse_args()
    sizes = [int(word) for word in arguments.rows.split(",")]
    folder = Path(tempfile.mkdtemp(prefix="sp-scale-", dir=arguments.folder))
    try:
        flat = show("SPDB", sizes, await databases(folder, sizes))
        pieces = sorted({min(rows, arguments.pieces) for rows in sizes})
        flat = show("Piece store", pieces, await piece_stores(folder, pieces)) and flat
        print_table(("8 clients, a second", "puts", "heads"), await queue_and_front(folder), title="The front")
    finally:
        shutil.rmtree(folder)
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
