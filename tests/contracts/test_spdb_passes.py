"""Walking over everything again and again: pages, places, one walker at a time; and forgetting old rows."""

from __future__ import annotations

from sp.domain.lifecycle import JobState
from spdb.passes import HELD_MS, Passes, Place
from tests.contracts.spdb_world import UP, World

PAUSE_MS = 10_000


def passes(world: World, name: str = "scrub") -> Passes:
    return Passes(world.cursors, world.clock, name, PAUSE_MS)


async def walked(world: World, limit: int, bucket: str = "") -> list[str]:
    found: list[str] = []
    at: int | None = 0
    while at is not None:
        page, at = await world.jobs.walk(at, limit, bucket)
        found += [job.object_name for job in page]
    return found


async def test_a_walk_shows_every_stored_put_once_whatever_the_page(world: World) -> None:
    names = [f"n{number}" for number in range(7)]
    for name in names:
        await world.put(name)
    for limit in (1, 2, 7, 100):
        assert await walked(world, limit) == names


async def test_a_walk_passes_over_uploads_under_way_and_garbage_a_page_at_a_time(world: World) -> None:
    await world.begin("under way")
    for number in range(5):
        job = await world.begin(f"failed {number}")
        await world.jobs.fail_upload(job.id, "broken", UP)
    await world.put("kept")
    page, at = await world.jobs.walk(0, 3)
    assert page == []
    assert at is not None
    assert await walked(world, 3) == ["kept"]


async def test_a_walk_over_one_bucket_sees_no_other(world: World) -> None:
    for bucket in ("a", "b", "a"):
        await world.put(f"in {bucket}", bucket=bucket)
    assert await walked(world, 1, "a") == ["in a", "in a"]
    assert await walked(world, 1, "nosuch") == []


async def test_a_pass_goes_on_where_it_was_also_in_another_process(world: World) -> None:
    first = passes(world)
    assert await first.begin() == Place()
    await first.reached(Place(7, 2, 3))
    assert await first.begin() == Place(7, 2, 3)
    await first.release()
    assert await passes(world).begin() == Place(7, 2, 3)


async def test_after_a_pass_there_is_a_pause(world: World) -> None:
    walker = passes(world)
    await walker.begin()
    await walker.reached(Place(5))
    await walker.ended()
    assert await walker.last_ms() == world.now()
    assert await walker.begin() is None
    world.clock.advance(PAUSE_MS / 1000)
    assert await walker.begin() == Place()


async def test_one_process_walks_and_the_others_wait_until_it_has_vanished(world: World) -> None:
    one, other = passes(world), passes(world)
    assert await one.begin() == Place()
    assert await other.begin() is None
    assert await passes(world, "another walk").begin() == Place()
    world.clock.advance(HELD_MS / 1000 - 1)
    assert await one.begin() == Place()  # renews
    world.clock.advance(2)
    assert await other.begin() is None
    world.clock.advance(HELD_MS / 1000)
    assert await other.begin() == Place()
    assert await one.begin() is None
    await one.release()
    assert await passes(world).begin() is None


async def test_a_value_is_swapped_only_for_the_one_that_is_expected(world: World) -> None:
    assert not await world.cursors.swap("c", 5, 6)
    assert await world.cursors.swap("c", 0, 6)
    assert not await world.cursors.swap("c", 0, 7)
    assert await world.cursors.swap("c", 6, 7)
    assert await world.cursors.get("c") == 7


async def test_only_what_was_collected_is_forgotten(world: World) -> None:
    live = await world.lead(await world.put("live"), JobState.SEAL_OBJECT_DONE)
    dead = await world.begin("dead")
    await world.jobs.fail_upload(dead.id, "broken", UP)
    assert await world.jobs.forget([live.id, dead.id]) == 0
    await world.jobs.collected(dead.id)
    assert await world.jobs.purgeable(1000, 10) == []
    world.clock.advance(2)
    assert [job.id for job in await world.jobs.purgeable(1000, 10)] == [dead.id]
    assert await world.jobs.forget([live.id, dead.id]) == 1
    assert (await world.jobs.get(live.id)).id == live.id


async def test_an_object_is_found_by_its_id_and_version(world: World) -> None:
    job = await world.allocating(object_id=77)
    assert job.object_id is not None
    entry = await world.objects.by_object_id(job.object_id, 0)
    assert entry is not None
    assert entry.job.id == job.id
    assert await world.objects.by_object_id(job.object_id, 1) is None
