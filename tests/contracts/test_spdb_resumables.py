"""Uploads in several requests, and the keys of applications: what every database must do with them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sp.domain.errors import InvalidRequest, JobMoved, ObjectNotCreated, OffsetRefused, UploadInProgress
from sp.domain.ids import Address, Checksum
from sp.domain.jobs import PutOrder, StoredPayload
from sp.domain.lifecycle import JobState as S
from spdb.auth_keys import MAX_KEYS, AuthKeys
from spdb.database import Database
from spdb.resumables import Resumables
from tests.contracts.spdb_world import ACCOUNT, LEASE_MS, UP, World, order

HOUR_MS = 3_600_000
SEGMENT = order().params.max_segment_size
SUMS = (Checksum(b"a" * 32), Checksum(b"b" * 32))
OTHER = Address("0x" + "b" * 40)


@pytest.fixture
def resumables(world: World) -> Resumables:
    return Resumables(world.db, world.clock, world.new_job_id, 24 * HOUR_MS)


def on_chain(object_id: int = 77, version: int = 0) -> PutOrder:
    return order(object_id=object_id, version=version)


async def test_an_upload_stands_where_its_last_part_ended(world: World, resumables: Resumables) -> None:
    assert await resumables.find("bucket", "photo", ACCOUNT) is None
    held = await resumables.take(on_chain(), 0, UP, LEASE_MS)
    assert (held.offset, held.job.state) == (0, S.UPLOAD_OBJECT_DOING)
    await resumables.add(held, SUMS)
    found = await resumables.find("bucket", "photo", ACCOUNT)
    assert found is not None
    assert (found.offset, found.checksums, found.holder) == (2 * SEGMENT, SUMS, "")
    for offset in (0, SEGMENT, 3 * SEGMENT):
        with pytest.raises(OffsetRefused) as refused:
            await resumables.take(on_chain(), offset, UP, LEASE_MS)
        assert refused.value.stored == 2 * SEGMENT
    again = await resumables.take(on_chain(), 2 * SEGMENT, UP, LEASE_MS)
    stored = StoredPayload(2 * SEGMENT + 1, Checksum(b"r" * 32), (*SUMS, Checksum(b"c" * 32)))
    job = await resumables.finish(again, stored, UP)
    assert (job.id, job.state) == (held.job.id, S.UPLOAD_OBJECT_DONE)
    assert (await world.jobs.get(job.id)).segment_checksums == stored.segment_checksums
    assert await resumables.find("bucket", "photo", ACCOUNT) is None
    with pytest.raises(ObjectNotCreated):
        await resumables.take(on_chain(), 0, UP, LEASE_MS)


async def test_an_upload_cannot_begin_in_its_middle(resumables: Resumables) -> None:
    with pytest.raises(OffsetRefused):
        await resumables.take(on_chain(), SEGMENT, UP, LEASE_MS)
    assert await resumables.find("bucket", "photo", ACCOUNT) is None


async def test_one_receives_at_a_time_until_its_hold_ends(world: World, resumables: Resumables) -> None:
    first = await resumables.take(on_chain(), 0, UP, LEASE_MS)
    with pytest.raises(UploadInProgress):
        await resumables.take(on_chain(), 0, UP, LEASE_MS)
    world.clock.advance(LEASE_MS / 1000 - 1)
    assert await resumables.renew(first, LEASE_MS)
    world.clock.advance(LEASE_MS / 1000 - 1)
    with pytest.raises(UploadInProgress):
        await resumables.take(on_chain(), 0, UP, LEASE_MS)
    world.clock.advance(2)
    second = await resumables.take(on_chain(), 0, UP, LEASE_MS)
    assert second.job.id == first.job.id
    assert not await resumables.renew(first, LEASE_MS)
    with pytest.raises(JobMoved):
        await resumables.add(first, SUMS)
    with pytest.raises(JobMoved):
        await resumables.finish(first, StoredPayload(1, SUMS[0], SUMS[:1]), UP)
    await resumables.fail(first, "late", UP)
    await resumables.release(first)
    await resumables.add(second, SUMS[:1])


async def test_of_many_that_begin_at_once_one_receives(resumables: Resumables) -> None:
    takes = [resumables.take(on_chain(), 0, UP, LEASE_MS) for _ in range(10)]
    outcomes = await asyncio.gather(*takes, return_exceptions=True)
    assert sum(isinstance(outcome, UploadInProgress) for outcome in outcomes) == 9


async def test_a_part_that_was_released_may_be_sent_again_at_once(resumables: Resumables) -> None:
    held = await resumables.take(on_chain(), 0, UP, LEASE_MS)
    await resumables.release(held)
    assert (await resumables.take(on_chain(), 0, UP, LEASE_MS)).job.id == held.job.id


async def test_the_collector_waits_for_the_next_part_for_a_day(world: World, resumables: Resumables) -> None:
    held = await resumables.take(on_chain(), 0, UP, LEASE_MS)
    world.clock.advance(23 * 3600)
    await resumables.release(held)
    assert await world.jobs.expired_uploads(10) == []
    held = await resumables.take(on_chain(), 0, UP, LEASE_MS)
    await resumables.add(held, SUMS)
    world.clock.advance(23 * 3600)
    assert await world.jobs.expired_uploads(10) == []
    world.clock.advance(2 * 3600)
    (expired,) = await world.jobs.expired_uploads(10)
    await world.jobs.fail_upload(expired.id, "no next part", "collector", only_expired=True)
    assert await resumables.find("bucket", "photo", ACCOUNT) is None
    assert [job.id for job in await world.jobs.collectable(10)] == [held.job.id]
    await world.jobs.collected(held.job.id)
    world.clock.advance(1)
    purgeable = await world.jobs.purgeable(0, 10)
    assert await world.jobs.forget([job.id for job in purgeable]) == 1
    assert (await resumables.take(on_chain(), 0, UP, LEASE_MS)).offset == 0


async def test_an_object_that_was_created_anew_begins_anew(world: World, resumables: Resumables) -> None:
    old = await resumables.take(on_chain(), 0, UP, LEASE_MS)
    await resumables.add(old, SUMS)
    for newer in (on_chain(78), on_chain(78, 1)):
        with pytest.raises(OffsetRefused):
            await resumables.take(newer, 2 * SEGMENT, UP, LEASE_MS)
        held = await resumables.take(newer, 0, UP, LEASE_MS)
        assert held.job.id != old.job.id
        assert (await world.jobs.get(old.job.id)).state is S.UPLOAD_OBJECT_ERROR
        await resumables.add(held, SUMS)
        old = held


async def test_another_put_takes_the_place_of_one_that_waits_and_not_of_one_at_work(
    world: World, resumables: Resumables
) -> None:
    held = await resumables.take(on_chain(), 0, UP, LEASE_MS)
    for rival in (on_chain(), replace(on_chain(), account=OTHER)):
        with pytest.raises(UploadInProgress):
            await world.jobs.begin_upload(rival, UP, LEASE_MS)
    await resumables.add(held, SUMS)
    await world.jobs.begin_upload(on_chain(), UP, LEASE_MS)
    assert (await world.jobs.get(held.job.id)).state is S.UPLOAD_OBJECT_ERROR
    with pytest.raises(UploadInProgress):
        await resumables.take(on_chain(), 0, UP, LEASE_MS)


async def test_delegated_uploads_of_one_name_are_told_apart_by_account(resumables: Resumables) -> None:
    mine = await resumables.take(order(), 0, UP, LEASE_MS)
    theirs = await resumables.take(replace(order(), account=OTHER), 0, UP, LEASE_MS)
    assert mine.job.id != theirs.job.id
    await resumables.add(mine, SUMS)
    found = await resumables.find("bucket", "photo", OTHER)
    assert found is not None
    assert found.offset == 0


# --- keys of applications -----------------------------------------------------------------------------------------

KEY, KEY_2 = "ab" * 32, "cd" * 32


async def test_a_key_counts_for_its_account_and_domain_until_it_expires(db: Database, world: World) -> None:
    keys = AuthKeys(db, world.clock)
    await keys.add(ACCOUNT, "https://a", KEY, world.now() + 1000)
    await keys.add(ACCOUNT, "https://a", KEY_2, world.now() + 9000)
    assert await keys.list(ACCOUNT, "https://a") == [KEY, KEY_2]
    assert not await keys.has(ACCOUNT, "https://b", KEY)
    assert not await keys.has(OTHER, "https://a", KEY)
    await keys.add(ACCOUNT, "https://a", KEY, world.now() + 3000)
    world.clock.advance(2)
    assert await keys.has(ACCOUNT, "https://a", KEY)
    world.clock.advance(1)
    assert await keys.list(ACCOUNT, "https://a") == [KEY_2]
    await keys.remove(ACCOUNT, "https://a", [KEY, KEY_2, "absent"])
    assert await keys.list(ACCOUNT, "https://a") == []


async def test_the_keys_of_one_account_and_domain_are_limited(db: Database, world: World) -> None:
    keys = AuthKeys(db, world.clock)
    for number in range(MAX_KEYS):
        await keys.add(ACCOUNT, "https://a", f"{number:064x}", world.now() + 1000)
    with pytest.raises(InvalidRequest):
        await keys.add(ACCOUNT, "https://a", KEY, world.now() + 1000)
    await keys.add(ACCOUNT, "https://a", f"{1:064x}", world.now() + 2000)
    await keys.add(ACCOUNT, "https://b", KEY, world.now() + 1000)
    world.clock.advance(1)
    await keys.add(ACCOUNT, "https://a", KEY, world.now() + 1000)  # the expired ones have gone


async def test_a_domain_that_no_row_takes_is_refused_and_nobodys(db: Database, world: World) -> None:
    keys = AuthKeys(db, world.clock)
    for domain in ("", "a\0b", "\ud800", "x" * 600):
        with pytest.raises(InvalidRequest):
            await keys.add(ACCOUNT, domain, KEY, world.now() + 1000)
        assert not await keys.has(ACCOUNT, domain, KEY)
