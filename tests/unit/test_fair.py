"""In which order a pool's threads take what waits for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from piecestore.disk import open_disk_store
from sp.domain.ids import JobId, SegmentIndex
from sp.domain.pieces import SegmentKey
from sp.runtime.fair import PATIENCE, FairExecutor
from sp.runtime.log import bound
from sp.runtime.pool import CpuPool
from sp.runtime.turns import Turns
from sp.runtime.work import Work, current_share, own, working


class OneThread:
    """Holds the only thread back until everything is submitted; `order` is what it did then."""

    def __init__(self, background_threads: int = 1) -> None:
        self.executor = FairExecutor(1, background_threads)
        self.order: list[str] = []
        self._go_on = threading.Event()
        self._began = threading.Event()
        self._futures: list[Future[Any]] = [self.executor.submit(self._hold)]
        assert self._began.wait(10)

    def _hold(self) -> None:
        self._began.set()
        assert self._go_on.wait(10)

    def add(self, name: str, work: Work = Work.FOREGROUND, owner: str = "", flow: str = "") -> Future[None]:
        with working(work, owner, flow):
            future = self.executor.submit(self.order.append, name)
        self._futures.append(future)
        return future

    def done(self) -> list[str]:
        self._go_on.set()
        for future in self._futures:
            if not future.cancelled():
                future.result(10)
        self.executor.shutdown()
        return self.order


def test_uploads_of_one_account_come_in_turn() -> None:
    thread = OneThread()
    for number in range(4):
        thread.add(f"large {number}", flow="large")
    thread.add("small", flow="small")
    assert thread.done() == ["large 0", "small", "large 1", "large 2", "large 3"]


def test_accounts_come_in_turn_however_many_uploads_each_has() -> None:
    thread = OneThread()
    for number in range(50):
        thread.add(f"crowd {number}", owner="crowd", flow=str(number))
    thread.add("single 0", owner="single")
    thread.add("single 1", owner="single")
    assert thread.done()[:5] == ["crowd 0", "single 0", "crowd 1", "single 1", "crowd 2"]


def test_foreground_goes_before_background_whoever_came_first() -> None:
    thread = OneThread()
    thread.add("scrub", Work.UPKEEP)
    thread.add("replicate", Work.REPLICATION)
    thread.add("put")
    assert thread.done() == ["put", "replicate", "scrub"]


def test_background_that_was_passed_over_often_enough_goes_next() -> None:
    thread = OneThread()
    for number in range(2):
        thread.add(f"scrub {number}", Work.UPKEEP)
        thread.add(f"replicate {number}", Work.REPLICATION)
    for number in range(200):
        thread.add(f"put {number}")
    order = thread.done()
    patience = PATIENCE[Work.REPLICATION]
    assert order.index("replicate 0") == patience
    assert order.index("replicate 1") == 2 * patience + 1
    assert PATIENCE[Work.UPKEEP] <= order.index("scrub 0") <= PATIENCE[Work.UPKEEP] + 2
    assert order.index("scrub 1") <= 2 * PATIENCE[Work.UPKEEP] + 4


def test_one_thread_is_left_to_the_foreground_and_none_is_lost_afterwards() -> None:
    executor = FairExecutor(4, 3)
    go_on, began = threading.Event(), threading.Semaphore(0)

    def hold() -> None:
        began.release()
        assert go_on.wait(10)

    with working(Work.UPKEEP):
        held = [executor.submit(hold) for _ in range(8)]
    for _ in range(3):
        assert began.acquire(timeout=10)
    assert executor.submit(lambda: "served").result(10) == "served"
    assert not began.acquire(blocking=False), "the fourth thread does no background work"
    go_on.set()
    for future in held:
        future.result(10)
    with working(Work.REPLICATION):
        assert [executor.submit(int).result(10) for _ in range(20)] == [0] * 20
    assert executor.pending == 0
    executor.shutdown()


def test_a_cancelled_call_is_not_made_and_holds_up_nobody() -> None:
    thread = OneThread()
    gone = thread.add("gone", Work.UPKEEP)
    thread.add("stays", Work.UPKEEP)
    assert gone.cancel()
    assert thread.done() == ["stays"]
    assert thread.executor.pending == 0


def test_what_a_call_raises_comes_out_of_its_future() -> None:
    executor = FairExecutor(1, 1)
    with pytest.raises(ZeroDivisionError):
        executor.submit(lambda: 1 // 0).result(10)
    executor.shutdown()
    with pytest.raises(RuntimeError):
        executor.submit(int)


def test_calls_that_have_not_begun_are_cancelled_by_the_end() -> None:
    thread = OneThread()
    waiting = [thread.add("never", work) for work in Work]
    ending = threading.Thread(target=thread.executor.shutdown)
    ending.start()
    for future in waiting:
        with pytest.raises(BaseException):  # noqa: B017, PT011 - concurrent.futures.CancelledError is no Exception here
            future.result(10)
    thread._go_on.set()
    ending.join(10)
    assert not ending.is_alive()
    assert thread.order == []


async def test_a_crowd_of_background_calls_does_not_take_the_foreground_s_places_in_the_pool() -> None:
    go_on = threading.Event()
    async with CpuPool(2) as pool:
        with working(Work.REPLICATION):
            crowd = [asyncio.create_task(pool.run(go_on.wait)) for _ in range(100)]
        assert await asyncio.wait_for(pool.run(int, "7"), 10) == 7
        go_on.set()
        await asyncio.gather(*crowd)


async def test_a_store_works_for_whom_its_caller_works(tmp_path: Any) -> None:
    shares = []

    class Watched(FairExecutor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            shares.append(current_share())
            return super().submit(fn, *args, **kwargs)

    executor: Executor = Watched(2, 1)
    async with open_disk_store(tmp_path, executor) as store:
        shares.clear()
        with working(Work.REPLICATION, owner="alice"), bound(request_id="r1"):
            await store.put(SegmentKey(JobId(1), SegmentIndex(0)), bytes(3 << 20))
    assert {(share.work, share.owner, share.flow) for share in shares} == {(Work.REPLICATION, "alice", "r1")}
    executor.shutdown()


async def test_what_a_task_starts_is_done_for_whom_the_task_works() -> None:
    async def asked() -> str:
        return current_share().owner

    own("alice")
    assert await asyncio.create_task(asked()) == "alice"
    with working(owner="bob"):
        started = asyncio.create_task(asked())
    assert (await started, current_share().owner) == ("bob", "alice")


def test_a_line_forgets_who_has_left_it() -> None:
    line: Turns[int] = Turns()
    for owner in ("a", "b"):
        for item in (1, 2):
            line.add(owner, "flow", item)
    line.remove("a", "flow", 1)
    assert line.head() == 2
    assert [line.take() for _ in range(len(line))] == [2, 1, 2]
    assert not line
    assert not line._owners
