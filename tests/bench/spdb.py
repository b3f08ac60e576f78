"""What a state transition and a read cost: `python -m tests.bench.spdb [--url URL] [--rows N]`.

Prints the tables of spdb/README.md, the best of three rounds each. A transition is one `Jobs.move` (guarded update and
history row), durable when it returns. It is compared with the same statements, each in a transaction of its own on
SQLAlchemy's async engine over aiosqlite, and so are reads. Without --url: a SQLite file in a temporary directory.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from sp.domain.jobs import JobFilter, Move
from sp.domain.lifecycle import RETRY_EVENT, JobEvent, JobState
from sp.runtime.clock import SystemClock
from spdb.database import Database, open_database
from spdb.jobs import Jobs
from spdb.objects import Objects
from tests.contracts.spdb_crowd import FIRST_ID, copies
from tests.contracts.spdb_world import LEASE_MS, World

T = TypeVar("T")
ROUNDS = 3
IDS = itertools.count(1)
WORKERS = (1, 16, 64)


@dataclass(frozen=True)
class OneByOne:
    """What SPDB is measured against: each operation in an async transaction of its own."""

    engine: AsyncEngine

    async def write(self, op: Callable[[Connection], T]) -> T:
        async with self.engine.begin() as connection:
            return await connection.run_sync(op)

    async def read(self, op: Callable[[Connection], T]) -> T:
        async with self.engine.connect() as connection:
            return await connection.run_sync(op)

    async def close(self) -> None:
        await self.engine.dispose()


@asynccontextmanager
async def one_by_one(path: Path) -> AsyncIterator[Database]:
    """The same pragmas; one writing connection, since several only wait for each other (PERF: p99 330 ms)."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", pool_size=1, max_overflow=0, pool_timeout=120)

    def set_up(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine.sync_engine, "connect", set_up)
    database = OneByOne(engine)
    try:
        yield database
    finally:
        await database.close()


@dataclass(frozen=True, order=True)
class Rate:
    """Operations a second, and microseconds of CPU for one."""

    per_s: float
    cpu_us: float


async def timed(work: Callable[[], Awaitable[int]]) -> Rate:
    wall, cpu = time.perf_counter(), time.process_time()
    done = await work()
    return Rate(done / (time.perf_counter() - wall), (time.process_time() - cpu) / done * 1e6)


async def transitions(database: Database, workers: int, each: int) -> Rate:
    """Each worker sends a job of its own through an error and back, over and over."""
    world = World(database, ids=IDS)
    jobs = Jobs(database, SystemClock(), world.new_job_id)
    puts = [await world.put(f"job of worker {number}") for number in range(workers)]
    own = [await world.lead(job, JobState.ALLOC_SECONDARY_DOING) for job in puts]

    async def work(number: int) -> None:
        for _ in range(each // 2):
            own[number] = await jobs.move(own[number], Move(JobEvent.ALLOCATION_FAILED, "bench", "no approvals"))
            own[number] = await jobs.move(own[number], Move(RETRY_EVENT[own[number].state], "bench"))

    async def all_work() -> int:
        await asyncio.gather(*(work(number) for number in range(workers)))
        return workers * (each // 2) * 2

    return await timed(all_work)


async def heads(database: Database, workers: int, each: int) -> Rate:
    objects = Objects(database, SystemClock())

    async def work() -> None:
        for _ in range(each):
            assert await objects.head("bucket", "job of worker 0")

    async def all_work() -> int:
        await asyncio.gather(*(work() for _ in range(workers)))
        return workers * each

    return await timed(all_work)


MEASURES = {"transitions": transitions, "heads of an object": heads}


async def compare(folder: Path) -> None:
    """Rounds of both ways take turns, so that a busy machine is busy for both."""
    columns = ("SQLite: a second (CPU us)", "workers", "grouped", "one by one", "ratio", "CPU ratio")
    print("{:<28}{:>8}{:>16}{:>16}{:>8}{:>11}".format(*columns))
    for name, measure in MEASURES.items():
        for workers in WORKERS:
            grouped, single = [], []
            for number in range(ROUNDS):
                path = folder / f"{name}-{workers}-{number}"
                async with open_database(f"sqlite:///{path}") as database:
                    await World(database).put("job of worker 0")
                    grouped.append(await measure(database, workers, max(20, 2000 // workers)))
                async with one_by_one(path) as database:
                    single.append(await measure(database, workers, max(10, 500 // workers)))
            one, other = max(grouped), max(single)
            rates = f"{one.per_s:>10.0f} ({one.cpu_us:>3.0f}){other.per_s:>10.0f} ({other.cpu_us:>3.0f})"
            ratios = f"{one.per_s / other.per_s:>7.1f}x{other.cpu_us / one.cpu_us:>10.1f}x"
            print(f"{name:<28}{workers:>8}{rates}{ratios}")


async def postgres(url: str) -> None:
    print(f"{'PostgreSQL':<28}{'workers':>8}{'a second':>10}{'CPU us':>8}")
    async with open_database(url) as database:
        await World(database).put("job of worker 0")
        for name, measure in MEASURES.items():
            for workers in WORKERS:
                rate = max([await measure(database, workers, max(20, 1000 // workers)) for _ in range(ROUNDS)])
                print(f"{name:<28}{workers:>8}{rate.per_s:>10.0f}{rate.cpu_us:>8.0f}")


async def crowd(url: str, rows: int) -> None:
    """Calls against a table of many jobs, in milliseconds."""
    async with open_database(url) as database:
        world = World(database)
        world.clock.advance(time.time() - world.now() / 1000)
        queued = await world.put("queued")
        sealed = await world.lead(await world.put("sealed"), JobState.SEAL_OBJECT_DONE)
        await database.write(copies(queued, 10_000, FIRST_ID, "waiting/"))
        for start in range(0, rows, 100_000):
            await database.write(copies(sealed, min(100_000, rows - start), 2 * FIRST_ID + start, f"done/{start}/"))
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "take 10": lambda: world.jobs.take("bench", LEASE_MS, 10),
            "list 1000 names": lambda: world.objects.list("bucket"),
            "roll up all": lambda: world.objects.list("bucket", delimiter="/"),
            "50 newest jobs": lambda: world.jobs.list(JobFilter()),
            "failed jobs": lambda: world.jobs.list(JobFilter(failed_only=True)),
            "counts": world.jobs.counts,
        }
        print(f"with 10,000 jobs waiting and {rows:,} finished, ms:")
        for name, call in calls.items():
            spans = []
            for _ in range(7):
                started = time.perf_counter()
                await call()
                spans.append((time.perf_counter() - started) * 1000)
            print(f"  {name:<20}{min(spans):>9.2f}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="of an empty PostgreSQL database")
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where SQLite's files go for the while")
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        if arguments.url:
            await postgres(arguments.url)
        else:
            await compare(Path(folder))
        if arguments.rows:
            await crowd(arguments.url or f"sqlite:///{folder}/crowd", arguments.rows)


if __name__ == "__main__":
    asyncio.run(main())
