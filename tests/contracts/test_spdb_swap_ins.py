"""Columns that other providers take over: found, noted once, taken by lease, and recorded beside their jobs; and puts
that are recovered from the chain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sp.domain.errors import JobMoved, NoSuchJob, ObjectNotCreated
from sp.domain.ids import Checksum, ObjectId, RedundancyIndex, Signature
from sp.domain.jobs import Job, Move, Secondary, SecondaryState
from sp.domain.lifecycle import JobEvent, JobState
from sp.domain.swaps import SwapIn, Vacancy
from spdb.swap_ins import SwapIns
from tests.contracts.spdb_world import LEASE_MS, OTHER_TN, PATHS, PAYLOAD, TN, UP, World, approval, provider, secondary

HASH, SIGNATURE = Checksum(b"h" * 32), Signature(b"g" * 65)
LEAVER = provider(3)


async def sealed(world: World) -> Job:
    """With providers 1..6 in columns 0..5."""
    job = await world.replicating()
    for index in range(6):
        await world.jobs.secondary_started(job, RedundancyIndex(index), provider(index + 1))
        await world.jobs.secondary_done(job, RedundancyIndex(index), provider(index + 1), HASH, SIGNATURE)
    return await world.jobs.move(job, Move(JobEvent.ALL_SECONDARIES_SIGNED, TN), Move(JobEvent.SEAL_SEEN, TN))


def swaps_of(world: World) -> SwapIns:
    return SwapIns(world.db, world.clock)


async def taken(world: World, owner: str = TN) -> SwapIn:
    swaps = swaps_of(world)
    found, _ = await swaps.vacancies(0, 100, {LEAVER})
    await swaps.plan(found)
    (swap,) = await swaps.take(owner, LEASE_MS, 5)
    return swap


def successor(swap: SwapIn, number: int = 9) -> Secondary:
    signed = approval(swap.job.object_ref(), number)
    return Secondary(swap.job.id, swap.redundancy_index, provider(number), signed, SecondaryState.DONE, HASH, SIGNATURE)


async def test_only_columns_of_sealed_kept_puts_with_one_who_leaves_are_vacant(world: World) -> None:
    swaps = swaps_of(world)
    assert await swaps.vacancies(0, 100, {LEAVER}) == ([], None)
    job = await world.replicating()
    assert await swaps.vacancies(0, 100, {LEAVER}) == ([], None), "not sealed: the put itself finds another"
    for index in range(6):
        await world.jobs.secondary_started(job, RedundancyIndex(index), provider(index + 1))
        await world.jobs.secondary_done(job, RedundancyIndex(index), provider(index + 1), HASH, SIGNATURE)
    await world.jobs.move(job, Move(JobEvent.ALL_SECONDARIES_SIGNED, TN), Move(JobEvent.SEAL_SEEN, TN))
    vacancy = Vacancy(job.id, RedundancyIndex(2), LEAVER)
    assert await swaps.vacancies(0, 100, {LEAVER, provider(77)}) == ([vacancy], None)
    assert await swaps.vacancies(0, 1, {LEAVER}) == ([vacancy], job.id + 1), "a page that is full may not be the last"
    assert await swaps.vacancies(job.id + 1, 1, {LEAVER}) == ([], None)
    assert await swaps.vacancies(0, 100, {provider(77)}) == ([], None)


async def test_a_vacancy_is_noted_once_and_keeps_what_was_done_for_it(world: World) -> None:
    await sealed(world)
    swap, swaps = await taken(world), swaps_of(world)
    signed = approval(swap.job.object_ref(), 9)
    await swaps.chosen(swap, TN, signed)
    await swaps.signed(swap, TN, HASH, SIGNATURE)
    assert await swaps.plan([Vacancy(swap.job.id, swap.redundancy_index, LEAVER)]) == 0
    (waiting,) = await swaps.waiting(10)
    assert (waiting.approval, waiting.integrity_hash, waiting.signature) == (signed, HASH, SIGNATURE)
    assert await swaps.counts() == {LEAVER: 1}


async def test_it_is_one_owners_until_the_lease_ends(world: World) -> None:
    await sealed(world)
    swap, swaps = await taken(world), swaps_of(world)
    assert await swaps.take(OTHER_TN, LEASE_MS, 5) == []
    assert await swaps.renew(swap, TN, 2 * LEASE_MS)
    world.clock.advance(LEASE_MS / 1000 + 1)
    assert await swaps.take(OTHER_TN, LEASE_MS, 5) == []
    world.clock.advance(LEASE_MS / 1000 + 1)
    (again,) = await swaps.take(OTHER_TN, LEASE_MS, 5)
    assert again.job == swap.job
    assert not await swaps.renew(swap, TN, LEASE_MS)
    with pytest.raises(JobMoved):
        await swaps.chosen(swap, TN, approval(swap.job.object_ref(), 9))
    with pytest.raises(JobMoved):
        await swaps.signed(swap, TN, HASH, SIGNATURE)
    await swaps.failed(swap, TN, "too late", 0, another=True)
    (waiting,) = await swaps.waiting(10)
    assert (waiting.attempts, waiting.error) == (0, "")


async def test_a_failure_waits_for_its_time_and_forgets_the_successor_only_if_it_was_its_fault(world: World) -> None:
    await sealed(world)
    swap, swaps = await taken(world), swaps_of(world)
    await swaps.chosen(swap, TN, approval(swap.job.object_ref(), 9))
    await swaps.failed(swap, TN, "the chain is away", world.now() + 5000, another=False)
    assert await swaps.take(TN, LEASE_MS, 5) == []
    world.clock.advance(5)
    (again,) = await swaps.take(TN, LEASE_MS, 5)
    assert (again.successor, again.attempts, again.error) == (provider(9), 1, "the chain is away")
    await swaps.failed(again, TN, "it hung up", world.now(), another=True)
    (last,) = await swaps.take(TN, LEASE_MS, 5)
    assert (last.successor, last.attempts) == (None, 2)


async def test_what_the_chain_says_is_recorded_once_in_rows_and_history(world: World) -> None:
    job = await sealed(world)
    swap, swaps = await taken(world), swaps_of(world)
    assert await swaps.done(swap, successor(swap), TN)
    rows = await world.jobs.secondaries(job.id)
    assert [(s.redundancy_index, s.provider) for s in rows if s.state is SecondaryState.DONE] == [
        (0, provider(1)), (1, provider(2)), (3, provider(4)), (4, provider(5)), (5, provider(6)), (2, provider(9)),
    ]  # fmt: skip
    assert next(s for s in rows if s.provider == LEAVER).state is SecondaryState.FAILED
    note = (await world.jobs.history(job.id))[-1]
    assert (note.event, note.provider, note.state) == ("secondary replaced", LEAVER, JobState.SEAL_OBJECT_DONE)
    assert await swaps.waiting(10) == []
    assert not await swaps.done(swap, successor(swap), OTHER_TN), "the same again changes nothing"
    assert len(await world.jobs.history(job.id)) == note.seq
    assert await swaps.vacancies(0, 100, {LEAVER}) == ([], None)


async def test_a_put_that_is_garbage_by_now_is_not_written_to(world: World) -> None:
    job = await sealed(world)
    swap, swaps = await taken(world), swaps_of(world)
    await world.objects.remove("bucket", "photo", job.account, UP, "request")
    (deletion,) = await world.deletions.due(10)
    await world.deletions.done(deletion.id)
    assert not await swaps.done(swap, successor(swap), TN)
    assert LEAVER in [s.provider for s in await world.jobs.secondaries(job.id) if s.state is SecondaryState.DONE]


async def test_a_forgotten_job_takes_its_vacancies_with_it(world: World) -> None:
    job = await sealed(world)
    await taken(world)
    await world.objects.remove("bucket", "photo", job.account, UP, "request")
    (deletion,) = await world.deletions.due(10)
    await world.deletions.done(deletion.id)
    await world.jobs.collected(job.id)
    assert await world.jobs.forget([job.id]) == 1
    assert await swaps_of(world).waiting(10) == []
    with pytest.raises(NoSuchJob):
        await world.jobs.get(job.id)


# --- recovery -----------------------------------------------------------------------------------------------------


def holders(job: Job) -> list[Secondary]:
    made = [secondary(job, index, index + 1) for index in range(6)]
    return [Secondary(s.job_id, s.redundancy_index, s.provider, s.approval, SecondaryState.DONE, HASH) for s in made]


async def recovering(world: World) -> tuple[Job, list[Secondary]]:
    """As `downloader.recovering` has it: the size is known from the order, the row learns it at the end."""
    job = await world.begin(object_id=42, version=1)
    return job, holders(replace(job, payload_size=PAYLOAD.payload_size))


async def test_a_recovered_put_is_sealed_named_and_has_its_secondaries(world: World) -> None:
    job, rows = await recovering(world)
    await world.jobs.finish_recovery(job, PAYLOAD, rows, 1_000, UP)
    entry = await world.objects.head("bucket", "photo")
    assert entry is not None
    assert (entry.job.id, entry.job.state, entry.job.root) == (job.id, JobState.SEAL_OBJECT_DONE, PAYLOAD.root)
    assert entry.updated_at_ms == 1_000
    assert [s.provider for s in await world.jobs.secondaries(job.id)] == [provider(i + 1) for i in range(6)]
    assert [row.event for row in await world.jobs.history(job.id)] == ["created", "upload started", "recovered"]
    assert await world.jobs.take(TN, LEASE_MS, 10) == []
    with pytest.raises(ObjectNotCreated):
        await world.begin(object_id=42, version=1)


async def test_a_put_that_was_acknowledged_since_keeps_the_name_and_replaces_it_when_sealed(world: World) -> None:
    job, rows = await recovering(world)
    newer = await world.put()
    await world.jobs.finish_recovery(job, PAYLOAD, rows, world.now() + 10_000, UP)
    entry = await world.objects.head("bucket", "photo")
    assert entry is not None
    assert entry.job.id == newer.id
    found = await world.objects.by_object_id(ObjectId(42), 1)
    assert found is not None
    assert found.job.id == job.id
    (taken_up,) = await world.jobs.take(TN, LEASE_MS, 10)
    done = await world.lead(taken_up, JobState.SEAL_OBJECT_DONE)
    assert [each.id for each in await world.jobs.collectable(10)] == [job.id]
    assert done.id == newer.id


async def test_it_takes_the_place_of_the_content_that_a_backup_has(world: World) -> None:
    before = await world.put(object_id=42, version=0)
    before = await world.lead(await world.take_one(), JobState.SEAL_OBJECT_DONE)
    job, rows = await recovering(world)
    await world.jobs.finish_recovery(job, PAYLOAD, rows, 1_000, UP)
    entry = await world.objects.head("bucket", "photo")
    assert entry is not None
    assert entry.job.id == job.id
    assert [each.id for each in await world.jobs.collectable(10)] == [before.id]


async def test_what_was_sealed_anew_or_taken_over_meanwhile_is_not_recovered(world: World) -> None:
    job, rows = await recovering(world)
    await world.put()
    newer = await world.take_one()
    for event in PATHS[JobState.SEAL_OBJECT_DONE]:
        newer = await world.jobs.move(newer, Move(event, TN, object_id=ObjectId(42), version=2))
    with pytest.raises(ObjectNotCreated):
        await world.jobs.finish_recovery(job, PAYLOAD, rows, 1_000, UP)
    await world.jobs.fail_upload(job.id, "sealed anew", UP)
    with pytest.raises((JobMoved, ObjectNotCreated)):
        await world.jobs.finish_recovery(job, PAYLOAD, rows, 1_000, UP)
    assert [each.id for each in await world.jobs.collectable(10)] == [job.id]
