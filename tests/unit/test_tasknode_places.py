"""Jobs at work are bounded, jobs that wait for a block are bounded, and the one does not count as the other."""

import asyncio

import pytest

from tasknode.places import Places, waiting_aside
from tests.turns import turn


class Yard:
    """Jobs that work until they are told to go on, wait for a block, and work again."""

    def __init__(self, at_work: int, away: int) -> None:
        self.freed = 0
        self.places = Places(at_work, away, self._freed)
        self.blocks: dict[str, asyncio.Event] = {}
        self.working: set[str] = set()
        self.ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def _freed(self) -> None:
        self.freed += 1

    async def begin(self, *names: str) -> None:
        for name in names:
            self.blocks[name], self.ends[name] = asyncio.Event(), asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._job(name))
        await turn(3)

    async def block(self, *names: str) -> None:
        for name in names:
            self.blocks[name].set()
        await turn(5)

    async def end(self, name: str) -> None:
        self.ends[name].set()
        await turn(5)

    async def cancel(self, name: str) -> None:
        self.tasks[name].cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.tasks[name]
        await turn(5)

    async def _job(self, name: str) -> None:
        with self.places.taken():
            async with waiting_aside():
                await self.blocks[name].wait()
            self.working.add(name)
            await self.ends[name].wait()
            self.working.discard(name)


async def test_a_job_that_waits_for_a_block_has_left_its_place() -> None:
    yard = Yard(at_work=2, away=10)
    await yard.begin("a", "b", "c")
    assert yard.places.free == 2
    await yard.block("a")
    assert (yard.working, yard.places.free) == ({"a"}, 1)
    await yard.end("a")
    assert yard.places.free == 2


async def test_those_who_come_back_are_bounded_and_go_before_new_jobs_in_their_order() -> None:
    yard = Yard(at_work=2, away=10)
    await yard.begin("a", "b", "c", "d")
    await yard.block("a", "b", "c", "d")
    assert (yard.working, yard.places.free) == ({"a", "b"}, 0)
    await yard.end("a")
    assert (yard.working, yard.places.free) == ({"b", "c"}, 0)
    await yard.end("b")
    await yard.end("c")
    assert (yard.working, yard.places.free) == ({"d"}, 1)


async def test_jobs_that_wait_are_bounded_too() -> None:
    yard = Yard(at_work=2, away=1)
    await yard.begin("a", "b")
    assert yard.places.free == 1, "three in all"
    await yard.begin("c")
    assert yard.places.free == 0
    freed = yard.freed
    await yard.block("a")
    await yard.end("a")
    assert yard.freed > freed, "a worker is told that there is room"
    assert yard.places.free == 1


async def test_who_is_cancelled_leaves_nothing_behind_wherever_it_is() -> None:
    yard = Yard(at_work=1, away=10)
    await yard.begin("a", "b", "c")
    await yard.cancel("a")  # while it waits for its block
    await yard.block("b", "c")
    assert yard.working == {"b"}
    await yard.cancel("c")  # while it waits to come back
    await yard.cancel("b")  # at work
    assert yard.places.free == 1
    await yard.begin("d", "e")
    await yard.block("d", "e")
    yard.ends["d"].set()
    await turn(1)
    yard.tasks["e"].cancel()  # about when the place is handed to it
    await asyncio.gather(*(yard.tasks[name] for name in "de"), return_exceptions=True)
    assert yard.places.free == 1


async def test_a_wait_that_fails_has_its_place_again_for_what_follows() -> None:
    places = Places(1, 1, lambda: None)
    with places.taken():
        with pytest.raises(ValueError, match="refused"):
            async with waiting_aside():
                raise ValueError("refused")
        assert places.free == 0
    assert places.free == 1


async def test_no_places_take_no_jobs_and_who_has_none_just_waits() -> None:
    assert Places(0, 10, lambda: None).free == 0
    async with waiting_aside():
        pass
