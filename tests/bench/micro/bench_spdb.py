"""SPDB on SQLite, durable: one call at a time, and 16 at once (what one of those costs is a sixteenth)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from sp.domain.jobs import Job, Move
from sp.domain.lifecycle import RETRY_EVENT, JobEvent, JobState
from spdb.database import open_database
from tests.contracts.spdb_world import TN, World

AT_ONCE = [1, 16]


@pytest.fixture
def world(runner: asyncio.Runner, tmp_path: Path) -> Iterator[World]:
    opened = open_database(f"sqlite:///{tmp_path}/spdb.sqlite")
    yield World(runner.run(opened.__aenter__()))
    runner.run(opened.__aexit__(None, None, None))


def measure(
    benchmark: BenchmarkFixture, runner: asyncio.Runner, at_once: int, call: Callable[[int], Awaitable[object]]
) -> None:
    async def together() -> None:
        await asyncio.gather(*(call(number) for number in range(at_once)))

    benchmark(lambda: runner.run(together()))


@pytest.mark.benchmark(group="transitions: there and back")
@pytest.mark.parametrize("at_once", AT_ONCE)
def test_two_moves(benchmark: BenchmarkFixture, runner: asyncio.Runner, world: World, at_once: int) -> None:
    async def led(number: int) -> Job:
        return await world.lead(await world.put(f"job {number}"), JobState.ALLOC_SECONDARY_DOING)

    jobs = {number: runner.run(led(number)) for number in range(at_once)}

    async def there_and_back(number: int) -> None:
        failed = await world.jobs.move(jobs[number], Move(JobEvent.ALLOCATION_FAILED, TN, "bench"))
        jobs[number] = await world.jobs.move(failed, Move(RETRY_EVENT[failed.state], TN))

    measure(benchmark, runner, at_once, there_and_back)


@pytest.mark.benchmark(group="a put: begin and finish")
@pytest.mark.parametrize("at_once", AT_ONCE)
def test_put(benchmark: BenchmarkFixture, runner: asyncio.Runner, world: World, at_once: int) -> None:
    names = count()
    measure(benchmark, runner, at_once, lambda _: world.put(f"put {next(names)}"))


@pytest.mark.benchmark(group="head of an object")
@pytest.mark.parametrize("at_once", AT_ONCE)
def test_head(benchmark: BenchmarkFixture, runner: asyncio.Runner, world: World, at_once: int) -> None:
    runner.run(world.put("photo"))
    measure(benchmark, runner, at_once, lambda _: world.objects.head("bucket", "photo"))


@pytest.mark.benchmark(group="list 1000 names")
def test_list(benchmark: BenchmarkFixture, runner: asyncio.Runner, world: World) -> None:
    runner.run(world.put_many([f"name {number:06}" for number in range(2000)], "bucket"))
    measure(benchmark, runner, 1, lambda _: world.objects.list("bucket", limit=1000))
