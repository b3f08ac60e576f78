from __future__ import annotations

import asyncio

from sp.runtime.clock import ManualClock, SystemClock, wait_set
from tests.turns import turn


async def slept(clock: ManualClock, seconds: float, order: list[float]) -> None:
    await clock.sleep(seconds)
    order.append(seconds)


async def test_sleepers_wake_when_their_time_has_come_in_its_order() -> None:
    clock, order = ManualClock(now_ms=5_000), list[float]()
    async with asyncio.TaskGroup() as group:
        for seconds in (3.0, 1.0, 2.0):
            group.create_task(slept(clock, seconds, order))
        await clock.until_sleeping(3)
        clock.advance(2)
        await clock.until_sleeping(1)
        await turn()
        assert order == [1.0, 2.0]
        assert (clock.now_ms(), clock.monotonic_s()) == (7_000, 2.0)
        clock.advance(1)
    assert order == [1.0, 2.0, 3.0]


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = ManualClock()
    sleeping = asyncio.create_task(clock.sleep(1))
    await clock.until_sleeping(1)
    sleeping.cancel()
    await asyncio.wait([sleeping])
    assert clock.sleeping == 0
    clock.advance(2)


async def test_waiting_for_an_event_ends_with_it_or_with_the_time() -> None:
    clock, event = ManualClock(), asyncio.Event()
    waiting = asyncio.create_task(wait_set(event, 10, clock))
    await clock.until_sleeping(1)
    clock.advance(10)
    assert await waiting is False
    waiting = asyncio.create_task(wait_set(event, 10, clock))
    await clock.until_sleeping(1)
    event.set()
    assert await waiting is True
    assert clock.sleeping == 0


async def test_the_system_clock_never_goes_back() -> None:
    clock = SystemClock()
    before = clock.monotonic_s()
    await clock.sleep(0)
    assert clock.monotonic_s() >= before
    assert clock.now_ms() > 1_700_000_000_000
