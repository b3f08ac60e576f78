"""Scrubbing: damage that nobody has read yet is found and mended, on primaries and secondaries, and nothing that is
gone comes back."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import pytest

from downloader import inspecting
from receiver.gathering import Gatherer
from sp.domain.errors import NoSuchJob, StoreFailed
from sp.domain.findings import Finding, Health, ScrubOrder, Tally
from sp.domain.ids import SegmentIndex
from sp.domain.jobs import Job
from sp.runtime.metrics import counter
from sp.runtime.pace import unpaced
from tests.cluster import damage
from tests.cluster.conftest import BUCKET
from tests.cluster.network import KIB, Network, Sp
from tests.cluster.s3 import S3
from tests.vectors import payload

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("nothing_left_afterwards")]

SCRUB = {"scrub_bytes_per_s": 10**9, "scrub_pause_s": 0.0}
PLAN: dict[str, Any] = {
    "sps": 7,
    "manual_chores": True,
    "changes": {
        "uploader": {"small_object_bytes": 0},  # every segment is a file
        "downloader": {**SCRUB, "piece_timeout_s": 3.0},
        "receiver": {**SCRUB, "piece_timeout_s": 3.0, "takeover_timeout_s": 0.2},
    },
}
SEGMENT = 64 * KIB
BODY = payload(4 * SEGMENT + 77)


async def put(network: Network, s3: S3, name: str, body: bytes = BODY) -> Job:
    """A sealed object that every provider knows to be sealed."""
    answer = await s3.put(BUCKET, name, body)
    assert answer.status == 200, answer.body
    job = (await network.sealed(network.sps[0], BUCKET, name)).job
    await network.settle()
    return job


async def deleted(s3: S3, name: str) -> None:
    assert (await s3.call("DELETE", f"/{BUCKET}/{quote(name)}")).status == 204


async def order(sp: Sp, wanted: ScrubOrder) -> tuple[list[Finding], Tally]:
    """What the primary's part of an operator's order found."""
    frames = [each async for each in sp.downloader.scrub(wanted)]
    findings = [each for each in frames if isinstance(each, Finding)]
    last = frames[-1]
    assert isinstance(last, Tally)
    return findings, last


def counted(name: str, what: str) -> float:
    value: float = counter(f"sp_scrub_{name}_total", "", ["what"]).labels(what)._value.get()
    return value


async def test_one_pass_brings_every_damaged_and_lost_piece_back_bit_by_bit(network: Network, s3: S3) -> None:
    primary = network.sps[0]
    jobs = [await put(network, s3, name) for name in ("a", "b")]
    before = damage.everything(network)
    for job in jobs:
        held = await damage.holders(network, job)
        damage.flip(primary, damage.segment(job, 0))
        damage.lose(primary, damage.segment(job, 1))
        damage.truncate(primary, damage.segment(job, 2))
        primary.pieces.corrupt(damage.segment(job, 4), 5)
        damage.flip(held[0], damage.piece(job, 0, 0))
        damage.lose(held[5], damage.piece(job, 0, 5))
        damage.truncate(held[2], damage.piece(job, 1, 2))
        held[3].pieces.corrupt(damage.piece(job, 4, 3))
    assert damage.everything(network) != before
    damaged, repaired = counted("damaged", "pieces"), counted("repaired", "pieces")
    await network.settle()
    assert damage.everything(network) == before
    assert await primary.pieces.get(damage.segment(jobs[0], 4)) == BODY[4 * SEGMENT :]
    assert counted("damaged", "pieces") - damaged == counted("repaired", "pieces") - repaired == 8
    assert "scrubbed" in [row.event for row in (await primary.tasknode.get_job(jobs[0].id)).history]


async def test_two_secondaries_are_down_and_the_others_mend_themselves_with_the_primarys_help(
    network: Network, s3: S3
) -> None:
    """With three of six columns left there are too few siblings: the primary's whole segment makes the piece."""
    job = await put(network, s3, "two down")
    before = damage.everything(network)
    held = await damage.holders(network, job)
    for sp in held[:2]:
        await sp.stop()
    damage.lose(network.sps[0], damage.segment(job, 1))
    damage.flip(held[3], damage.piece(job, 0, 3))
    damage.lose(held[5], damage.piece(job, 2, 5))
    await network.settle(*[sp for sp in network.sps if sp.runs])
    assert damage.everything(network) == before


async def test_what_cannot_be_repaired_is_reported_and_the_rest_is_repaired(network: Network, s3: S3) -> None:
    primary = network.sps[0]
    job, other = await put(network, s3, "hopeless"), await put(network, s3, "hopeful")
    before = damage.everything(network)
    held = await damage.holders(network, job)
    kept = damage.file_of(primary, damage.segment(job, 0)).read_bytes()
    damage.lose(primary, damage.segment(job, 0))
    for column in (0, 1, 4):
        damage.lose(held[column], damage.piece(job, 0, column))
    for each, index in ((job, 3), (other, 0), (other, 4)):
        damage.flip(primary, damage.segment(each, index))
    unrepairable = counted("unrepairable", "segments")
    await network.settle()
    assert counted("unrepairable", "segments") > unrepairable
    missing = before.keys() - damage.everything(network).keys()
    lost = {f"{held[column].name}/{damage.piece(job, 0, column)}" for column in (0, 1, 4)}
    assert missing == {f"{primary.name}/{damage.segment(job, 0)}", *lost}
    assert all(damage.everything(network)[key] == before[key] for key in before.keys() - missing)
    findings, tally = await order(primary, ScrubOrder(BUCKET, repair=True))
    assert [(f.object_name, f.segment, f.health, f.repaired) for f in findings] == [
        ("hopeless", 0, Health.MISSING, False)
    ]
    assert "column 0" in findings[0].reason
    assert (tally.unrepaired, tally.parts, tally.well) == (1, 10, False)
    await primary.pieces.put(damage.segment(job, 0), kept)  # one copy turns up: all the others follow from it
    await network.settle()
    assert damage.everything(network) == before


async def test_a_disk_that_fails_to_read_one_segment_has_it_replaced(network: Network, s3: S3) -> None:
    primary = network.sps[0]
    await put(network, s3, "bad sector", BODY[:100])
    primary.pieces.fail_next("get", StoreFailed("disk", "EIO"))
    findings, tally = await order(primary, ScrubOrder(BUCKET, "bad sector", repair=True))
    assert [(f.health, f.repaired) for f in findings] == [(Health.UNREADABLE, True)]
    assert tally.well


# --- collection while a repair is under way -------------------------------------------------------------------------


async def repairing(primary: Sp, job: Job) -> asyncio.Task[Finding | None]:
    checker = primary.downloader.inspector.checker
    pace = unpaced(checker.rebuilder.gatherer.clock)
    return asyncio.create_task(checker.check(job, SegmentIndex(0), repair=True, pace=pace))


async def test_a_segment_written_back_while_its_object_is_collected_does_not_stay(network: Network, s3: S3) -> None:
    primary, job = network.sps[0], await put(network, s3, "gone")
    damage.flip(primary, damage.segment(job, 0))
    writing = primary.pieces.hang("commit")
    repair = await repairing(primary, job)
    await writing.reached.wait()
    await deleted(s3, "gone")
    await network.settle()
    with pytest.raises(NoSuchJob):
        await primary.tasknode.get_job(job.id)
    writing.release()
    assert await repair is None
    assert await primary.keys() == []


async def test_a_segment_rebuilt_after_its_object_was_collected_is_not_written(
    network: Network, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, job = network.sps[0], await put(network, s3, "gone early")
    damage.lose(primary, damage.segment(job, 0))
    reached, go_on = held_up(monkeypatch)
    repair = await repairing(primary, job)
    await reached.wait()
    await deleted(s3, "gone early")
    await network.settle()
    writing = primary.pieces.hang("commit")
    go_on.set()
    assert await repair is None
    assert not writing.reached.is_set()


async def test_what_a_repair_that_was_killed_had_put_back_goes_with_the_row(network: Network, s3: S3) -> None:
    primary = network.sps[0]
    await primary.restart({"uploader": {"keep_failed_ms": 3_600_000}})
    job = await put(network, s3, "killed", BODY[:500])
    await deleted(s3, "killed")
    await network.settle()
    assert await primary.keys() == []
    await primary.pieces.put(damage.segment(job, 0), BODY[:500])  # durable, and the process is gone
    await network.settle()
    assert await primary.keys() == [str(damage.segment(job, 0))]
    await primary.restart({"uploader": {"keep_failed_ms": 0}})
    await network.settle()
    assert await primary.keys() == []


def held_up(monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """The next rebuild stops with its pieces in hand: (it has come so far, it may go on)."""
    reached, go_on = asyncio.Event(), asyncio.Event()
    original = Gatherer.gather

    async def gather(self: Gatherer, *args: Any) -> bytes:
        made = await original(self, *args)
        reached.set()
        await go_on.wait()
        return made

    monkeypatch.setattr(Gatherer, "gather", gather)
    return reached, go_on


async def mending(sp: Sp, job: Job, column: int) -> asyncio.Task[Finding | None]:
    receiver = sp.services["receiver"]
    assert job.object_id is not None
    (group,) = [g for g in await receiver.records.get(job.object_id, job.version) if g.redundancy_index == column]
    checker = receiver.inspector.checker
    return asyncio.create_task(checker.check(group, SegmentIndex(0), repair=True, pace=unpaced(receiver.clock)))


async def test_a_piece_made_again_after_its_group_was_dropped_is_not_written(
    network: Network, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await put(network, s3, "dropped")
    holder = (await damage.holders(network, job))[2]
    damage.lose(holder, damage.piece(job, 0, 2))
    reached, go_on = held_up(monkeypatch)
    repair = await mending(holder, job, 2)
    await reached.wait()
    await deleted(s3, "dropped")
    await network.settle()
    assert await holder.keys() == []
    go_on.set()
    assert await repair is None
    assert await holder.keys() == []


async def test_a_group_is_dropped_whole_though_a_piece_of_it_is_being_written_back(network: Network, s3: S3) -> None:
    """The collector waits for the write, gives up for now, and comes again."""
    job = await put(network, s3, "written")
    holder = (await damage.holders(network, job))[2]
    damage.lose(holder, damage.piece(job, 0, 2))
    writing = holder.pieces.hang("commit")
    repair = await mending(holder, job, 2)
    await writing.reached.wait()
    await deleted(s3, "written")
    await network.settle()
    assert (await holder.rows())["received"] == 1
    writing.release()
    await repair
    await network.settle()
    assert await holder.keys() == []


# --- a lost disk ----------------------------------------------------------------------------------------------------


async def test_all_segments_of_a_lost_disk_come_back_and_an_interrupted_recovery_goes_on_where_it_was(
    network: Network, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspecting, "JOBS_PER_PAGE", 2)
    primary = network.sps[0]
    jobs = [await put(network, s3, f"lost {number}", BODY[: 40_000 * number + 1]) for number in range(1, 6)]
    before = damage.everything(network)
    assert damage.lose_disk(primary) == sum(job.segments for job in jobs)
    wanted = ScrubOrder(BUCKET, repair=True, resume=True)
    first = primary.downloader.scrub(wanted)
    async for each in first:
        if isinstance(each, Tally) and each.objects == 2:
            break
    await first.aclose()  # type: ignore[attr-defined]  # it is a generator, as all of these
    present = await primary.keys()
    assert len(present) == sum(job.segments for job in jobs[:2])
    _, tally = await order(primary, wanted)
    assert (tally.objects, tally.unrepaired) == (3, 0)
    assert damage.everything(network) == before
    _, tally = await order(primary, wanted)  # a run that came to its end is not resumed: all is looked at
    assert (tally.objects, tally.damaged) == (5, 0)


async def test_a_resumed_recovery_does_not_forget_what_it_could_not_repair_before_it_was_interrupted(
    network: Network, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspecting, "JOBS_PER_PAGE", 1)
    primary = network.sps[0]
    job, _ = await put(network, s3, "first", BODY[:9]), await put(network, s3, "second", BODY[:9])
    held = await damage.holders(network, job)
    damage.lose(primary, damage.segment(job, 0))
    for column in range(3):
        damage.lose(held[column], damage.piece(job, 0, column))
    wanted = ScrubOrder(BUCKET, repair=True, resume=True)
    first = primary.downloader.scrub(wanted)
    async for each in first:
        if isinstance(each, Tally):
            break
    await first.aclose()  # type: ignore[attr-defined]  # it is a generator, as all of these
    _, tally = await order(primary, wanted)
    assert (tally.objects, tally.unrepaired, tally.well) == (1, 1, False)
