"""Jobs are moved by compare-and-set, with their history and what follows, all or nothing."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import update

from sp.domain.errors import (
    IllegalMove,
    InvalidRequest,
    JobMoved,
    NoSuchJob,
    ObjectNotCreated,
    UploadInProgress,
)
from sp.domain.ids import JobId, ObjectId, TxHash
from sp.domain.jobs import JobFilter, Move
from sp.domain.lifecycle import TABLE, JobEvent, JobState
from spdb.models.jobs import COLLECTED, TO_COLLECT, jobs
from tests.contracts.spdb_world import LEASE_MS, PATHS, PAYLOAD, TN, UP, World

E, S = JobEvent, JobState


async def test_a_new_job_is_uploading_and_its_history_has_both_first_states(world: World) -> None:
    job = await world.begin()
    assert job == await world.jobs.get(job.id)
    assert (job.state, job.lease_owner, job.lease_until_ms) == (S.UPLOAD_OBJECT_DOING, UP, world.now() + LEASE_MS)
    assert job.headers == {"content-type": "image/png"}
    assert job.delegated
    rows = await world.jobs.history(job.id)
    assert [(r.seq, r.from_state, r.state) for r in rows] == [(1, S(0), S(0)), (2, S(0), S(1))]
    assert await world.objects.head("bucket", "photo") is None


async def test_a_finished_upload_is_what_its_name_means_and_is_due(world: World) -> None:
    begun = await world.begin()
    world.clock.advance(1)
    job = await world.jobs.finish_upload(begun, PAYLOAD, UP)
    assert job == await world.jobs.get(job.id)
    assert (job.state, job.root, job.segment_checksums) == (
        S.UPLOAD_OBJECT_DONE,
        PAYLOAD.root,
        PAYLOAD.segment_checksums,
    )
    assert (job.lease_owner, job.next_attempt_at_ms) == ("", world.now())
    entry = await world.objects.head("bucket", "photo")
    assert entry is not None
    assert (entry.job, entry.updated_at_ms) == (job, world.now())
    assert await world.jobs.next_due_ms() == world.now()


async def test_headers_that_came_behind_the_payload_are_kept_with_the_others(world: World) -> None:
    begun = await world.begin()
    behind = {"x-amz-checksum-crc32": "NhCmhg=="}
    job = await world.jobs.finish_upload(begun, replace(PAYLOAD, headers=behind), UP)
    assert job.headers == {**begun.headers, **behind}
    assert (await world.jobs.get(job.id)).headers == job.headers


async def test_an_upload_is_finished_once(world: World) -> None:
    begun = await world.begin()
    await world.jobs.finish_upload(begun, PAYLOAD, UP)
    with pytest.raises(JobMoved):
        await world.jobs.finish_upload(begun, PAYLOAD, UP)
    assert len(await world.jobs.history(begun.id)) == 3


async def test_the_put_that_is_acknowledged_last_wins_though_it_began_first(world: World) -> None:
    first, second = await world.begin(), await world.begin()
    await world.jobs.finish_upload(second, PAYLOAD, UP)
    await world.jobs.finish_upload(first, PAYLOAD, UP)
    entry = await world.objects.head("bucket", "photo")
    assert entry is not None
    assert entry.job.id == first.id
    newest = await world.jobs.newest_of("bucket", "photo")
    assert newest is not None
    assert newest.id == second.id


async def test_a_failed_upload_is_garbage_and_failing_it_again_changes_nothing(world: World) -> None:
    job = await world.begin()
    await world.jobs.fail_upload(job.id, "client went away\0", UP)
    await world.jobs.fail_upload(job.id, "again", UP)
    failed = await world.jobs.get(job.id)
    assert (failed.state, failed.error, failed.lease_owner) == (S.UPLOAD_OBJECT_ERROR, "client went away\ufffd", "")
    assert [j.id for j in await world.jobs.collectable(10)] == [job.id]
    assert len(await world.jobs.history(job.id)) == 3
    with pytest.raises(JobMoved):
        await world.jobs.finish_upload(job, PAYLOAD, UP)


async def test_failing_an_acknowledged_upload_changes_nothing(world: World) -> None:
    job = await world.put()
    await world.jobs.fail_upload(job.id, "too late", UP)
    assert await world.jobs.get(job.id) == job


async def test_an_upload_expires_with_its_lease_and_a_renewed_one_does_not(world: World) -> None:
    lost, kept = await world.begin("lost"), await world.begin("kept")
    world.clock.advance(LEASE_MS / 1000 - 1)
    assert await world.jobs.expired_uploads(10) == []
    assert await world.jobs.renew_lease(kept.id, UP, LEASE_MS)
    world.clock.advance(1)
    assert [job.id for job in await world.jobs.expired_uploads(10)] == [lost.id]
    await world.jobs.fail_upload(kept.id, "reaped", "reaper", only_expired=True)
    await world.jobs.fail_upload(lost.id, "reaped", "reaper", only_expired=True)
    assert (await world.jobs.get(kept.id)).state is S.UPLOAD_OBJECT_DOING
    assert not await world.jobs.renew_lease(lost.id, UP, LEASE_MS)
    finished = await world.jobs.finish_upload(kept, PAYLOAD, UP)  # a renewal does not make the job stale
    assert finished.state is S.UPLOAD_OBJECT_DONE


async def test_an_object_on_chain_takes_one_payload(world: World) -> None:
    first = await world.begin(object_id=5)
    with pytest.raises(UploadInProgress):
        await world.begin(object_id=5)
    await world.begin(object_id=5, version=1)  # another content
    await world.jobs.finish_upload(first, PAYLOAD, UP)
    with pytest.raises(ObjectNotCreated) as caught:
        await world.begin(object_id=5)
    assert caught.value.status == "UPLOAD_OBJECT_DONE"


async def test_an_object_on_chain_may_be_brought_again_after_its_upload_died(world: World) -> None:
    await world.begin(object_id=5)
    world.clock.advance(LEASE_MS / 1000)
    second = await world.begin(object_id=5)
    await world.jobs.fail_upload(second.id, "client went away", UP)
    assert (await world.put(object_id=5)).object_id == 5


async def test_of_two_uploads_of_one_object_at_once_one_is_refused(world: World) -> None:
    outcomes = await asyncio.gather(*(world.begin(object_id=9) for _ in range(8)), return_exceptions=True)
    assert sorted(isinstance(outcome, UploadInProgress) for outcome in outcomes) == [False] + [True] * 7


@pytest.mark.parametrize("name", ["", "nul\0", "\ud800", "x" * 1025, "é" * 513])
async def test_a_name_no_database_can_hold_is_refused(world: World, name: str) -> None:
    with pytest.raises(InvalidRequest):
        await world.begin(name)
    assert await world.objects.head("bucket", "nul\0") is None
    assert await world.jobs.newest_of("bucket", "\ud800") is None


async def test_every_legal_move_is_stored_with_a_history_row(world: World) -> None:
    for number, ((state, event), target) in enumerate(TABLE.items()):
        if state not in PATHS:
            continue  # the uploader's own states: begin, finish and fail above
        job = await world.lead(await world.put(f"n{number}"), state)
        before = len(await world.jobs.history(job.id))
        moved = await world.jobs.move(job, Move(event, TN, "because"))
        assert moved == await world.jobs.get(job.id)
        assert moved.state is target
        assert moved.row_version == job.row_version + 1
        assert moved.error == ("because" if target.name.endswith("_ERROR") else "")
        rows = await world.jobs.history(job.id)
        assert len(rows) == before + 1
        last = rows[-1]
        assert (last.from_state, last.state, last.event, last.reason, last.actor) == (
            state,
            target,
            event,
            "because",
            TN,
        )


async def test_every_illegal_move_is_refused_and_leaves_no_trace(world: World) -> None:
    for state in PATHS:
        job = await world.lead(await world.put(state.name), state)
        rows = await world.jobs.history(job.id)
        for event in JobEvent:
            if (state, event) not in TABLE:
                with pytest.raises(IllegalMove):
                    await world.jobs.move(job, Move(event, TN))
        assert await world.jobs.get(job.id) == job
        assert await world.jobs.history(job.id) == rows


async def test_two_moves_in_one_transaction_give_two_history_rows(world: World) -> None:
    job = await world.lead(await world.put(), S.ALLOC_SECONDARY_DOING)
    moved = await world.jobs.move(
        job, Move(E.SECONDARIES_CHOSEN, TN, object_id=ObjectId(4), version=2), Move(E.REPLICATION_STARTED, TN)
    )
    assert (moved.state, moved.object_id, moved.version) == (S.REPLICATE_OBJECT_DOING, 4, 2)
    assert moved.row_version == job.row_version + 1
    rows = await world.jobs.history(job.id)
    assert [(r.seq, r.from_state, r.state) for r in rows[-2:]] == [(5, S(4), S(5)), (6, S(5), S(7))]


async def test_a_second_move_that_is_illegal_undoes_the_first(world: World) -> None:
    job = await world.lead(await world.put(), S.ALLOC_SECONDARY_DOING)
    with pytest.raises(IllegalMove):
        await world.jobs.move(job, Move(E.SECONDARIES_CHOSEN, TN), Move(E.SEAL_BROADCAST, TN))
    assert await world.jobs.get(job.id) == job


async def test_of_tasks_that_move_one_job_exactly_one_wins(world: World) -> None:
    job = await world.put()
    outcomes = await asyncio.gather(
        *(world.jobs.move(job, Move(E.ALLOCATION_STARTED, f"task {i}")) for i in range(8)), return_exceptions=True
    )
    assert sum(isinstance(outcome, JobMoved) for outcome in outcomes) == 7
    assert [r.state for r in await world.jobs.history(job.id)] == [S(0), S(1), S(2), S(4)]


async def test_a_stale_job_is_not_moved_though_its_state_is_the_same_again(world: World) -> None:
    job = await world.lead(await world.put(), S.ALLOC_SECONDARY_DOING)
    failed = await world.jobs.move(job, Move(E.ALLOCATION_FAILED, TN, "no peers"))
    await world.jobs.move(failed, Move(E.ALLOCATION_STARTED, TN))
    with pytest.raises(JobMoved):
        await world.jobs.move(job, Move(E.ALLOCATION_FAILED, TN, "no peers"))


async def test_a_failure_keeps_its_words_attempts_and_next_attempt_until_the_retry(world: World) -> None:
    job = await world.lead(await world.put(), S.SIGN_OBJECT_DOING)
    at = world.now() + 5_000
    failed = await world.jobs.move(
        job, Move(E.SIGNING_FAILED, TN, "signer is down", attempts=3, next_attempt_at_ms=at, release_lease=True)
    )
    assert (failed.error, failed.attempts, failed.next_attempt_at_ms) == ("signer is down", 3, at)
    again = await world.jobs.move(failed, Move(E.SIGNING_STARTED, TN, tx_hash=TxHash("ab")))
    assert (again.error, again.attempts, again.tx_hash) == ("", 3, "ab")
    assert (await world.jobs.history(job.id))[-1].attempt == 3


async def test_a_final_job_waits_for_nobody(world: World) -> None:
    await world.put()
    job = await world.lead(await world.take_one(), S.SEAL_OBJECT_TX_DOING)
    assert job.lease_owner == TN
    sealed = await world.jobs.move(job, Move(E.SEAL_SEEN, TN))
    assert (sealed.lease_owner, sealed.lease_until_ms, sealed.next_attempt_at_ms) == ("", 0, None)
    assert await world.jobs.next_due_ms() is None
    assert await world.jobs.collectable(10) == []


async def test_a_seal_makes_garbage_of_earlier_puts_of_its_name_and_of_no_other(world: World) -> None:
    old = await world.lead(await world.put(), S.SEAL_OBJECT_DONE)
    stuck = await world.lead(await world.put(), S.ALLOC_SECONDARY_DOING)
    stuck = await world.jobs.move(stuck, Move(E.ALLOCATION_FAILED, TN, "no", given_up=True))
    other = await world.lead(await world.put("other"), S.SEAL_OBJECT_DONE)
    current, later = await world.put(), await world.put()
    assert await world.jobs.collectable(10) == []
    await world.lead(current, S.SEAL_OBJECT_DONE)
    assert {job.id for job in await world.jobs.collectable(10)} == {old.id, stuck.id}
    assert (await world.jobs.get(later.id)) == later
    assert (await world.jobs.get(other.id)) == other
    with pytest.raises(IllegalMove):
        await world.jobs.retry_now(stuck.id)  # its pieces may be gone


async def test_a_discontinued_job_is_garbage_and_its_name_leads_nowhere(world: World) -> None:
    job = await world.put()
    await world.jobs.move(job, Move(E.DISCONTINUED, TN, "deleted on chain"))
    assert await world.objects.head("bucket", "photo") is None
    assert [j.id for j in await world.jobs.collectable(10)] == [job.id]


async def test_discontinuing_a_replaced_job_leaves_the_name_to_its_successor(world: World) -> None:
    old, new = await world.put(), await world.put()
    await world.jobs.move(old, Move(E.DISCONTINUED, TN, "replaced"))
    entry = await world.objects.head("bucket", "photo")
    assert entry is not None
    assert entry.job.id == new.id


async def test_garbage_is_collected_then_purged_after_its_retention(world: World) -> None:
    sealed = await world.lead(await world.put("kept"), S.SEAL_OBJECT_DONE)
    job = await world.begin()
    await world.jobs.fail_upload(job.id, "gone", UP)
    assert await world.jobs.purge(0, 10) == 0
    await world.jobs.collected(job.id)
    await world.jobs.collected(job.id)
    await world.jobs.collected(sealed.id)  # no garbage: nothing happens
    assert await world.jobs.collectable(10) == []
    assert [r.event for r in await world.jobs.history(job.id)][-1] == "pieces collected"
    world.clock.advance(60)
    assert await world.jobs.purge(60_000, 10) == 0
    world.clock.advance(0.001)
    assert await world.jobs.purge(60_000, 10) == 1
    with pytest.raises(NoSuchJob):
        await world.jobs.get(job.id)
    with pytest.raises(NoSuchJob):
        await world.jobs.history(job.id)
    assert (await world.jobs.get(sealed.id)).state is S.SEAL_OBJECT_DONE


async def test_replaced_content_is_collected_after_its_readers_had_time_and_aborted_uploads_at_once(
    world: World,
) -> None:
    replaced = await world.lead(await world.put(), S.SEAL_OBJECT_DONE)
    await world.lead(await world.put(), S.SEAL_OBJECT_DONE)
    aborted = await world.begin()
    await world.jobs.fail_upload(aborted.id, "gone", UP)
    assert (await world.jobs.get(replaced.id)).collect
    marked = world.now()
    assert [j.id for j in await world.jobs.collectable(10, marked_before_ms=marked - 1)] == [aborted.id]
    assert {j.id for j in await world.jobs.collectable(10, marked_before_ms=marked)} == {replaced.id, aborted.id}


async def test_what_a_name_leads_to_is_not_collected_though_a_row_says_garbage(world: World) -> None:
    job = await world.put()
    marked = update(jobs).values(collect=TO_COLLECT, marked_at_ms=0)
    await world.db.write(lambda c: c.execute(marked) and None)
    assert await world.jobs.collectable(10) == []
    await world.db.write(lambda c: c.execute(update(jobs).values(collect=COLLECTED, collected_at_ms=0)) and None)
    assert await world.jobs.purge(0, 10) == 0
    assert (await world.jobs.get(job.id)).state is S.UPLOAD_OBJECT_DONE


async def test_jobs_are_listed_newest_first_by_filter(world: World) -> None:
    done = [await world.put(f"n{i}") for i in range(3)]
    failed = await world.lead(await world.put("f", bucket="b2"), S.SEAL_OBJECT_ERROR)
    sealed = await world.lead(await world.put("s", bucket="b2"), S.SEAL_OBJECT_DONE)

    async def ids(**wanted: object) -> list[JobId]:
        return [job.id for job in await world.jobs.list(JobFilter(**wanted))]  # type: ignore[arg-type]  # passed through

    newest_first = [sealed.id, failed.id, *(job.id for job in reversed(done))]
    assert await ids() == newest_first
    assert await ids(limit=2) == newest_first[:2]
    assert await ids(before=newest_first[1], limit=2) == newest_first[2:4]
    assert await ids(bucket="b2") == newest_first[:2]
    assert await ids(bucket="b2", states=(S.SEAL_OBJECT_DONE,)) == [sealed.id]
    assert await ids(states=(S.SEAL_OBJECT_DONE, S.UPLOAD_OBJECT_DONE), limit=2) == [sealed.id, done[2].id]
    assert await ids(failed_only=True) == [failed.id]
    assert await ids(failed_only=True, states=(S.SEAL_OBJECT_DONE,)) == []
    assert await world.jobs.counts() == {S.UPLOAD_OBJECT_DONE: 3, S.SEAL_OBJECT_ERROR: 1, S.SEAL_OBJECT_DONE: 1}


async def test_a_note_is_history_and_leaves_the_job_as_it_is(world: World) -> None:
    job = await world.put()
    await asyncio.gather(*(world.jobs.note(job, "looked", f"for the {i}th time", "0xabc", TN) for i in range(5)))
    assert await world.jobs.get(job.id) == job
    rows = await world.jobs.history(job.id)
    assert [r.seq for r in rows] == list(range(1, 9))
    assert (rows[-1].from_state, rows[-1].state, rows[-1].provider) == (job.state, job.state, "0xabc")


async def test_an_unknown_job_is_said_to_be_unknown(world: World) -> None:
    for number in (1, 2**63, -1):
        with pytest.raises(NoSuchJob):
            await world.jobs.get(JobId(number))
    with pytest.raises(NoSuchJob):
        await world.jobs.history(JobId(1))
    with pytest.raises(NoSuchJob):
        await world.jobs.secondaries(JobId(1))
    with pytest.raises(NoSuchJob):
        await world.jobs.fail_upload(JobId(1), "", UP)
    with pytest.raises(NoSuchJob):
        await world.jobs.retry_now(JobId(1))
    assert not await world.jobs.renew_lease(JobId(1), UP, LEASE_MS)


async def test_a_job_id_that_another_process_has_drawn_is_drawn_again(world: World) -> None:
    job = await world.put()
    world.ids = iter([int(job.id), 7])
    assert (await world.begin("other")).id == 7
    assert await world.jobs.get(job.id) == job
    assert len(await world.jobs.history(job.id)) == 3
