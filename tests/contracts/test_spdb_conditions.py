"""Conditional puts, and what may change of an object: its tags, and its visibility before it is on chain."""

import asyncio

import pytest

from sp.domain.errors import ConditionalRequestConflict, NoSuchJob, PreconditionFailed, SpError
from sp.domain.ids import Checksum, JobId, ObjectId
from sp.domain.jobs import Job, Move, Precondition, StoredPayload
from sp.domain.ledger import Visibility
from sp.domain.lifecycle import JobEvent, JobState
from tests.contracts.spdb_world import ACCOUNT, LEASE_MS, PAYLOAD, TN, UP, World, order

OTHER = StoredPayload(3, Checksum(b"o" * 32), (Checksum(b"p" * 32),))
ABSENT = Precondition(absent=True)


async def etag(world: World) -> str | None:
    entry = await world.objects.head("bucket", "photo")
    return None if entry is None else entry.etag


async def finish(world: World, job: Job, precondition: Precondition) -> Job:
    return await world.jobs.finish_upload(job, OTHER, UP, precondition)


async def test_only_one_of_many_puts_that_must_be_the_first_is_acknowledged(world: World) -> None:
    jobs = [await world.begin() for _ in range(8)]
    outcomes = await asyncio.gather(*(finish(world, job, ABSENT) for job in jobs), return_exceptions=True)
    won = [outcome for outcome in outcomes if isinstance(outcome, Job)]
    assert len(won) == 1
    assert all(isinstance(outcome, PreconditionFailed) for outcome in outcomes if outcome is not won[0])
    entry = await world.objects.head("bucket", "photo")
    assert entry is not None
    assert entry.job == won[0]


async def test_of_many_puts_that_replace_one_content_only_one_is_acknowledged(world: World) -> None:
    await world.put()
    before = Precondition(etag=await etag(world) or "")
    jobs = [await world.begin() for _ in range(8)]
    outcomes = await asyncio.gather(*(finish(world, job, before) for job in jobs), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Job"] + ["PreconditionFailed"] * 7


async def test_a_refused_put_changes_nothing_and_can_still_be_failed(world: World) -> None:
    first = await world.put()
    job = await world.begin()
    with pytest.raises(PreconditionFailed):
        await finish(world, job, ABSENT)
    with pytest.raises(PreconditionFailed):
        await finish(world, job, Precondition(etag="other"))
    assert await world.jobs.get(job.id) == job
    entry = await world.objects.head("bucket", "photo")
    assert entry is not None
    assert entry.job == first
    await world.jobs.fail_upload(job.id, "condition", UP)
    assert (await world.jobs.get(job.id)).state is JobState.UPLOAD_OBJECT_ERROR


async def test_a_name_that_was_deleted_meanwhile_is_a_conflict_for_who_replaces_it(world: World) -> None:
    await world.put()
    job, condition = await world.begin(), Precondition(etag=await etag(world) or "")
    await world.objects.remove("bucket", "photo", ACCOUNT, UP, "req")
    with pytest.raises(ConditionalRequestConflict):
        await finish(world, job, condition)
    with pytest.raises(ConditionalRequestConflict):
        await finish(world, job, Precondition())
    await finish(world, job, ABSENT)
    assert await etag(world) == f"{OTHER.root.hex()[:32]}-1"


async def test_any_content_may_be_replaced_under_a_star(world: World) -> None:
    await world.put()
    await finish(world, await world.begin(), Precondition())
    assert await etag(world) == f"{OTHER.root.hex()[:32]}-1"


async def test_a_deletion_and_a_conditional_put_at_once_are_one_after_the_other(world: World) -> None:
    for n in range(10):
        name = f"photo-{n}"
        await world.put(name)
        job = await world.begin(name)
        removed, put = await asyncio.gather(
            world.objects.remove("bucket", name, ACCOUNT, UP, "req"),
            world.jobs.finish_upload(job, OTHER, UP, Precondition()),
            return_exceptions=True,
        )
        assert removed is True
        entry = await world.objects.head("bucket", name)
        assert entry is None, "either it replaced what the deletion then took, or there was nothing to replace"
        assert isinstance(put, Job | ConditionalRequestConflict)


async def test_tags_come_with_a_put_and_can_be_replaced_and_removed(world: World) -> None:
    tagged = order()
    tagged.tags.update({"colour": "gr\u00fcn", "empty": ""})
    job = await world.jobs.finish_upload(await world.jobs.begin_upload(tagged, UP, LEASE_MS), PAYLOAD, UP)

    async def tags() -> dict[str, str]:
        entry = await world.objects.head("bucket", "photo")
        assert entry is not None
        return entry.tags

    assert await tags() == {"colour": "gr\u00fcn", "empty": ""}
    for replaced in ({"a": "b"}, {"c": "d", "e": "f"}, {}, {"g": "h"}):
        await world.jobs.set_tags(job.id, replaced)
        assert await tags() == replaced
    assert (await world.jobs.get(job.id)).row_version == job.row_version, "a worker's job stays valid"
    await world.put()
    assert await tags() == {}, "an overwrite has its own"


async def test_tags_of_nothing_are_refused(world: World) -> None:
    for tags in ({"a": "b"}, {}):
        with pytest.raises(NoSuchJob):
            await world.jobs.set_tags(JobId(5), tags)


async def test_tags_go_with_their_job(world: World) -> None:
    job = await world.put()
    await world.jobs.set_tags(job.id, {"a": "b"})
    await world.objects.remove("bucket", "photo", ACCOUNT, UP, "req")
    (deletion,) = await world.deletions.due(10)
    await world.deletions.done(deletion.id)
    await world.jobs.collected(job.id)
    world.clock.advance(2)
    assert await world.jobs.purge(0, 10) == 1
    with pytest.raises(NoSuchJob):
        await world.jobs.get(job.id)


async def test_the_visibility_changes_until_a_task_node_is_at_work(world: World) -> None:
    job = await world.put()
    assert await world.jobs.set_visibility(job.id, Visibility.PUBLIC_READ)
    taken = await world.take_one()
    assert taken.visibility is Visibility.PUBLIC_READ
    assert not await world.jobs.set_visibility(job.id, Visibility.PRIVATE), "it may have sent the old one"
    await world.jobs.release(taken)
    assert await world.jobs.set_visibility(job.id, Visibility.PRIVATE)
    again = await world.take_one()
    created = await world.jobs.move(
        again, Move(JobEvent.ALLOCATION_STARTED, TN, object_id=ObjectId(7), version=0, release_lease=True)
    )
    assert created.visibility is Visibility.PRIVATE
    assert not await world.jobs.set_visibility(job.id, Visibility.PUBLIC_READ), "the chain's word counts now"
    with pytest.raises(NoSuchJob):
        await world.jobs.set_visibility(JobId(5), Visibility.PRIVATE)


@pytest.mark.parametrize(
    ("condition", "current", "refusal"),
    [
        (ABSENT, None, None),
        (ABSENT, "x", PreconditionFailed),
        (Precondition(), "x", None),
        (Precondition(), None, ConditionalRequestConflict),
        (Precondition(etag="x"), "x", None),
        (Precondition(etag="x"), "y", PreconditionFailed),
        (Precondition(etag="x"), None, ConditionalRequestConflict),
    ],
)
def test_a_precondition_holds_or_says_why_not(
    condition: Precondition, current: str | None, refusal: type[SpError] | None
) -> None:
    if refusal is None:
        condition.check(current)
        return
    with pytest.raises(refusal):
        condition.check(current)
