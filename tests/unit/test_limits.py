"""Slots refuse, byte budgets queue, and both give back what a cancelled user held."""

import asyncio

import pytest

from sp.domain.errors import Overloaded
from sp.runtime.limits import ByteBudget, Slots
from tests.turns import turn


def test_one_more_than_the_limit_is_refused_and_a_freed_slot_is_usable_again() -> None:
    slots = Slots("uploads", 2)
    with slots.slot():
        with slots.slot(), pytest.raises(Overloaded) as refused, slots.slot():
            pass
        assert refused.value.limit == "uploads"
        with slots.slot():
            assert slots.taken == 2
    assert slots.taken == 0


async def test_a_request_waits_until_enough_is_given_back() -> None:
    budget = ByteBudget(100)
    first = await budget.acquire(60)
    waiting = asyncio.create_task(budget.acquire(60))
    await turn()
    assert not waiting.done()
    budget.release(first)
    assert await waiting == 60
    assert budget.used_bytes == 60


async def test_the_first_in_line_is_served_first_even_if_a_smaller_one_would_fit() -> None:
    budget = ByteBudget(100)
    held = await budget.acquire(50)
    large = asyncio.create_task(budget.acquire(80))
    await turn()
    small = asyncio.create_task(budget.acquire(10))
    await turn()
    assert not small.done()
    budget.release(held)
    assert await large == 80
    assert await small == 10


async def test_more_than_the_whole_budget_gets_the_whole_budget_alone() -> None:
    budget = ByteBudget(100)
    assert await budget.acquire(1000) == 100
    assert budget.used_bytes == 100


async def test_a_cancelled_waiter_leaves_the_line() -> None:
    budget = ByteBudget(100)
    held = await budget.acquire(100)
    cancelled = asyncio.create_task(budget.acquire(100))
    await turn()
    behind = asyncio.create_task(budget.acquire(40))
    await turn()
    cancelled.cancel()
    await asyncio.wait([cancelled])
    budget.release(held)
    assert await behind == 40


async def test_a_waiter_cancelled_in_the_moment_it_is_served_hands_its_share_on() -> None:
    budget = ByteBudget(100)
    held = await budget.acquire(100)
    unlucky = asyncio.create_task(budget.acquire(100))
    await turn()
    budget.release(held)  # grants to `unlucky`, which has not run yet
    unlucky.cancel()
    await asyncio.wait([unlucky])
    assert budget.used_bytes == 0
