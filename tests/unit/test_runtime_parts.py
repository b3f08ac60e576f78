from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sp.runtime.chores import Chore
from sp.runtime.clock import ManualClock
from sp.runtime.parts import Parts
from tests.turns import turn


class Openings:
    """Makes things that write down when they are opened and closed."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def of(self, name: str, *, gate: asyncio.Event | None = None) -> Callable[[], AbstractAsyncContextManager[str]]:
        @asynccontextmanager
        async def opening() -> AsyncIterator[str]:
            self.log.append(f"open {name}")
            if gate is not None:
                await gate.wait()
            try:
                async with asyncio.TaskGroup():  # must be left by the task that entered it
                    yield name
            finally:
                self.log.append(f"close {name}")

        return opening


async def test_concurrent_callers_share_one_opening_closed_in_reverse_order(tmp_path: Path) -> None:
    openings = Openings()
    async with Parts.for_test(tmp_path) as parts:
        got = await asyncio.gather(*(parts.once("db", openings.of("db")) for _ in range(3)))
        await parts.once("store", openings.of("store"))
        assert got == ["db"] * 3
        assert openings.log == ["open db", "open store"]
    assert openings.log[2:] == ["close store", "close db"]


async def test_a_thing_opened_inside_another_opening_outlives_it(tmp_path: Path) -> None:
    openings = Openings()
    async with Parts.for_test(tmp_path) as parts:

        @asynccontextmanager
        async def outer() -> AsyncIterator[str]:
            await parts.once("inner", openings.of("inner"))
            async with openings.of("outer")() as value:
                yield value

        await parts.once("outer", outer)
    assert openings.log[2:] == ["close outer", "close inner"]


async def test_a_cancelled_caller_does_not_take_the_opening_from_the_others(tmp_path: Path) -> None:
    openings, gate = Openings(), asyncio.Event()
    async with Parts.for_test(tmp_path) as parts:
        first, second = (asyncio.create_task(parts.once("db", openings.of("db", gate=gate))) for _ in range(2))
        await turn()
        first.cancel()
        await asyncio.wait([first])
        gate.set()
        assert await second == "db"
    assert openings.log == ["open db", "close db"]


async def test_a_failed_opening_fails_for_all_waiting_and_the_next_call_tries_again(tmp_path: Path) -> None:
    attempts: list[int] = []

    @asynccontextmanager
    async def flaky() -> AsyncIterator[str]:
        attempts.append(1)
        if len(attempts) == 1:
            raise ConnectionError("down")
        yield "up"

    async with Parts.for_test(tmp_path) as parts:
        got = await asyncio.gather(*(parts.once("x", flaky) for _ in range(2)), return_exceptions=True)
        assert [type(one) for one in got] == [ConnectionError, ConnectionError]
        assert await parts.once("x", flaky) == "up"


async def test_an_opening_still_under_way_is_cancelled_at_the_end(tmp_path: Path) -> None:
    openings = Openings()
    async with Parts.for_test(tmp_path) as parts:
        waiting = asyncio.create_task(parts.once("x", openings.of("x", gate=asyncio.Event())))
        await turn(2)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert openings.log == ["open x"]


async def test_what_fails_to_close_is_told_after_everything_has_been_closed(tmp_path: Path) -> None:
    openings = Openings()

    @asynccontextmanager
    async def stubborn() -> AsyncIterator[str]:
        yield "x"
        raise OSError("cannot close")

    parts = Parts.for_test(tmp_path)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(parts)
        await parts.once("db", openings.of("db"))
        await parts.once("x", stubborn)
        with pytest.raises(ExceptionGroup) as raised:
            await stack.aclose()
    assert [type(error) for error in raised.value.exceptions] == [OSError]
    assert openings.log == ["open db", "close db"]


async def test_a_published_service_is_local_and_another_is_not(tmp_path: Path) -> None:
    async with Parts.for_test(tmp_path) as parts:
        service = object()
        parts.publish("tasknode", service)
        assert parts.local("tasknode") is service
        assert parts.local("signer") is None
        with pytest.raises(AssertionError):
            parts.publish("tasknode", object())


async def test_a_spawned_task_that_fails_stops_the_process_and_its_error_comes_out(tmp_path: Path) -> None:
    async def fail() -> None:
        raise KeyError("mistake")

    parts = Parts.for_test(tmp_path)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(parts)
        parts.tasks.spawn(fail(), "failing")
        async with asyncio.timeout(10):
            await parts.stopping.wait()
        with pytest.raises(KeyError, match="mistake"):
            await stack.aclose()


async def test_spawned_tasks_are_cancelled_and_awaited_at_the_end(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await turn()
            ended.set()

    async with Parts.for_test(tmp_path) as parts:
        parts.spawn(for_ever(), "for ever")
        await turn()
    assert ended.is_set()
    with pytest.raises(RuntimeError, match="after the end"):
        parts.spawn(for_ever(), "late")


async def test_the_error_of_the_body_is_not_hidden_by_a_failed_task(tmp_path: Path) -> None:
    async def fail() -> None:
        raise KeyError

    parts = Parts.for_test(tmp_path)

    async def body() -> None:
        async with parts:
            parts.spawn(fail(), "failing")
            await parts.stopping.wait()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await body()


async def test_settle_ticks_the_chores_of_all_services_until_none_moves(tmp_path: Path) -> None:
    left = {"a": 2, "b": 0}

    def ticking(name: str) -> Callable[[], Any]:
        async def tick() -> bool:
            if left[name] == 0:
                return False
            left[name] -= 1
            left["b"] += name == "a"  # what a does gives b something to do
            return True

        return tick

    async with (
        Parts.for_test(tmp_path) as parts,
        parts.chores(Chore("b", 1, ticking("b"))),
        parts.chores(Chore("a", 1, ticking("a"))),
    ):
        assert await parts.settle() == 4
    assert left == {"a": 0, "b": 0}


async def test_parts_for_a_test_have_still_time_repeatable_chance_and_its_configuration(tmp_path: Path) -> None:
    one = Parts.for_test(tmp_path, {"sp": {"name": "sp3", "cpu_threads": 1}}, seed=7)
    two = Parts.for_test(tmp_path, seed=7)
    async with one, two:
        assert one.common.sp.name == "sp3"
        assert one.file.path_of("x") == tmp_path / "x"
        assert one.random.random() == two.random.random()
        assert isinstance(one.clock, ManualClock)
        assert await one.pool.run(lambda: 7) == 7
