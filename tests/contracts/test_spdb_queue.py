"""Background work is taken by lease: each due job by one task node, the puts of one name one after the other."""

import asyncio

import pytest

from sp.domain.errors import IllegalMove, JobMoved
from sp.domain.jobs import Job, Move
from sp.domain.lifecycle import JobEvent, JobState
from spdb.statements.queue import PAGE, PUT_OFF_MS
from tests.contracts.spdb_world import LEASE_MS, OTHER_TN, PAYLOAD, TN, World

E, S = JobEvent, JobState


async def take(world: World, owner: str = TN, limit: int = 10) -> list[Job]:
    return await world.jobs.take(owner, LEASE_MS, limit)


async def ids(world: World, owner: str = TN, limit: int = 10) -> list[int]:
    return [job.id for job in await take(world, owner, limit)]


async def given_up(world: World, name: str = "photo") -> Job:
    job = await world.lead(await world.put(name), S.ALLOC_SECONDARY_DOING)
    return await world.jobs.move(job, Move(E.ALLOCATION_FAILED, TN, "nobody", attempts=40, given_up=True))


async def test_due_jobs_are_taken_oldest_first_each_once(world: World) -> None:
    puts = []
    for name in "abc":
        puts.append(await world.put(name))
        world.clock.advance(0.001)
    await world.begin("uploading")
    taken = await take(world, limit=2)
    assert [job.id for job in taken] == [job.id for job in puts[:2]]
    assert taken[0] == await world.jobs.get(puts[0].id)
    assert (taken[0].lease_owner, taken[0].lease_until_ms) == (TN, world.now() + LEASE_MS)
    assert taken[0].row_version == puts[0].row_version + 1
    assert await ids(world, OTHER_TN) == [puts[2].id]
    assert await ids(world) == []


async def test_task_nodes_that_take_at_once_share_the_jobs_without_overlap(world: World) -> None:
    puts = [await world.put(f"n{i}") for i in range(12)]
    shares = await asyncio.gather(*(ids(world, f"tn{i}", 3) for i in range(6)))
    taken = [job_id for share in shares for job_id in share]
    assert len(taken) == len(set(taken))
    rest = await ids(world, "last", 100)  # a taker skips rows another is just leasing
    assert sorted(taken + rest) == [job.id for job in puts]


async def test_a_job_is_not_taken_before_its_next_attempt_nor_when_given_up_or_final(world: World) -> None:
    later = await world.lead(await world.put("later"), S.ALLOC_SECONDARY_DOING)
    at = world.now() + 7_000
    await world.jobs.move(later, Move(E.ALLOCATION_FAILED, TN, "no", next_attempt_at_ms=at))
    await given_up(world, "given up")
    await world.lead(await world.put("sealed"), S.SEAL_OBJECT_DONE)
    assert await ids(world) == []
    assert await world.jobs.next_due_ms() == at
    world.clock.advance(7)
    assert await ids(world) == [later.id]


async def test_an_expired_lease_is_taken_over_and_the_history_says_so(world: World) -> None:
    await world.put()
    held = await world.take_one(TN)
    world.clock.advance(LEASE_MS / 1000 - 0.001)
    assert await ids(world, OTHER_TN) == []
    world.clock.advance(0.001)
    taken = await world.take_one(OTHER_TN)
    assert taken.lease_owner == OTHER_TN
    note = (await world.jobs.history(held.id))[-1]
    assert (note.event, note.actor, note.state) == ("lease taken over", OTHER_TN, S.UPLOAD_OBJECT_DONE)
    assert TN in note.reason
    with pytest.raises(JobMoved):
        await world.jobs.move(held, Move(E.ALLOCATION_STARTED, TN))
    assert not await world.jobs.renew_lease(held.id, TN, LEASE_MS)
    assert (await world.jobs.move(taken, Move(E.ALLOCATION_STARTED, OTHER_TN))).lease_owner == OTHER_TN


async def test_a_renewed_lease_is_not_taken_over_and_its_job_can_still_be_moved(world: World) -> None:
    await world.put()
    held = await world.take_one()
    world.clock.advance(LEASE_MS / 2000)
    assert await world.jobs.renew_lease(held.id, TN, LEASE_MS)
    assert not await world.jobs.renew_lease(held.id, OTHER_TN, LEASE_MS)
    world.clock.advance(LEASE_MS / 2000)
    assert await ids(world, OTHER_TN) == []
    moved = await world.jobs.move(held, Move(E.ALLOCATION_STARTED, TN))
    assert moved.lease_until_ms == world.now() + LEASE_MS / 2
    assert moved == await world.jobs.get(held.id)
    assert await world.jobs.next_due_ms() == moved.lease_until_ms


async def test_an_expired_lease_that_nobody_took_over_can_be_renewed(world: World) -> None:
    await world.put()
    held = await world.take_one()
    world.clock.advance(LEASE_MS / 1000 + 1)
    assert await world.jobs.renew_lease(held.id, TN, LEASE_MS)
    assert await ids(world, OTHER_TN) == []


async def test_a_released_job_is_due_again_at_its_next_attempt(world: World) -> None:
    await world.put()
    held = await world.take_one()
    await world.jobs.release(held)
    await world.jobs.release(held)
    assert await ids(world, OTHER_TN) == [held.id]
    await world.jobs.release(held)  # it is the other's now
    assert (await world.jobs.get(held.id)).lease_owner == OTHER_TN
    with pytest.raises(JobMoved):
        await world.jobs.move(held, Move(E.ALLOCATION_STARTED, TN))


async def test_a_move_that_releases_the_lease_makes_the_job_due_when_it_says(world: World) -> None:
    await world.put()
    job = await world.lead(await world.take_one(), S.ALLOC_SECONDARY_DOING)
    at = world.now() + 1_000
    await world.jobs.move(job, Move(E.ALLOCATION_FAILED, TN, "no", next_attempt_at_ms=at, release_lease=True))
    assert await world.jobs.next_due_ms() == at
    world.clock.advance(1)
    assert await ids(world, OTHER_TN) == [job.id]


async def test_a_postponed_job_waits_and_one_without_a_next_attempt_is_given_up(world: World) -> None:
    await world.put()
    job = await world.take_one()
    at = world.now() + 1_000
    waiting = await world.jobs.postpone(job, "chain is down", attempts=1, next_attempt_at_ms=at, actor=TN)
    assert waiting == await world.jobs.get(job.id)
    assert (waiting.state, waiting.lease_owner, await ids(world)) == (job.state, "", [])
    world.clock.advance(1)
    again = await world.take_one()
    ended = await world.jobs.postpone(again, "chain is down", attempts=2, next_attempt_at_ms=None, actor=TN)
    assert ended.given_up
    assert await world.jobs.next_due_ms() is None
    assert (await world.jobs.history(job.id))[-1].reason == "chain is down"


async def test_puts_of_one_name_are_taken_one_at_a_time_in_the_order_of_their_acknowledgement(world: World) -> None:
    began_first = await world.begin()
    acknowledged_first = await world.put()
    await world.jobs.finish_upload(began_first, PAYLOAD, "uploader")
    elsewhere = await world.put("elsewhere")
    assert sorted(await ids(world)) == sorted([acknowledged_first.id, elsewhere.id])
    assert await ids(world, OTHER_TN) == []
    running = await world.jobs.get(acknowledged_first.id)
    await world.lead(running, S.SEAL_OBJECT_DONE)
    assert await ids(world) == [began_first.id]  # at once, not after PUT_OFF_MS


async def test_a_given_up_job_lets_the_next_of_its_name_go(world: World) -> None:
    await world.put()
    second = await world.put()
    first = await world.lead(await world.take_one(), S.ALLOC_SECONDARY_DOING)
    await world.jobs.move(
        first, Move(E.ALLOCATION_FAILED, TN, "no", next_attempt_at_ms=world.now(), release_lease=True)
    )
    again = await world.take_one()  # an error that will be tried again holds its successor up
    assert again.id == first.id
    retried = await world.jobs.move(again, Move(E.ALLOCATION_STARTED, TN))
    await world.jobs.move(retried, Move(E.ALLOCATION_FAILED, TN, "no", given_up=True))
    assert await ids(world) == [second.id]


async def test_a_crowd_of_one_name_does_not_hide_other_jobs_and_is_not_read_again_at_once(world: World) -> None:
    await world.put_many(["hot"] * (2 * PAGE + 10), "bucket")
    cold = await world.put("cold")
    taken = await take(world, limit=5)
    assert [job.object_name for job in taken] == ["hot", "cold"]
    assert taken[1].id == cold.id
    assert await world.jobs.next_due_ms() == world.now() + PUT_OFF_MS
    world.clock.advance(PUT_OFF_MS / 1000)
    assert await ids(world) == []


async def test_no_job_of_a_name_is_taken_while_its_deletion_is_pending(world: World) -> None:
    old = await world.put()
    assert await world.objects.remove("bucket", "photo", old.account, "gateway", "req")
    new = await world.put()
    assert await ids(world) == []
    (deletion,) = await world.deletions.due(10)
    await world.deletions.done(deletion.id)
    assert await ids(world) == [new.id]


async def test_a_job_that_was_given_up_goes_on_when_asked_with_its_attempts_counted_anew(world: World) -> None:
    job = await given_up(world)
    assert job.next_attempt_at_ms is None
    again = await world.jobs.retry_now(job.id, "alice")
    assert again == await world.jobs.get(job.id)
    assert (again.given_up, again.attempts, again.next_attempt_at_ms) == (False, 0, world.now())
    assert (await world.jobs.history(job.id))[-1].actor == "alice"
    assert await ids(world) == [job.id]


async def test_a_waiting_job_goes_on_now_when_asked_and_keeps_its_attempts(world: World) -> None:
    job = await world.lead(await world.put(), S.ALLOC_SECONDARY_DOING)
    at = world.now() + 60_000
    await world.jobs.move(job, Move(E.ALLOCATION_FAILED, TN, "no", attempts=2, next_attempt_at_ms=at))
    assert (await world.jobs.retry_now(job.id)).attempts == 2
    assert await ids(world) == [job.id]


async def test_asking_for_a_retry_of_a_job_under_work_does_not_disturb_the_worker(world: World) -> None:
    await world.put()
    held = await world.take_one()
    assert await world.jobs.retry_now(held.id) == held
    await world.jobs.move(held, Move(E.ALLOCATION_STARTED, TN))


@pytest.mark.parametrize("state", [S.SEAL_OBJECT_DONE, S.OBJECT_DISCONTINUED])
async def test_a_final_job_is_not_retried(world: World, state: JobState) -> None:
    job = await world.lead(await world.put(), state)
    with pytest.raises(IllegalMove):
        await world.jobs.retry_now(job.id)


async def test_an_upload_is_not_retried_by_the_store(world: World) -> None:
    job = await world.begin()
    with pytest.raises(IllegalMove):
        await world.jobs.retry_now(job.id)


async def test_a_put_that_a_later_one_has_overtaken_is_not_retried(world: World) -> None:
    old = await given_up(world)
    await world.put()
    await world.take_one()
    with pytest.raises(IllegalMove):
        await world.jobs.retry_now(old.id)


async def test_a_put_whose_successor_still_waits_is_retried_before_it(world: World) -> None:
    old = await given_up(world)
    await world.put()
    await world.jobs.retry_now(old.id)
    assert await ids(world) == [old.id]


async def test_the_backlog_counts_what_waits_and_no_further_than_asked(world: World) -> None:
    assert await world.jobs.backlog(10) == 0
    for number in range(4):
        await world.put(f"k{number}")
    assert await world.jobs.backlog(10) == 4
    assert await world.jobs.backlog(3) == 3
