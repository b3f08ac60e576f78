from __future__ import annotations

import asyncio
import threading

import pytest

from sp.runtime import log
from sp.runtime.pool import QUEUED_PER_THREAD, CpuPool
from sp.runtime.work import Work
from tests.turns import turn


async def begun(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 10)


async def test_work_runs_in_a_thread_and_its_result_or_exception_comes_back() -> None:
    async with CpuPool(2) as pool:
        assert await pool.run(threading.get_ident) != threading.get_ident()
        assert await pool.run(int, "ff", base=16) == 255
        with pytest.raises(ValueError, match="invalid literal"):
            await pool.run(int, "x")


async def test_the_thread_knows_the_request_id() -> None:
    async with CpuPool(1) as pool:
        with log.bound(request_id="r"):
            assert await pool.run(log.current, "request_id") == "r"


async def test_a_cancelled_caller_waits_for_work_that_has_begun() -> None:
    started, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        assert go_on.wait(10)
        ended.set()

    async with CpuPool(1) as pool:
        running = asyncio.create_task(pool.run(work))
        await begun(started)
        running.cancel()
        await turn()
        running.cancel()  # and again: it still waits
        done, _ = await asyncio.wait([running], timeout=0.02)
        assert not done
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert ended.is_set()


async def test_cancelled_work_that_has_not_begun_never_begins() -> None:
    started, go_on = threading.Event(), threading.Event()
    ran: list[int] = []

    def block() -> None:
        started.set()
        assert go_on.wait(10)

    async with CpuPool(1) as pool:
        blocking = asyncio.create_task(pool.run(block))
        await begun(started)
        queued = asyncio.create_task(pool.run(ran.append, 1))
        await turn()
        queued.cancel()
        with pytest.raises(asyncio.CancelledError):
            await queued
        go_on.set()
        await blocking
    assert ran == []


async def test_no_more_than_the_bound_is_queued_and_cancelled_callers_leave_no_hole_in_it() -> None:
    threads, go_on = 2, threading.Event()
    bound = threads * (1 + QUEUED_PER_THREAD)
    ran: list[int] = []

    def work(number: int) -> None:
        assert go_on.wait(10)
        ran.append(number)

    async with CpuPool(threads) as pool:
        running = [asyncio.create_task(pool.run(work, number)) for number in range(bound + 5)]
        await turn(3)
        assert pool._slots[Work.FOREGROUND].locked()
        for task in running[bound:]:
            task.cancel()
        await asyncio.wait(running[bound:])
        assert pool._slots[Work.FOREGROUND].locked()
        go_on.set()
        await asyncio.gather(*running[:bound])
        assert sorted(ran) == list(range(bound))
        again = await asyncio.gather(*(pool.run(work, number) for number in range(bound * 2)))
        assert len(again) == bound * 2
