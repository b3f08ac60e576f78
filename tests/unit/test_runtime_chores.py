from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest
import structlog

from sp.domain.errors import JobMoved
from sp.runtime.chores import Chore, Chores
from sp.runtime.clock import ManualClock
from tests.turns import turn


class Work:
    """A tick over a list of outcomes: True, False, an exception, or an event to wait for."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.ticks = 0
        self._ticked = asyncio.Condition()

    async def tick(self) -> bool:
        self.ticks += 1
        async with self._ticked:
            self._ticked.notify_all()
        outcome = self.outcomes.pop(0) if self.outcomes else False
        if isinstance(outcome, Exception):
            raise outcome
        if isinstance(outcome, asyncio.Event):
            await outcome.wait()
            return False
        return bool(outcome)

    async def ticked(self, times: int) -> None:
        async with asyncio.timeout(10), self._ticked:
            await self._ticked.wait_for(lambda: self.ticks >= times)


async def asleep(clock: ManualClock) -> None:
    async with asyncio.timeout(10):
        await clock.until_sleeping()


def running(clock: ManualClock, *works: Work, manual: bool = False) -> Chores:
    chores = [Chore(f"chore-{n}", 60, work.tick) for n, work in enumerate(works)]
    return Chores(chores, clock, Random(1), manual=manual)


async def test_a_chore_ticks_at_the_start_again_at_once_while_it_moves_and_then_by_its_interval() -> None:
    clock, work = ManualClock(), Work(True, True, False)
    async with running(clock, work):
        await work.ticked(3)
        await asleep(clock)
        assert work.ticks == 3
        clock.advance(59)
        await asleep(clock)
        assert work.ticks == 3
        clock.advance(1)
        await work.ticked(4)


async def test_a_woken_chore_ticks_without_waiting_for_its_interval() -> None:
    clock, work, other = ManualClock(), Work(), Work()
    async with running(clock, work, other) as chores:
        await work.ticked(1)
        await other.ticked(1)
        await asleep(clock)
        chores.wake("chore-0")
        await work.ticked(2)
        assert other.ticks == 1


async def test_a_wake_during_a_tick_is_not_lost() -> None:
    clock, go_on = ManualClock(), asyncio.Event()
    work = Work(go_on)
    async with running(clock, work) as chores:
        await work.ticked(1)
        chores.wake()
        go_on.set()
        await work.ticked(2)


async def test_a_failing_chore_is_logged_and_backs_off_though_it_is_woken() -> None:
    clock, work = ManualClock(), Work(JobMoved(7), KeyError("mistake"), False)
    with structlog.testing.capture_logs() as logs:
        async with running(clock, work) as chores:
            await work.ticked(1)
            await asleep(clock)
            chores.wake()
            clock.advance(0.2)
            await asleep(clock)
            assert work.ticks == 1
            clock.advance(0.3)
            await work.ticked(2)
            await asleep(clock)
            clock.advance(1.0)
            await work.ticked(3)
    assert [(line["log_level"], line["chore"]) for line in logs] == [("warning", "chore-0"), ("error", "chore-0")]
    assert logs[0]["error"] == "JobMoved"
    assert isinstance(logs[1]["exc_info"], KeyError)


async def test_the_back_off_is_bounded() -> None:
    chores = Chores([], ManualClock(), Random(1))
    assert all(30 <= chores._back_off_s(failures) <= 60 for failures in range(8, 3000))
    assert 0.25 <= chores._back_off_s(1) <= 0.5


async def test_leaving_cancels_and_awaits_a_tick() -> None:
    work = Work(asyncio.Event())
    async with running(ManualClock(), work):
        await work.ticked(1)
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("chore")]


async def test_in_manual_mode_nothing_ticks_before_settle_and_settle_ticks_until_nothing_moves() -> None:
    clock, one, two = ManualClock(), Work(True, False, True), Work(False, True)
    async with running(clock, one, two, manual=True) as chores:
        chores.wake()
        await turn()
        assert (one.ticks, two.ticks) == (0, 0)
        assert await chores.settle() == 3
        assert (one.ticks, two.ticks) == (4, 4)
        assert await chores.settle() == 0


async def test_settle_takes_an_sp_error_for_nothing_done_and_lets_a_mistake_out() -> None:
    work = Work(JobMoved(1), True, KeyError("mistake"))
    async with running(ManualClock(), work, manual=True) as chores:
        assert await chores.settle() == 0
        with pytest.raises(KeyError):
            await chores.settle()


async def test_chores_that_were_left_do_not_settle_anything() -> None:
    work = Work(True)
    chores = running(ManualClock(), work, manual=True)
    async with chores:
        pass
    assert await chores.settle() == 0
    assert work.ticks == 0


async def test_chores_that_never_settle_are_named() -> None:
    async def always() -> bool:
        return True

    async with Chores([Chore("busy", 1, always)], ManualClock(), Random(1), manual=True) as chores:
        with pytest.raises(AssertionError, match="busy"):
            await chores.settle()
