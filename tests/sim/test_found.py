"""What the simulation found, each by itself: see docs/simulation.md."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sp.domain.errors import StoreFailed
from sp.domain.ids import Address, JobId, SegmentIndex
from sp.domain.jobs import PutOrder
from sp.domain.ledger import Visibility
from sp.domain.messages import MsgCreateBucket
from sp.domain.pieces import SegmentKey
from tests.sim.checker import Checker
from tests.sim.disk import Disk, SimStore
from tests.sim.making import PARAMS
from tests.sim.run import in_calm
from tests.sim.workload import Name
from tests.sim.world import World
from uploader.segments import SegmentCutter, delete_uncounted

JOB = JobId(1)


def key(index: int) -> SegmentKey:
    return SegmentKey(JOB, SegmentIndex(index))


async def test_leaving_right_after_a_segments_last_byte_leaves_no_temporary_file() -> None:
    disk = Disk()
    async with SegmentCutter(SimStore(disk), JOB, 4) as cutter:
        await cutter.feed(b"whole")
    assert disk.temporary_bytes == 0


async def test_a_deletion_of_uncounted_segments_that_was_interrupted_is_completed_by_the_next() -> None:
    disk = Disk({key(index): b"piece" for index in range(6)})
    deletions: list[str] = []

    def fails_at_the_third(op: str) -> bool:
        deletions.append(op)
        return op == "delete" and deletions.count("delete") == 5  # each deletion asks twice

    with pytest.raises(StoreFailed):
        await delete_uncounted(SimStore(disk, fails=fails_at_the_third), key)
    assert 0 < len(disk.pieces) < 6
    await delete_uncounted(SimStore(disk), key)
    assert disk.pieces == {}


@pytest.mark.parametrize("payload", [b"", b"some bytes"], ids=["empty", "not empty"])
def test_a_deletion_that_overtakes_the_creation_on_chain_leaves_nothing_there(payload: bytes) -> None:
    async def put_and_delete(world: World) -> None:
        primary, account = world.providers[0], Address(world.plan.account.address)
        await world.execute(
            world.plan.account, MsgCreateBucket(account, "bucket", Visibility.PRIVATE, primary.operator)
        )
        name = Name("bucket", "name", primary)
        world.node.faults.pause_blocks = True

        async def body() -> AsyncIterator[bytes]:
            if payload:
                yield payload

        async def work() -> None:
            await primary.uploader.put(PutOrder("bucket", "name", account, len(payload), PARAMS), body())
            while not len(world.node.pool):  # noqa: ASYNC110 - of virtual time
                await asyncio.sleep(0.1)
            await primary.tasknode.delete_object("bucket", "name", account, "request")

        assert primary.process is not None
        await world.loop.spawn(primary.process, work(), "work")
        await asyncio.sleep(120.0)
        world.node.faults.pause_blocks = False
        world.node.set_faults(world.node.faults)
        await asyncio.sleep(240.0)
        assert world.node.state.objects == {}
        assert await Checker(world, [name]).check() == []

    in_calm(put_and_delete)
