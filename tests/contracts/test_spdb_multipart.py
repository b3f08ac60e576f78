"""Multipart uploads: parts come, are replaced and die; an upload ends once, with its object or without."""

import asyncio
import hashlib
import itertools
from dataclasses import replace

import pytest

from sp.domain.errors import (
    InvalidPart,
    InvalidRequest,
    NoSuchUpload,
    PreconditionFailed,
    UploadCompleting,
    UploadMoved,
)
from sp.domain.ids import Checksum, UploadId
from sp.domain.jobs import ETAG_HEADER, Precondition
from sp.domain.lifecycle import JobState
from sp.domain.multipart import (
    Assembly,
    CompletedPart,
    Completion,
    Part,
    PartState,
    Upload,
    UploadOrder,
    UploadsQuery,
    UploadState,
)
from spdb.database import Database, open_database
from spdb.multipart import MultipartUploads
from tests.contracts.spdb_world import ACCOUNT, LEASE_MS, PAYLOAD, UP, World, order

HOUR = 3_600_000


class Multipart(World):
    """The world's clock and jobs, and uploads."""

    def __post_init__(self) -> None:
        super().__post_init__()
        upload_ids = itertools.count(2**60)
        self.uploads = MultipartUploads(self.db, self.clock, lambda: UploadId(next(upload_ids)))

    async def create(self, name: str = "photo", bucket: str = "bucket") -> Upload:
        headers = {"content-type": "image/png", "x-amz-meta-name": "Grüße"}
        return await self.uploads.create(UploadOrder(bucket, name, ACCOUNT, headers=headers, tags={"a": "b"}))

    async def stage(self, upload: Upload, number: int) -> Part:
        return await self.uploads.begin_part(upload.id, number, 16, LEASE_MS)

    async def store(self, upload: Upload, number: int, payload: bytes = b"12345") -> Part:
        part = stored(await self.stage(upload, number), payload)
        await self.uploads.finish_part(part)
        return part

    async def claim(self, upload: Upload, *parts: Part) -> tuple[Upload, Assembly]:
        claimed, assembly = await self.uploads.claim(upload.id, listed(*parts), 1, LEASE_MS)
        assert assembly is not None
        return claimed, assembly

    async def complete(self, upload: Upload, *parts: Part, condition: Precondition | None = None) -> Upload:
        claimed, assembly = await self.claim(upload, *parts)
        await self.finish(claimed, assembly, condition)
        return await self.uploads.find(upload.id)

    async def finish(self, claimed: Upload, assembly: Assembly, condition: Precondition | None = None) -> None:
        put = replace(order(claimed.order.object_name), headers=assembly.headers)
        job = await self.jobs.begin_upload(put, UP, LEASE_MS)
        await self.uploads.complete(claimed, job, PAYLOAD, UP, condition)

    async def dead(self) -> set[tuple[int, int]]:
        return {(part.upload_id, part.attempt) for part in await self.uploads.dead_parts(100)}


def stored(part: Part, payload: bytes = b"12345") -> Part:
    return replace(
        part,
        state=PartState.STORED,
        size=len(payload),
        md5=hashlib.md5(payload).digest(),
        checksums={"x-amz-checksum-crc32": "AAAAAA=="},
        piece_checksums=(Checksum(hashlib.sha256(payload).digest()),),
        stored_at_ms=5,
    )


def listed(*parts: Part) -> Completion:
    return Completion(tuple(CompletedPart(part.number, part.etag) for part in parts))


@pytest.fixture
def world(db: Database) -> Multipart:
    return Multipart(db)


async def test_an_upload_and_its_parts_are_kept_as_they_were_given(world: Multipart, spdb_url: str) -> None:
    upload = await world.create()
    part = await world.store(upload, 3)
    async with open_database(spdb_url) as again:
        uploads = Multipart(again).uploads
        assert await uploads.find(upload.id) == upload
        assert await uploads.parts(upload.id) == [part]


@pytest.mark.parametrize("number", [1, 2**62, -1, 2**64])
async def test_an_id_of_no_upload_is_refused_everywhere(world: Multipart, number: int) -> None:
    unknown = UploadId(number)
    calls = [
        world.uploads.find(unknown),
        world.uploads.begin_part(unknown, 1, 16, LEASE_MS),
        world.uploads.claim(unknown, Completion(()), 1, LEASE_MS),
        world.uploads.abort(unknown),
    ]
    for call in calls:
        with pytest.raises(NoSuchUpload):
            await call


async def test_a_name_that_no_database_takes_is_refused(world: Multipart) -> None:
    for name in ("a\0b", "\ud800", "", "a" * 1025):
        with pytest.raises(InvalidRequest):
            await world.create(name)


async def test_parts_are_listed_by_number_and_in_pages(world: Multipart) -> None:
    upload = await world.create()
    for number in (10_000, 2, 7, 1):
        await world.store(upload, number)
    await world.stage(upload, 4)
    assert [part.number for part in await world.uploads.parts(upload.id)] == [1, 2, 7, 10_000]
    assert [part.number for part in await world.uploads.parts(upload.id, after=1, limit=2)] == [2, 7]
    assert await world.uploads.parts(upload.id, after=10_000) == []


async def test_a_part_sent_again_replaces_the_former_when_it_is_stored_and_not_before(world: Multipart) -> None:
    upload = await world.create()
    first = await world.store(upload, 1, b"first")
    second = await world.stage(upload, 1)
    assert second.attempt != first.attempt
    assert await world.uploads.parts(upload.id) == [first]
    await world.uploads.finish_part(stored(second, b"second"))
    (part,) = await world.uploads.parts(upload.id)
    assert part.etag == hashlib.md5(b"second").hexdigest()
    assert await world.dead() == {(upload.id, first.attempt)}


async def test_of_parts_of_one_number_at_once_one_counts_and_the_others_are_garbage(world: Multipart) -> None:
    upload = await world.create()
    parts = await asyncio.gather(*(world.store(upload, 1, b"%d" % n) for n in range(8)))
    assert len({part.attempt for part in parts}) == 8
    (left,) = await world.uploads.parts(upload.id)
    assert await world.dead() == {(upload.id, part.attempt) for part in parts} - {(upload.id, left.attempt)}


async def test_an_attempt_number_is_not_given_again_after_its_row_has_gone(world: Multipart) -> None:
    upload = await world.create()
    begun = await world.stage(upload, 1)
    await world.uploads.give_part_up(begun)
    await world.uploads.forget_part(begun)
    assert (await world.stage(upload, 1)).attempt > begun.attempt


async def test_a_part_that_was_stored_cannot_be_given_up_or_forgotten(world: Multipart) -> None:
    upload = await world.create()
    part = await world.store(upload, 1)
    await world.uploads.give_part_up(part)
    await world.uploads.forget_part(part)
    assert await world.uploads.parts(upload.id) == [part]


async def test_a_part_that_was_taken_for_dead_cannot_be_stored(world: Multipart) -> None:
    upload = await world.create()
    begun = await world.stage(upload, 1)
    world.clock.advance(LEASE_MS / 1000)
    assert await world.uploads.expire(HOUR, 10) == 1
    assert not await world.uploads.renew_part(begun, LEASE_MS)
    with pytest.raises(UploadMoved):
        await world.uploads.finish_part(stored(begun))
    assert await world.uploads.parts(upload.id) == []
    assert await world.dead() == {(upload.id, begun.attempt)}


async def test_a_renewed_part_is_not_taken_for_dead(world: Multipart) -> None:
    upload = await world.create()
    begun = await world.stage(upload, 1)
    world.clock.advance(LEASE_MS / 1000 - 1)
    assert await world.uploads.renew_part(begun, LEASE_MS)
    world.clock.advance(LEASE_MS / 1000 - 1)
    assert await world.uploads.expire(HOUR, 10) == 0
    await world.uploads.finish_part(stored(begun))


async def test_completing_is_one_with_the_acknowledgement_of_the_put(world: Multipart) -> None:
    upload = await world.create()
    parts = [await world.store(upload, number) for number in (1, 2)]
    unused = await world.store(upload, 5)
    done = await world.complete(upload, *parts)
    assert done.state is UploadState.COMPLETED
    entry = await world.objects.head("bucket", "photo")
    assert entry is not None
    assert (entry.job.id, entry.job.state) == (done.job_id, JobState.UPLOAD_OBJECT_DONE)
    assert entry.etag == done.etag == done.order.headers[ETAG_HEADER]
    assert entry.etag.endswith("-2")
    assert ETAG_HEADER not in entry.job.shown_headers
    assert await world.uploads.parts(upload.id) == []
    assert await world.dead() == {(upload.id, part.attempt) for part in (*parts, unused)}


async def test_a_completed_upload_says_so_again_and_takes_nothing_more(world: Multipart) -> None:
    upload = await world.create()
    part = await world.store(upload, 1)
    late = await world.stage(upload, 2)
    done = await world.complete(upload, part)
    assert await world.uploads.claim(upload.id, listed(part), 1, LEASE_MS) == (done, None)
    for call in (world.stage(upload, 1), world.uploads.finish_part(stored(late)), world.uploads.abort(upload.id)):
        with pytest.raises(NoSuchUpload):
            await call


async def test_a_list_that_is_refused_leaves_the_upload_open(world: Multipart) -> None:
    upload = await world.create()
    part = await world.store(upload, 1)
    with pytest.raises(InvalidPart):
        await world.claim(upload, replace(part, number=2))
    assert (await world.uploads.find(upload.id)).state is UploadState.OPEN
    await world.complete(upload, part)


async def test_only_one_of_many_completes_an_upload(world: Multipart) -> None:
    upload = await world.create()
    part = await world.store(upload, 1)
    outcomes = await asyncio.gather(*(world.claim(upload, part) for _ in range(6)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, UploadCompleting)]
    assert len(refused) == 5


async def test_no_part_comes_while_an_upload_is_being_completed(world: Multipart) -> None:
    upload = await world.create()
    part = await world.store(upload, 1)
    late = await world.stage(upload, 1)
    await world.claim(upload, part)
    for call in (world.stage(upload, 2), world.uploads.finish_part(stored(late))):
        with pytest.raises(UploadCompleting):
            await call
    assert await world.uploads.parts(upload.id) == [part]


async def test_a_completion_that_failed_leaves_the_upload_as_it_was(world: Multipart) -> None:
    upload = await world.create()
    part = await world.store(upload, 1)
    claimed, _ = await world.claim(upload, part)
    await world.uploads.release(claimed)
    assert await world.uploads.parts(upload.id) == [part]
    await world.store(upload, 2)
    await world.complete(upload, part)


async def test_a_completion_whose_process_vanished_can_be_taken_up_and_the_dead_one_cannot_finish(
    world: Multipart,
) -> None:
    upload = await world.create()
    part = await world.store(upload, 1)
    dead, assembly = await world.claim(upload, part)
    world.clock.advance(LEASE_MS / 1000)
    done = await world.complete(upload, part)
    assert not await world.uploads.renew(dead, LEASE_MS)
    with pytest.raises(UploadMoved):
        await world.finish(dead, assembly)
    await world.uploads.release(dead)
    assert await world.uploads.find(upload.id) == done
    entry = await world.objects.head("bucket", "photo")
    assert entry is not None
    assert entry.job.id == done.job_id, "the put of the dead completion left no trace"


async def test_the_collector_opens_an_upload_whose_completing_process_vanished(world: Multipart) -> None:
    upload = await world.create()
    part = await world.store(upload, 1)
    claimed, _ = await world.claim(upload, part)
    assert await world.uploads.renew(claimed, LEASE_MS)
    assert await world.uploads.expire(HOUR, 10) == 0
    world.clock.advance(LEASE_MS / 1000)
    assert await world.uploads.expire(HOUR, 10) == 1
    await world.store(upload, 2)
    assert await world.uploads.expire(HOUR, 10) == 0


async def test_a_precondition_that_does_not_hold_leaves_the_upload_completable(world: Multipart) -> None:
    await world.put()
    upload = await world.create()
    part = await world.store(upload, 1)
    claimed, assembly = await world.claim(upload, part)
    with pytest.raises(PreconditionFailed):
        await world.finish(claimed, assembly, Precondition(absent=True))
    await world.uploads.release(claimed)
    await world.complete(upload, part, condition=Precondition())


async def test_an_abort_in_the_middle_of_a_completion_wins(world: Multipart) -> None:
    upload = await world.create()
    part = await world.store(upload, 1)
    claimed, assembly = await world.claim(upload, part)
    await world.uploads.abort(upload.id)
    with pytest.raises(UploadMoved):
        await world.finish(claimed, assembly)
    assert await world.objects.head("bucket", "photo") is None
    assert await world.dead() == {(upload.id, part.attempt)}


async def test_an_aborted_upload_is_gone_for_clients_and_its_rows_go_with_its_pieces(world: Multipart) -> None:
    upload = await world.create()
    part, staging = await world.store(upload, 1), await world.stage(upload, 2)
    await world.uploads.abort(upload.id)
    with pytest.raises(NoSuchUpload):
        await world.uploads.abort(upload.id)
    with pytest.raises(NoSuchUpload):
        await world.uploads.finish_part(stored(staging))
    assert await world.dead() == {(upload.id, part.attempt)}, "a part that is still coming is its sender's to give up"
    await world.uploads.forget_part(part)
    assert await world.uploads.purge(0, 10) == 0
    await world.uploads.give_part_up(staging)
    await world.uploads.forget_part(staging)
    assert await world.uploads.purge(HOUR, 10) == 1
    with pytest.raises(NoSuchUpload):
        await world.uploads.find(upload.id)


async def test_a_completed_upload_is_remembered_for_its_time(world: Multipart) -> None:
    upload = await world.create()
    part = await world.store(upload, 1)
    await world.complete(upload, part)
    await world.uploads.forget_part(part)
    world.clock.advance(HOUR / 1000)
    assert await world.uploads.purge(HOUR, 10) == 0
    world.clock.advance(1)
    assert await world.uploads.purge(HOUR, 10) == 1


async def test_uploads_that_are_too_old_are_aborted_and_younger_ones_are_not(world: Multipart) -> None:
    old = await world.create("old")
    part = await world.store(old, 1)
    world.clock.advance(HOUR / 1000)
    young = await world.create("young")
    kept = await world.store(young, 1)
    world.clock.advance(1)
    assert await world.uploads.expire(HOUR, 10) == 1
    assert (await world.uploads.find(old.id)).state is UploadState.ABORTED
    assert await world.dead() == {(old.id, part.attempt)}
    assert await world.uploads.parts(young.id) == [kept]


async def names(world: Multipart, query: UploadsQuery) -> tuple[list[str], list[str]]:
    page = await world.uploads.page(query)
    return [upload.order.object_name for upload in page.uploads], list(page.common_prefixes)


async def test_open_uploads_are_listed_by_name_and_id_and_ended_ones_are_not(world: Multipart) -> None:
    first, second = await world.create("b"), await world.create("b")
    await world.create("a")
    await world.create("é")
    await world.create("z", bucket="other")
    await world.uploads.abort((await world.create("c")).id)
    page = await world.uploads.page(UploadsQuery("bucket"))
    assert [upload.order.object_name for upload in page.uploads] == ["a", "b", "b", "é"]
    assert [upload.id for upload in page.uploads[1:3]] == [first.id, second.id]
    assert (page.next_key, page.next_id) == (None, None)


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize(
    ("prefix", "delimiter"), [("", ""), ("", "/"), ("a/", "/"), ("a/", ""), ("b", "/"), ("", "//")]
)
async def test_pages_join_to_the_whole_list(world: Multipart, prefix: str, delimiter: str, limit: int) -> None:
    for name in ("a", "a", "a/1", "a/1", "a/2/x", "a/2/y", "b", "b/1", "b//2", "c", "\U0010ffff/1", "\U0010ffff/2"):
        await world.create(name)
    whole = await world.uploads.page(UploadsQuery("bucket", prefix, delimiter))
    uploads: list[Upload] = []
    prefixes: list[str] = []
    query = UploadsQuery("bucket", prefix, delimiter, limit=limit)
    for _ in range(20):
        page = await world.uploads.page(query)
        assert len(page.uploads) + len(page.common_prefixes) <= limit
        uploads += page.uploads
        prefixes += page.common_prefixes
        if page.next_key is None:
            break
        query = replace(query, key_marker=page.next_key, id_marker=page.next_id)
    assert (tuple(uploads), tuple(prefixes)) == (whole.uploads, whole.common_prefixes)
    assert len(set(prefixes)) == len(prefixes)


async def test_a_marker_without_an_id_leaves_all_uploads_of_its_name_out(world: Multipart) -> None:
    for name in ("a", "b", "b", "c"):
        await world.create(name)
    assert await names(world, UploadsQuery("bucket", key_marker="b")) == (["c"], [])
    assert await names(world, UploadsQuery("bucket", key_marker="aa")) == (["b", "b", "c"], [])
    assert await names(world, UploadsQuery("bucket", limit=0)) == ([], [])


async def test_a_list_beyond_one_step_is_whole(world: Multipart) -> None:
    wanted = [f"k/{number:04}" for number in range(600)]
    await asyncio.gather(*(world.create(name) for name in wanted))
    await world.create("l")
    assert await names(world, UploadsQuery("bucket")) == ([*wanted, "l"], [])
    assert await names(world, UploadsQuery("bucket", delimiter="/")) == (["l"], ["k/"])
