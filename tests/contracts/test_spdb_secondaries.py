"""Each column of a job has one provider at a time; only the holder of the job's lease writes that down."""

import asyncio
from dataclasses import replace

import pytest

from sp.domain.errors import InvalidRequest, JobMoved
from sp.domain.ids import Checksum, RedundancyIndex, Signature
from sp.domain.jobs import Job, Move, SecondaryState
from sp.domain.lifecycle import JobEvent, JobState
from tests.contracts.spdb_world import LEASE_MS, OTHER_TN, TN, World, approval, provider, secondary

C = RedundancyIndex
HASH, SIGNATURE = Checksum(b"h" * 32), Signature(b"g" * 65)


async def states(world: World, job: Job) -> list[tuple[int, str, SecondaryState]]:
    return [(s.redundancy_index, s.provider, s.state) for s in await world.jobs.secondaries(job.id)]


async def test_the_ordered_secondaries_and_spares_are_stored_with_the_move(world: World) -> None:
    job = await world.replicating()
    assert job.state is JobState.REPLICATE_OBJECT_DOING
    assert await world.jobs.secondaries(job.id) == [secondary(job, i, i + 1) for i in range(6)]
    assert await world.jobs.spares(job.id) == [approval(job.object_ref(), 7), approval(job.object_ref(), 8)]


async def test_nothing_is_stored_when_the_move_is_refused(world: World) -> None:
    job = await world.allocating()
    stale = replace(job, row_version=job.row_version - 1)
    with pytest.raises(JobMoved):
        await world.jobs.choose_secondaries(stale, [secondary(job, 0, 1)], [], Move(JobEvent.SECONDARIES_CHOSEN, TN))
    assert await world.jobs.secondaries(job.id) == []
    assert await world.jobs.get(job.id) == job


async def test_an_approval_of_another_object_is_refused(world: World) -> None:
    job = await world.allocating()
    foreign = approval(replace(job.object_ref(), payload_size=4), 1)
    with pytest.raises(InvalidRequest):
        await world.jobs.choose_secondaries(job, [], [foreign], Move(JobEvent.SECONDARIES_CHOSEN, TN))
    assert await world.jobs.get(job.id) == job


async def test_six_secondaries_report_at_once_and_every_report_is_kept(world: World) -> None:
    job = await world.replicating()

    async def replicate(index: int) -> None:
        await world.jobs.secondary_started(job, C(index), provider(index + 1))
        await world.jobs.secondary_done(job, C(index), provider(index + 1), HASH, SIGNATURE)

    started = world.now()
    await asyncio.gather(*(replicate(index) for index in range(6)))
    rows = await world.jobs.secondaries(job.id)
    assert [(s.state, s.attempts, s.started_at_ms, s.ended_at_ms) for s in rows] == [
        (SecondaryState.DONE, 1, started, started)
    ] * 6
    assert {(s.integrity_hash, s.signature) for s in rows} == {(HASH, SIGNATURE)}
    await world.jobs.move(job, Move(JobEvent.ALL_SECONDARIES_SIGNED, TN))  # their reports did not make it stale


async def test_a_failed_secondary_is_named_in_the_history_and_replaced_by_a_spare_in_its_column(world: World) -> None:
    job = await world.replicating()
    await world.jobs.secondary_started(job, C(2), provider(3))
    await world.jobs.secondary_failed(job, C(2), provider(3), "timed out\0")
    await world.jobs.replace_secondary(job, C(2), provider(3), "timed out", secondary(job, 2, 7))
    rows = await world.jobs.secondaries(job.id)
    assert (rows[2].state, rows[2].error, rows[2].attempts) == (SecondaryState.FAILED, "timed out\ufffd", 1)
    assert rows[6] == secondary(job, 2, 7)
    assert [s.approval.approver for s in await world.jobs.spares(job.id)] == [provider(8)]
    notes = [(r.event, r.provider, r.state) for r in await world.jobs.history(job.id)][-2:]
    assert notes == [
        ("secondary failed", provider(3), job.state),
        ("secondary replaced", provider(3), job.state),
    ]
    assert provider(7) in (await world.jobs.history(job.id))[-1].reason


async def test_a_working_secondary_can_be_replaced_in_one_step(world: World) -> None:
    job = await world.replicating()
    await world.jobs.replace_secondary(job, C(0), provider(1), "slow", secondary(job, 0, 8))
    assert (await world.jobs.secondaries(job.id))[0].error == "slow"
    with pytest.raises(JobMoved):
        await world.jobs.secondary_done(job, C(0), provider(1), HASH, SIGNATURE)  # too late: its column is another's
    with pytest.raises(JobMoved):
        await world.jobs.replace_secondary(job, C(0), provider(1), "slow", secondary(job, 0, 7))
    await world.jobs.secondary_done(job, C(0), provider(8), HASH, SIGNATURE)


async def test_a_provider_that_failed_may_be_chosen_again_in_its_column(world: World) -> None:
    job = await world.replicating()
    await world.jobs.secondary_failed(job, C(5), provider(6), "restarting")
    await world.jobs.replace_secondary(job, C(5), provider(6), "restarting", secondary(job, 5, 6))
    await world.jobs.secondary_done(job, C(5), provider(6), HASH, SIGNATURE)
    assert [row for row in await states(world, job) if row[0] == 5] == [
        (5, provider(6), SecondaryState.FAILED),
        (5, provider(6), SecondaryState.DONE),
    ]


async def test_a_provider_never_has_two_columns(world: World) -> None:
    job = await world.replicating()
    with pytest.raises(Exception, match=r"(?i)unique|duplicate"):
        await world.jobs.replace_secondary(job, C(0), provider(1), "slow", secondary(job, 0, 2))
    assert await world.jobs.secondaries(job.id) == [secondary(job, i, i + 1) for i in range(6)]
    assert [r.event for r in await world.jobs.history(job.id)][-1] == JobEvent.REPLICATION_STARTED


async def test_who_lost_the_lease_writes_nothing(world: World) -> None:
    job = await world.replicating()
    world.clock.advance(LEASE_MS / 1000)
    attempts = [
        world.jobs.secondary_started(job, C(0), provider(1)),
        world.jobs.secondary_done(job, C(0), provider(1), HASH, SIGNATURE),
        world.jobs.secondary_failed(job, C(0), provider(1), "slow"),
        world.jobs.replace_secondary(job, C(0), provider(1), "slow", secondary(job, 0, 7)),
        world.jobs.add_spares(job, [approval(job.object_ref(), 9)]),
    ]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [JobMoved] * 5
    assert await world.jobs.secondaries(job.id) == [secondary(job, i, i + 1) for i in range(6)]
    assert len(await world.jobs.spares(job.id)) == 2

    taken = await world.take_one(OTHER_TN)
    with pytest.raises(JobMoved):
        await world.jobs.secondary_done(job, C(0), provider(1), HASH, SIGNATURE)
    await world.jobs.secondary_done(taken, C(0), provider(1), HASH, SIGNATURE)


async def test_a_job_that_was_never_taken_has_no_one_to_write_for_it(world: World) -> None:
    held = await world.replicating()
    await world.jobs.release(held)
    free = await world.jobs.get(held.id)
    with pytest.raises(JobMoved):
        await world.jobs.secondary_started(free, C(0), provider(1))


async def test_more_spares_stand_behind_the_first_and_a_newer_approval_replaces_an_older(world: World) -> None:
    job = await world.replicating(spares=1)
    subject = job.object_ref()
    await world.jobs.add_spares(job, [approval(subject, 9), approval(subject, 8), approval(subject, 9)])
    newer = approval(subject, 7)
    newer = replace(newer, approval=replace(newer.approval, expires_height=9_999))
    await world.jobs.add_spares(job, [newer])
    spares = await world.jobs.spares(job.id)
    assert [s.approval.approver for s in spares] == [provider(9), provider(8), provider(7)]
    assert spares[-1] == newer


async def test_secondaries_the_chain_refused_are_placed_anew_and_the_others_keep_their_receipts(world: World) -> None:
    job = await world.replicating()
    for index in range(6):
        await world.jobs.secondary_done(job, C(index), provider(index + 1), HASH, SIGNATURE)
    for event in (JobEvent.ALL_SECONDARIES_SIGNED, JobEvent.SIGNING_STARTED, JobEvent.SIGNING_FAILED):
        job = await world.jobs.move(job, Move(event, TN))
    await world.jobs.secondary_failed(job, C(4), provider(5), "left the network")
    job = await world.jobs.move(job, Move(JobEvent.SECONDARIES_REJECTED, TN))
    await world.jobs.replace_secondary(job, C(4), provider(5), "left the network", secondary(job, 4, 7))
    assert [row for row in await states(world, job) if row[2] is not SecondaryState.FAILED] == [
        *((i, provider(i + 1), SecondaryState.DONE) for i in (0, 1, 2, 3, 5)),
        (4, provider(7), SecondaryState.CHOSEN),
    ]
