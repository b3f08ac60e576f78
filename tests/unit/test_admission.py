"""Who may begin to send: bounded in bytes and number, fair between accounts, small ones beside large ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from sp.domain.errors import Overloaded
from sp.runtime.admission import Admission
from sp.runtime.limits import IN_USE, REFUSED, WAITING
from sp.runtime.work import working
from tests.turns import turn

LARGE, SMALL = 100, 1


def admission(*, total: int = 800, most: int = 80, queue: int = 100, patience_s: float = 10.0) -> Admission:
    """Large ones cost 100, small ones 10; an eighth, 100, is for small ones alone."""
    return Admission(
        "tests",
        total_bytes=total,
        most=most,
        each_bytes=100,
        small_bytes=5,
        queue=queue,
        patience_s=patience_s,
    )


class Uploads:
    """Begun in order, ended by name; `order` is how they were admitted."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.order: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def begin(self, name: str, size: int | None, owner: str = "") -> None:
        self._ends[name] = asyncio.Event()
        with working(owner=owner, flow=name):
            self._tasks[name] = asyncio.create_task(self._upload(name, size))
        await turn()

    async def _upload(self, name: str, size: int | None) -> None:
        async with self.admission.admitted(size):
            self.order.append(name)
            await self._ends[name].wait()

    async def end(self, *names: str) -> None:
        for name in names:
            self._ends[name].set()
            await self._tasks[name]
        await turn(3)

    def cancel(self, name: str) -> None:
        self._tasks[name].cancel()

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


@asynccontextmanager
async def uploads(**settings: float) -> AsyncIterator[Uploads]:
    made = Uploads(admission(**settings))  # type: ignore[arg-type]
    try:
        yield made
    finally:
        await made.close()
        assert (made.admission.used_bytes, made.admission.waiting) == (0, 0), "everything is given back"


@pytest.fixture(autouse=True)
def _metrics_end_where_they_began() -> Iterator[None]:
    gauges = [IN_USE.labels("tests, bytes"), WAITING.labels("tests")]
    before = [gauge._value.get() for gauge in gauges]
    yield
    assert [gauge._value.get() for gauge in gauges] == before


async def test_large_ones_stop_at_seven_eighths_and_small_ones_still_come_in() -> None:
    async with uploads() as them:
        for number in range(8):
            await them.begin(f"large {number}", LARGE)
        assert them.order == [f"large {number}" for number in range(7)]
        for number in range(11):
            await them.begin(f"small {number}", SMALL)
        assert them.order[7:] == [f"small {number}" for number in range(10)], "their eighth, while a large one waits"
        assert them.admission.waiting == 2
        await them.end("large 0")
        assert them.order[17:] == ["large 7"], "what large ones leave comes to large ones"
        await them.end("small 0")
        assert them.order[18:] == ["small 10"]


async def test_small_ones_cannot_keep_a_large_one_out_for_ever() -> None:
    async with uploads() as them:
        for number in range(80):
            await them.begin(f"small {number}", SMALL)
        assert len(them.order) == 80, "alone they may have everything"
        await them.begin("large", LARGE)
        for number in range(80):
            await them.begin(f"later {number}", SMALL)
            await them.end(f"small {number}")
        assert them.order[80] == "large", "room for it came together though small ones kept coming"


async def test_accounts_come_in_turn_and_each_in_its_own_order() -> None:
    async with uploads(total=100, most=1) as them:
        await them.begin("first", LARGE)
        for number in range(3):
            await them.begin(f"crowd {number}", LARGE, "crowd")
        for number in range(2):
            await them.begin(f"single {number}", LARGE, "single")
        waiting = ["crowd 0", "single 0", "crowd 1", "single 1", "crowd 2"]
        await them.end("first", *waiting)
        assert them.order == ["first", *waiting]


async def test_a_body_of_unknown_size_counts_as_the_largest() -> None:
    async with uploads() as them:
        await them.begin("unknown", None)
        assert them.admission.used_bytes == 100


async def test_never_more_than_the_number_allowed() -> None:
    async with uploads(total=800, most=4) as them:
        for number in range(5):
            await them.begin(f"{number}", SMALL)
        assert len(them.order) == 4


async def test_one_too_many_in_line_is_refused_at_once_and_counted() -> None:
    refused = REFUSED.labels("tests")._value.get()
    async with uploads(total=100, most=1, queue=1) as them:
        await them.begin("first", LARGE)
        await them.begin("second", LARGE)
        with pytest.raises(Overloaded, match="tests"):
            async with them.admission.admitted(LARGE):
                pass
        assert them.admission.waiting == 1
    assert REFUSED.labels("tests")._value.get() == refused + 1


async def test_whoever_has_waited_long_enough_is_refused_and_blocks_nobody() -> None:
    async with uploads(patience_s=0.05) as them:
        for number in range(7):
            await them.begin(f"{number}", LARGE)
        with pytest.raises(Overloaded):
            async with them.admission.admitted(LARGE):
                pass
        for number in range(80 - 70):
            await them.begin(f"small {number}", SMALL)
        assert len(them.order) == 17


async def test_a_waiter_cancelled_in_the_moment_it_is_served_hands_its_share_on() -> None:
    async with uploads(total=100, most=1) as them:
        async with them.admission.admitted(LARGE):
            await them.begin("unlucky", LARGE)
            await them.begin("next", LARGE)
        them.cancel("unlucky")  # it was given the share, and has not run yet
        await turn(3)
        assert them.order == ["next"]


async def test_a_waiter_cancelled_just_before_a_share_is_free_is_passed_over() -> None:
    async with uploads(total=100, most=1) as them:
        await them.begin("first", LARGE)
        await them.begin("gone", LARGE)
        await them.begin("next", LARGE)
        them._ends["first"].set()
        them.cancel("gone")  # before `first` gives back, and before `gone` knows
        await turn(4)
        assert them.order == ["first", "next"]


@pytest.mark.parametrize("seed", range(20))
async def test_the_bounds_hold_whatever_comes(seed: int) -> None:
    chance = Random(seed)
    made = admission(queue=30, patience_s=0.01 if seed % 2 else 10.0)
    peak = refused = served = 0

    async def one(number: int) -> None:
        nonlocal peak, refused, served
        size = chance.choice([None, SMALL, 3, 30, LARGE, 5000])
        try:
            with working(owner=f"{chance.randrange(3)}", flow=f"{number}"):
                async with made.admitted(size):
                    peak = max(peak, made.used_bytes)
                    assert made.used_bytes <= 800
                    await turn(chance.randrange(6))
                    served += 1
        except Overloaded:
            refused += 1

    running = []
    for number in range(400):
        running.append(asyncio.create_task(one(number)))
        if chance.random() < 0.5:
            await turn(chance.randrange(3))
        if chance.random() < 0.05:
            chance.choice(running).cancel()
        assert made.waiting <= 30
    outcomes = await asyncio.gather(*running, return_exceptions=True)
    cancelled = sum(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    assert [o for o in outcomes if o is not None and not isinstance(o, asyncio.CancelledError)] == []
    assert served + refused + cancelled >= 400
    assert peak > 400
    assert served > 0
    assert (made.used_bytes, made.waiting) == (0, 0)
