"""Work does not grow with what is finished, nor with what waits."""

import time
from collections.abc import Awaitable, Callable
from itertools import count

import pytest

from sp.domain.approvals import ObjectRef
from sp.domain.ids import Checksum, ObjectId, RedundancyIndex, SegmentIndex
from sp.domain.jobs import JobFilter, ReceivedPiece
from sp.domain.lifecycle import JobState
from sp.domain.params import StorageParams
from tests.contracts.spdb_crowd import FIRST_ID, copies, group_copies
from tests.contracts.spdb_world import LEASE_MS, World, provider

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MUCH_SLOWER = 5.0
"""A walk over the rows would be hundreds of times slower; noise is a factor of two."""


async def best_s(work: Callable[[], Awaitable[object]], runs: int = 15) -> float:
    """The quickest of some runs, in seconds."""
    spans = []
    for _ in range(runs):
        started = time.perf_counter()
        await work()
        spans.append(time.perf_counter() - started)
    return min(spans)


async def slower(
    few: dict[str, float], measure: Callable[[], Awaitable[dict[str, float]]], attempts: int = 5
) -> dict[str, float]:
    """How many times as long as in `few` the same work takes now, where that is much. Measured again while anything
    looks slow: another process that had the machine for a moment goes away, a walk over the rows does not."""
    many = await measure()
    for _ in range(attempts - 1):
        if not any(many[name] > MUCH_SLOWER * few[name] for name in few):
            break
        many = {name: min(many[name], seconds) for name, seconds in (await measure()).items()}
    print({name: f"{many[name] * 1000:.2f} ms, x{many[name] / few[name]:.1f}" for name in few})
    return {name: many[name] / few[name] for name in few if many[name] > MUCH_SLOWER * few[name]}


async def measured(world: World) -> dict[str, float]:
    async def take() -> None:
        assert len(await world.jobs.take("tn", LEASE_MS, 10)) == 10

    return {
        "take": await best_s(take),
        "next_due": await best_s(world.jobs.next_due_ms),
        "begin": await best_s(lambda: world.begin("fresh")),
        "put": await best_s(lambda: world.put("fresh")),
        "head": await best_s(lambda: world.objects.head("bucket", "queued/3")),
        "list": await best_s(lambda: world.objects.list("bucket", limit=100)),
        "list the end": await best_s(lambda: world.objects.list("bucket", marker="queued/2", limit=100)),
        "roll up": await best_s(lambda: world.objects.list("bucket", delimiter="/", limit=100)),
        "jobs": await best_s(lambda: world.jobs.list(JobFilter())),
        "jobs by state": await best_s(lambda: world.jobs.list(JobFilter(states=(JobState.UPLOAD_OBJECT_DONE,)))),
        "jobs of a bucket": await best_s(lambda: world.jobs.list(JobFilter(bucket="other"))),
        "walk": await best_s(lambda: world.jobs.walk(0, 32)),
        "walk a bucket": await best_s(lambda: world.jobs.walk(0, 32, "other")),
        "walk far in": await best_s(lambda: world.jobs.walk(2 * FIRST_ID + 150, 32)),
        "newest of a name": await best_s(lambda: world.jobs.newest_of("bucket", "queued/7")),
        "failed jobs": await best_s(lambda: world.jobs.list(JobFilter(failed_only=True))),
        "collectable": await best_s(lambda: world.jobs.collectable(10)),
        "expired": await best_s(lambda: world.jobs.expired_uploads(10)),
    }


async def test_a_hundred_thousand_finished_and_ten_thousand_waiting_jobs_slow_nothing_down(world: World) -> None:
    queued = await world.put("template/queued")
    await world.put("lonely", bucket="other")
    sealed = await world.lead(await world.put("template/sealed"), JobState.SEAL_OBJECT_DONE)
    await world.db.write(copies(queued, 300, FIRST_ID, "queued/"))
    await world.db.write(copies(sealed, 300, 2 * FIRST_ID, "sealed/"))
    few = await measured(world)
    await world.db.write(copies(queued, 10_000, 3 * FIRST_ID, "waiting/"))
    await world.db.write(copies(sealed, 100_000, 4 * FIRST_ID, "finished/"))
    assert await slower(few, lambda: measured(world)) == {}
    assert (await world.jobs.counts())[JobState.SEAL_OBJECT_DONE] == 100_301
    page = await world.objects.list("bucket", delimiter="/")
    assert page.common_prefixes == ("finished/", "queued/", "sealed/", "template/", "waiting/")


async def test_thousands_of_puts_of_one_name_are_worked_off_without_reading_them_all_each_time(world: World) -> None:
    await world.put_many(["hot"] * 2_000, "bucket")
    first = await world.take_one()
    assert await world.jobs.take("tn", LEASE_MS, 10) == []

    async def next_of_name() -> None:
        nonlocal first
        await world.lead(first, JobState.OBJECT_DISCONTINUED)
        first = await world.take_one()

    crowded = await best_s(next_of_name)
    assert crowded < 0.1
    assert (await world.jobs.counts())[JobState.OBJECT_DISCONTINUED] == 15


async def receive(world: World, object_id: int) -> None:
    """A group from its first piece to its seal."""
    subject = ObjectRef(ObjectId(object_id), 0, "others", f"photo {object_id}", 100, StorageParams())
    key, checksum = (subject.object_id, 0, RedundancyIndex(0)), Checksum(b"c" * 32)
    await world.received.open(subject, RedundancyIndex(0), provider(1))
    await world.received.add_pieces(*key, [ReceivedPiece(SegmentIndex(0), checksum, 25)])
    await world.received.sign(*key, checksum, [checksum])
    await world.received.mark_sealed(*key)


async def test_a_hundred_thousand_groups_of_others_slow_nothing_down(world: World) -> None:
    fresh = count(10 * FIRST_ID)

    async def measured_groups(middle: int) -> dict[str, float]:
        after = (ObjectId(middle), 0, RedundancyIndex(0))
        return {
            "receive": await best_s(lambda: receive(world, next(fresh))),
            "get": await best_s(lambda: world.received.get(ObjectId(middle), 0)),
            "unsealed": await best_s(lambda: world.received.unsealed(world.now(), 64)),
            "scrub a page": await best_s(lambda: world.received.list(32, after)),
        }

    await receive(world, 1)
    await world.db.write(group_copies(1, 100))
    few = await measured_groups(50)
    await world.db.write(group_copies(101, 100_000))
    assert await slower(few, lambda: measured_groups(50_000)) == {}
    page = await world.received.list(2, (ObjectId(50_000), 0, RedundancyIndex(0)))
    assert [group.object.object_id for group in page] == [50_001, 50_002]
