"""A small put is one transaction: its row as it is after an upload, and its payload beside it, or nothing."""

import asyncio
from dataclasses import replace

import pytest

from sp.domain.errors import (
    ConditionalRequestConflict,
    InvalidRequest,
    ObjectNotCreated,
    PreconditionFailed,
    UploadInProgress,
)
from sp.domain.ids import JobId
from sp.domain.jobs import Job, JobFilter, Move, Precondition
from sp.domain.lifecycle import JobEvent
from sp.domain.lifecycle import JobState as S
from tests.contracts.spdb_world import ACCOUNT, TN, UP, World, order, stored_of

PAYLOAD = bytes(range(256)) * 40


async def test_a_small_put_leaves_the_row_that_an_upload_would_have_left(world: World) -> None:
    small = await world.put_small("small")
    large = await world.jobs.finish_upload(await world.begin("large"), stored_of(b"abc"), UP)
    assert small == await world.jobs.get(small.id)
    same = replace(small, id=large.id, object_name="large", row_version=large.row_version)
    assert same == large
    events = [(r.from_state, r.state, r.event) for r in await world.jobs.history(small.id)]
    assert events == [(r.from_state, r.state, r.event) for r in await world.jobs.history(large.id)]
    assert [r.seq for r in await world.jobs.history(small.id)] == [1, 2, 3]
    assert (await world.take_one()).id == small.id


async def test_a_small_put_is_what_its_name_means_with_its_payload_tags_and_headers(world: World) -> None:
    tagged = order()
    tagged.tags["colour"] = "green"
    job = await world.jobs.put_small(tagged, stored_of(PAYLOAD, behind="yes"), PAYLOAD, UP)
    entry = await world.objects.content("bucket", "photo")
    assert entry is not None
    assert (entry.job, entry.small, entry.tags) == (job, PAYLOAD, {"colour": "green"})
    assert job.headers == {"content-type": "image/png", "behind": "yes"}
    assert entry == await world.objects.head("bucket", "photo"), "but for the payload"
    by_job = await world.objects.content_of(job.id)
    assert by_job is not None
    assert (by_job.job, by_job.small) == (job, PAYLOAD)
    assert await world.small.get(job.id) == PAYLOAD
    assert await world.small.size(job.id) == len(PAYLOAD)


async def test_an_empty_put_has_no_payload_to_keep(world: World) -> None:
    job = await world.put_small(payload=b"")
    assert (job.payload_size, job.segment_checksums) == (0, ())
    assert await world.small.get(job.id) is None
    entry = await world.objects.content("bucket", "photo")
    assert entry is not None
    assert entry.small is None


async def test_what_is_not_kept_here_is_nothing(world: World) -> None:
    job = await world.put()
    for job_id in (job.id, JobId(5), JobId(2**63), JobId(10**18)):
        assert await world.small.get(job_id) is None
        assert await world.small.size(job_id) is None
        await world.small.delete(job_id)
    entry = await world.objects.content("bucket", "photo")
    assert entry is not None
    assert entry.small is None
    assert await world.objects.content("bucket", "none") is None
    assert await world.objects.content("bucket", "no\0name") is None
    assert await world.objects.content_of(JobId(2**63)) is None
    assert await world.objects.content_of(JobId(5)) is None


async def test_of_puts_of_one_name_the_last_one_acknowledged_is_what_it_means(world: World) -> None:
    began = await world.begin()
    for n in range(3):
        await world.put_small(payload=b"%d" % n)
    entry = await world.objects.content("bucket", "photo")
    assert entry is not None
    assert entry.small == b"2"
    assert entry.updated_at_ms == world.now() + 2, "acknowledged in one millisecond, and yet in an order"
    await world.jobs.finish_upload(began, stored_of(b"abc"), UP)
    entry = await world.objects.content("bucket", "photo")
    assert entry is not None
    assert (entry.job.id, entry.small) == (began.id, None)


async def test_only_one_of_many_small_puts_that_must_be_the_first_is_acknowledged(world: World) -> None:
    first = replace(order(), precondition=Precondition(absent=True))
    puts = (world.jobs.put_small(first, stored_of(b"%d" % n), b"%d" % n, UP) for n in range(8))
    outcomes = await asyncio.gather(*puts, return_exceptions=True)
    won = [outcome for outcome in outcomes if isinstance(outcome, Job)]
    assert len(won) == 1
    assert sum(isinstance(outcome, PreconditionFailed) for outcome in outcomes) == 7
    assert await world.small.page(-1, 10) == [won[0].id]
    absent = replace(order("other"), precondition=Precondition(etag="abc"))
    with pytest.raises(ConditionalRequestConflict):
        await world.jobs.put_small(absent, stored_of(b"x"), b"x", UP)


async def test_an_object_on_chain_is_put_once(world: World) -> None:
    uploading = await world.begin(object_id=7)
    with pytest.raises(UploadInProgress):
        await world.put_small(object_id=7)
    await world.jobs.fail_upload(uploading.id, "gone", UP)
    puts = (world.put_small(object_id=7, payload=b"%d" % n) for n in range(4))
    outcomes = await asyncio.gather(*puts, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Job"] + ["ObjectNotCreated"] * 3
    with pytest.raises(ObjectNotCreated):
        await world.begin(object_id=7)
    assert len(await world.small.page(-1, 10)) == 1


async def test_a_name_that_no_database_takes_leaves_nothing(world: World) -> None:
    for name in ("a\0b", "x" * 1025, ""):
        with pytest.raises(InvalidRequest):
            await world.put_small(name)
        with pytest.raises(InvalidRequest):
            await world.jobs.refuse_small(order(name), "bad", UP)
    assert await world.jobs.list(JobFilter()) == []


async def test_a_taken_id_is_drawn_again(world: World) -> None:
    taken = await world.put()
    world.ids = iter([taken.id, taken.id + 1, taken.id, taken.id + 2])
    assert (await world.put_small("other", PAYLOAD)).id == taken.id + 1
    assert await world.small.get(JobId(taken.id + 1)) == PAYLOAD
    assert await world.jobs.get(taken.id) == taken
    assert await world.jobs.refuse_small(order("third"), "bad", UP) == taken.id + 2


async def test_a_payload_goes_by_itself_or_with_its_job(world: World) -> None:
    first, second, third = [await world.put_small(name) for name in ("a", "b", "c")]
    assert await world.small.page(-1, 2) == [first.id, second.id]
    assert await world.small.page(second.id, 2) == [third.id]
    for _ in range(2):
        await world.small.delete(second.id)
    assert await world.small.page(-1, 9) == [first.id, third.id]
    assert (await world.jobs.get(second.id)).state is S.UPLOAD_OBJECT_DONE
    await world.objects.remove("bucket", "a", ACCOUNT, UP, "req")
    await world.jobs.move(first, Move(JobEvent.DISCONTINUED, TN, "deleted"))
    await world.jobs.collected(first.id)
    world.clock.advance(1)
    assert await world.jobs.forget([first.id]) == 1
    assert await world.small.page(-1, 9) == [third.id]


async def test_a_refused_put_is_a_record_without_pieces(world: World) -> None:
    kept = await world.put_small()
    job_id = await world.jobs.refuse_small(order(), "the digest did not match", UP)
    job = await world.jobs.get(job_id)
    assert (job.state, job.error, job.lease_owner) == (S.UPLOAD_OBJECT_ERROR, "the digest did not match", "")
    rows = await world.jobs.history(job_id)
    assert [(r.seq, r.state, r.event) for r in rows] == [
        (1, S(0), "created"),
        (2, S(1), "upload started"),
        (3, S(3), "upload failed"),
    ]
    assert rows[-1].reason == "the digest did not match"
    entry = await world.objects.head("bucket", "photo")
    assert entry is not None
    assert entry.job.id == kept.id
    assert await world.jobs.collectable(9) == []
    assert [job.id for job in await world.jobs.purgeable(0, 9)] == []
    world.clock.advance(1)
    assert await world.jobs.purge(0, 9) == 1
    assert await world.jobs.list(JobFilter()) == [kept]
