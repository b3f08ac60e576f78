"""What names mean, how they are listed, and how they are deleted."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sp.domain.errors import InvalidRequest
from sp.domain.ids import ObjectId
from sp.domain.jobs import Listing, Move
from sp.domain.lifecycle import JobEvent, JobState
from spdb.statements.listing import after_prefix
from tests.contracts.spdb_world import ACCOUNT, PAYLOAD, TN, World

S = JobState
BUCKETS = itertools.count()
NAMES = st.text(alphabet="a/\u00e9\ud7ff\ue000\U0010ffff", min_size=1, max_size=4)
DELIMITERS = st.sampled_from(["/", "/", "a", "//", "a/", "\ud7ff", "\U0010ffff", ""])


@st.composite
def questions(draw: st.DrawFn) -> tuple[set[str], str, str, str]:
    """Names, prefix, delimiter and marker; prefix and marker mostly beginnings of names, for others find nothing."""
    names = draw(st.sets(NAMES, max_size=25))

    def beginning(longest: int) -> str:
        name = draw(st.sampled_from(sorted(names))) if names else draw(NAMES)
        return name[: draw(st.integers(0, longest))]

    prefix = beginning(2)
    marker = draw(st.sampled_from(["", beginning(4), beginning(4) + draw(NAMES), draw(NAMES)]))
    return names, prefix, draw(DELIMITERS), marker


def model(names: set[str], prefix: str, delimiter: str, marker: str, limit: int) -> tuple[list[str], list[str], bool]:
    """S3's list in plain words: names and common prefixes behind the marker, in byte order, up to the limit."""
    items = set()
    for name in names:
        if name.startswith(prefix):
            at = name.find(delimiter, len(prefix)) if delimiter else -1
            items.add((name, True) if at < 0 else (name[: at + len(delimiter)], False))
    behind = sorted((i for i in items if i[0].encode() > marker.encode()), key=lambda item: item[0].encode())
    shown = behind[:limit]
    entries, prefixes = [n for n, entry in shown if entry], [n for n, entry in shown if not entry]
    return entries, prefixes, limit > 0 and len(behind) > limit


def entry_names(listing: Listing) -> list[str]:
    return [entry.job.object_name for entry in listing.entries]


MANY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@settings(MANY, max_examples=150)
@given(question=questions(), limit=st.integers(0, 6))
async def test_a_list_is_what_the_model_says(
    world: World, question: tuple[set[str], str, str, str], limit: int
) -> None:
    names, prefix, delimiter, marker = question
    bucket = f"b{next(BUCKETS)}"
    await world.put_many(sorted(names), bucket)
    await world.put_many(sorted(names), f"{bucket}x")  # a neighbour that must not show
    listing = await world.objects.list(bucket, prefix, delimiter, marker, limit)
    entries, prefixes, truncated = model(names, prefix, delimiter, marker, limit)
    assert entry_names(listing) == entries
    assert list(listing.common_prefixes) == prefixes
    assert listing.next_marker == (max(entries + prefixes, key=str.encode) if truncated else None)


@settings(MANY, max_examples=60)
@given(question=questions(), limit=st.integers(1, 4))
async def test_the_pages_of_a_list_hold_everything_once(
    world: World, question: tuple[set[str], str, str, str], limit: int
) -> None:
    names, prefix, delimiter, _ = question
    bucket = f"b{next(BUCKETS)}"
    await world.put_many(sorted(names), bucket)
    entries: list[str] = []
    prefixes: list[str] = []
    marker: str | None = ""
    while marker is not None and len(entries) + len(prefixes) <= len(names):
        page = await world.objects.list(bucket, prefix, delimiter, marker, limit)
        entries += entry_names(page)
        prefixes += page.common_prefixes
        marker = page.next_marker
    assert (entries, prefixes) == model(names, prefix, delimiter, "", len(names) + 1)[:2]


async def test_a_page_that_ended_with_a_common_prefix_is_followed_by_what_is_behind_all_of_it(world: World) -> None:
    await world.put_many([*(f"a/{i:02}" for i in range(50)), "b", "c/1", "c/2", "c/3", "d"], "pages")
    pages = []
    marker: str | None = ""
    for _ in range(4):
        assert marker is not None
        page = await world.objects.list("pages", delimiter="/", marker=marker, limit=1)
        pages.append((entry_names(page), page.common_prefixes))
        marker = page.next_marker
    assert pages == [([], ("a/",)), (["b"], ()), ([], ("c/",)), (["d"], ())]
    assert marker is None
    two = await world.objects.list("pages", delimiter="/", limit=2)
    assert (entry_names(two), two.common_prefixes, two.next_marker) == (["b"], ("a/",), "b")
    inside = await world.objects.list("pages", delimiter="/", marker="a/01")
    assert (entry_names(inside), inside.common_prefixes) == (["b", "d"], ("c/",))


@given(st.text(), st.text())
def test_a_text_starts_with_a_prefix_exactly_between_it_and_what_is_after_it(prefix: str, text: str) -> None:
    end = after_prefix(prefix)
    for candidate in (text, prefix + text):
        inside = candidate.encode() >= prefix.encode() and (end is None or candidate.encode() < end.encode())
        assert inside == candidate.startswith(prefix)


async def test_names_that_no_row_can_hold_are_compared_as_text_not_refused(world: World) -> None:
    await world.put_many(["a", "a\x01", "a/b", "b"], "nul")
    assert entry_names(await world.objects.list("nul", marker="a\0z")) == ["a\x01", "a/b", "b"]
    assert entry_names(await world.objects.list("nul", prefix="a\0")) == []
    assert entry_names(await world.objects.list("nul", delimiter="/\0")) == ["a", "a\x01", "a/b", "b"]
    assert await world.objects.list("nul\0") == Listing((), (), None)
    with pytest.raises(InvalidRequest):
        await world.objects.list("nul", prefix="\ud800")


async def test_a_list_shows_the_content_a_name_means_now(world: World) -> None:
    await world.put()
    world.clock.advance(1)
    second = await world.put()
    (entry,) = (await world.objects.list("bucket")).entries
    assert (entry.job, entry.updated_at_ms) == (second, world.now())


async def test_a_bucket_is_empty_until_its_first_acknowledged_put_and_after_its_last_removal(world: World) -> None:
    job = await world.begin()
    assert await world.objects.is_empty("bucket")
    await world.jobs.finish_upload(job, PAYLOAD, "uploader")
    assert not await world.objects.is_empty("bucket")
    assert await world.objects.is_empty("bucke")
    await world.objects.remove("bucket", "photo", ACCOUNT, "gateway", "req")
    assert await world.objects.is_empty("bucket")


async def test_an_object_is_found_by_its_id_in_the_content_its_name_means(world: World) -> None:
    assert await world.objects.by_object_id(ObjectId(5)) is None
    assert await world.objects.by_object_id(ObjectId(2**64)) is None
    await world.begin(object_id=5)
    assert await world.objects.by_object_id(ObjectId(5)) is None  # no byte of it is promised yet
    world.clock.advance(60)
    first = await world.put(object_id=5)
    second = await world.put(object_id=5, version=1)
    found = await world.objects.by_object_id(ObjectId(5))
    assert found is not None
    assert (found.job, found.updated_at_ms) == (second, world.now() + 1)  # strictly after the first, in one ms
    await world.jobs.move(second, Move(JobEvent.DISCONTINUED, TN, "update cancelled"))
    found = await world.objects.by_object_id(ObjectId(5))
    assert found is not None
    assert found.job == first  # kept, though its name leads nowhere


async def test_a_removed_name_means_nothing_and_leaves_a_deletion_that_names_its_put(world: World) -> None:
    job = await world.allocating(object_id=77)
    assert await world.objects.remove("bucket", "photo", ACCOUNT, "gateway", "req-9")
    assert not await world.objects.remove("bucket", "photo", ACCOUNT, "gateway", "req-10")
    assert await world.objects.head("bucket", "photo") is None
    assert (await world.objects.list("bucket")).entries == ()
    (deletion,) = await world.deletions.due(10)
    assert (deletion.bucket, deletion.object_name, deletion.account) == ("bucket", "photo", ACCOUNT)
    assert (deletion.job_id, deletion.object_id, deletion.version) == (job.id, 77, 0)
    assert (deletion.requested_at_ms, deletion.request_id, deletion.attempts) == (world.now(), "req-9", 0)
    assert (await world.jobs.history(job.id))[-1].event == "deletion asked"
    assert await world.deletions.count() == 1


async def test_a_deletion_learns_the_object_id_its_put_gets_meanwhile(world: World) -> None:
    job = await world.put()
    await world.objects.remove("bucket", "photo", ACCOUNT, "gateway", "req")
    assert (await world.deletions.due(10))[0].object_id is None
    await world.jobs.move(job, Move(JobEvent.ALLOCATION_STARTED, TN, object_id=ObjectId(8), version=3))
    (deletion,) = await world.deletions.due(10)
    assert (deletion.object_id, deletion.version) == (8, 3)


async def test_a_postponed_deletion_waits_and_keeps_its_reason(world: World) -> None:
    await world.put()
    await world.objects.remove("bucket", "photo", ACCOUNT, "gateway", "req")
    (deletion,) = await world.deletions.due(10)
    await world.deletions.postpone(deletion.id, "chain is down", world.now() + 1_000)
    assert await world.deletions.due(10) == []
    assert await world.deletions.next_due_ms() == world.now() + 1_000
    world.clock.advance(1)
    (again,) = await world.deletions.due(10)
    assert (again.id, again.attempts, again.error) == (deletion.id, 1, "chain is down")


async def test_a_deletion_ends_the_put_and_those_before_it_and_spares_those_after(world: World) -> None:
    sealed = await world.lead(await world.put(), S.SEAL_OBJECT_DONE)
    uploading = await world.begin()
    gone = await world.lead(await world.put(), S.REPLICATE_OBJECT_DOING)
    await world.objects.remove("bucket", "photo", ACCOUNT, "gateway", "req")
    after = await world.jobs.finish_upload(uploading, PAYLOAD, "uploader")  # began before the removed one, ended after
    (deletion,) = await world.deletions.due(10)
    await world.deletions.done(deletion.id)
    await world.deletions.done(deletion.id)
    assert {job.id for job in await world.jobs.collectable(10)} == {sealed.id, gone.id}
    ended = await world.jobs.get(gone.id)
    assert (ended.state, ended.next_attempt_at_ms) == (S.OBJECT_DISCONTINUED, None)
    assert (await world.jobs.history(gone.id))[-1].event == JobEvent.DISCONTINUED
    assert (await world.jobs.get(sealed.id)).state is S.SEAL_OBJECT_DONE
    assert await world.jobs.get(after.id) == after
    entry = await world.objects.head("bucket", "photo")
    assert entry is not None
    assert entry.job == after
    assert await world.deletions.count() == 0


async def test_a_finished_deletion_has_an_id_no_other_gets(world: World) -> None:
    await world.put()
    await world.objects.remove("bucket", "photo", ACCOUNT, "gateway", "req")
    (first,) = await world.deletions.due(10)
    await world.deletions.done(first.id)
    await world.put()
    await world.objects.remove("bucket", "photo", ACCOUNT, "gateway", "req")
    await world.deletions.done(first.id)  # late and twice
    assert await world.deletions.count() == 1
