"""The simulation itself: it repeats itself, its processes die as real ones do, its checker sees what is wrong."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import weakref

import pytest
from sqlalchemy import delete

from sp.domain.errors import PieceNotFound
from sp.domain.ids import JobId, SegmentIndex
from sp.domain.pieces import EcPieceKey, SegmentKey
from spdb.models.objects import objects
from spdb.models.small_segments import small_segments
from tests.sim.chaos import Profile
from tests.sim.checker import Checker
from tests.sim.disk import Disk, SimStore
from tests.sim.loop import Owner, Quiescent, SimLoop
from tests.sim.run import in_calm, simulate
from tests.sim.world import World

EVERYTHING = Profile(*(True for _ in range(13)))
KEY = SegmentKey(JobId(1), SegmentIndex(0))


def test_one_seed_is_one_history() -> None:
    one, other = simulate(7, EVERYTHING, keep=True), simulate(7, EVERYTHING, keep=True)
    assert one.tail == other.tail
    assert one.digest == other.digest
    assert one.faults == other.faults
    assert one.faults


def test_two_seeds_are_two_histories() -> None:
    assert simulate(7, Profile()).digest != simulate(8, Profile()).digest


def test_another_process_with_other_hashes_of_strings_has_the_same_history() -> None:
    script = "from tests.sim.run import simulate; print(simulate(11).digest)"
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_nothing_of_a_world_is_left_when_it_is_over() -> None:
    """Thousands of them come in one process."""
    worlds = list[weakref.ref[World]]()

    async def look(world: World) -> None:
        worlds.append(weakref.ref(world))

    in_calm(look)
    assert [world() for world in worlds] == [None]


def test_hours_pass_in_no_time_and_timers_of_one_moment_keep_their_order() -> None:
    loop, order = SimLoop(), list[int]()

    async def sleeper(number: int) -> None:
        await asyncio.sleep(3600)
        order.append(number)

    async def all_of_them() -> None:
        await asyncio.gather(*(sleeper(number) for number in range(20)))

    loop.run_until_complete(loop.spawn(Owner("one"), all_of_them(), "all"))
    assert order == list(range(20))
    assert loop.time() == 3600
    loop.close()


def test_a_killed_process_runs_no_cleanup() -> None:
    loop, victim, cleaned = SimLoop(), Owner("victim"), list[str]()

    async def work() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            cleaned.append("finally")

    task = loop.spawn(victim, work(), "work")

    async def killer() -> None:
        await asyncio.sleep(1)
        loop.kill(victim)
        await asyncio.sleep(100)

    loop.run_until_complete(loop.spawn(Owner("killer"), killer(), "killer"))
    assert not task.done()
    assert cleaned == []
    loop.revive(victim)
    loop.run_until_complete(task)
    loop.close()


def test_a_frozen_process_goes_on_where_it_was() -> None:
    loop, sleeper, woke = SimLoop(), Owner("sleeper"), list[float]()

    async def work() -> None:
        await asyncio.sleep(1)
        woke.append(loop.time())

    task = loop.spawn(sleeper, work(), "work")
    sleeper.frozen = True

    async def thaw() -> None:
        await asyncio.sleep(50)
        loop.thaw(sleeper)
        await task

    loop.run_until_complete(loop.spawn(Owner("other"), thaw(), "thaw"))
    assert woke == [51]
    loop.close()


def test_waiting_for_what_nobody_will_do_is_noticed() -> None:
    loop = SimLoop()

    async def forever() -> None:
        await loop.create_future()

    task = loop.spawn(Owner("one"), forever(), "forever")
    with pytest.raises(Quiescent):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()


async def test_the_disk_forgets_what_was_not_committed() -> None:
    disk = Disk()
    store = SimStore(disk)
    async with store.writer(KEY) as writer:
        await writer.write(b"abc")
        assert disk.temporary_bytes == 3
        disk.restarted()  # the process died here
        assert disk.pieces == {}
        assert disk.temporary_bytes == 0
    with pytest.raises(PieceNotFound):
        await store.get(KEY)


@pytest.mark.parametrize(
    ("harm", "finding"),
    [
        ("lose a column", "lost at"),
        ("lose a segment silently", "nobody's"),
        ("forget a name", "unknown at its primary"),
        ("delete a live row", "alive"),
    ],
)
def test_the_checker_sees_what_is_wrong(harm: str, finding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same run, harmed right before it is checked."""
    true = Checker.check

    async def harmed(self: Checker) -> list[str]:
        for provider in self.world.providers:
            if harm == "lose a column":
                for key in [k for k in provider.disk.pieces if isinstance(k, EcPieceKey) and k.column == 2]:
                    del provider.disk.pieces[key]
            elif harm == "delete a live row":
                with provider.spdb.begin():
                    provider.spdb.execute(delete(small_segments))
            elif harm == "forget a name":
                with provider.spdb.begin():
                    provider.spdb.execute(delete(objects))
            else:
                provider.disk.pieces[SegmentKey(JobId(1), SegmentIndex(0))] = b"left over"
        return await true(self)

    monkeypatch.setattr(Checker, "check", harmed)
    outcome = simulate(1, Profile())
    assert any(finding in violation for violation in outcome.violations)
