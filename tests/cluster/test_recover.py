"""A provider has lost its database and its disk: what the chain and the others know brings back what it served."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from sp.domain.findings import Finding, ScrubOrder, Tally
from sp.domain.ids import ObjectId
from sp.domain.jobs import PutOrder, SecondaryState
from sp.domain.lifecycle import JobState
from sp.domain.pieces import SegmentKey
from tests.cluster.conftest import BUCKET
from tests.cluster.damage import everything, flip, piece
from tests.cluster.network import KIB, Network, Sp
from tests.cluster.s3 import S3
from tests.vectors import payload

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAN: dict[str, Any] = {
    "sps": 7,
    "manual_chores": True,
    "changes": {"downloader": {"piece_timeout_s": 5.0}, "receiver": {"piece_timeout_s": 5.0}},
}
BODY = payload(3 * 64 * KIB + 99)
NEWER = payload(64 * KIB)  # not so small that it lies in SPDB
BODIES = {"large": BODY, "one byte": b"x", "empty": b"", "folder/overwritten": BODY[::-1]}


async def put(network: Network, s3: S3, name: str, body: bytes) -> None:
    answer = await s3.put(BUCKET, name, body)
    assert answer.status == 200, answer.body
    await network.sealed(network.sps[0], BUCKET, name)


async def lose_everything(sp: Sp) -> None:
    """Database and pieces; the keys are kept elsewhere."""
    await sp.stop()
    for path in sp.dir.glob("*.db*"):
        path.unlink()
    for path in sp.dir.glob("spdb*"):
        path.unlink()
    shutil.rmtree(sp.dir / "pieces")
    await sp.start()
    assert await sp.keys() == []
    assert await sp.rows() == {}


async def recovered(stream: Any) -> tuple[list[Finding], Tally]:
    frames = [each async for each in stream]
    assert isinstance(frames[-1], Tally)
    return [each for each in frames if isinstance(each, Finding)], frames[-1]


def order(name: str = "", bucket: str = BUCKET) -> ScrubOrder:
    return ScrubOrder(bucket, name, repair=True, resume=True, recover=True)


async def test_a_primary_serves_again_what_it_had_sealed(network: Network, s3: S3) -> None:
    primary = network.sps[0]
    await put(network, s3, "folder/overwritten", BODY)
    for name, body in BODIES.items():
        await put(network, s3, name, body)
    await network.settle()
    before = everything(network)
    await lose_everything(primary)
    assert (await s3.get(BUCKET, "large")).status == 404
    large = await network.chain.head_object(BUCKET, "large")
    liar = network.sp_of(large.secondaries[0])
    for index in range(4):
        key = next(k for k in await liar.keys() if k.startswith(f"e{large.id}_s{index}_"))
        path = next(p for p in (liar.dir / "pieces").glob(f"*/*/{key}"))
        path.write_bytes(bytes(reversed(path.read_bytes())))  # its piece is not what it has signed for
    findings, tally = await recovered(primary.downloader.scrub(order()))
    assert tally.well, findings
    assert {f.object_name for f in findings} == set(BODIES)
    for name, body in BODIES.items():
        answer = await s3.get(BUCKET, name)
        assert (answer.status, answer.body) == (200, body), name
        entry = await primary.downloader.head(BUCKET, name)
        found = await network.chain.head_object(BUCKET, name)
        assert (entry.job.object_id, entry.job.version, entry.job.state) == (
            found.id,
            found.version,
            JobState.SEAL_OBJECT_DONE,
        )
        detail = await primary.tasknode.get_job(entry.job.id)
        assert tuple(s.provider for s in detail.secondaries if s.state is SecondaryState.DONE) == found.secondaries
        assert [row.event for row in detail.history] == ["created", "upload started", "recovered"]
    again, tally = await recovered(primary.downloader.scrub(order()))
    assert (again, tally.well) == ([], True)
    await network.settle()
    await put(network, s3, "large", BODY + b"!")
    assert (await s3.get(BUCKET, "large")).body == BODY + b"!"
    await network.settle()
    count = sum(name.startswith("sp0/") for name in everything(network))
    assert count == sum(name.startswith("sp0/") for name in before) + 1  # "one byte" lay in SPDB, and is a file now


async def test_a_put_acknowledged_after_the_loss_keeps_its_name(network: Network, s3: S3) -> None:
    primary = network.sps[0]
    await put(network, s3, "newer", BODY)
    await lose_everything(primary)
    network.node.faults.pause_blocks = True
    assert (await s3.put(BUCKET, "newer", NEWER)).status == 200
    findings, tally = await recovered(primary.downloader.scrub(order("newer")))
    assert tally.well, findings
    assert (await s3.get(BUCKET, "newer")).body == NEWER
    network.node.faults.pause_blocks = False
    network.node.set_faults(network.node.faults)
    await network.sealed(primary, BUCKET, "newer")
    await network.settle()
    assert (await s3.get(BUCKET, "newer")).body == NEWER
    assert len([key for key in await primary.keys() if not key.startswith("e")]) == 1


async def test_what_was_not_sealed_is_named_as_lost(network: Network, s3: S3) -> None:
    primary = network.sps[0]
    await put(network, s3, "sealed", BODY)
    held_up = network.sps[1:3]
    for sp in held_up:
        sp.services["p2p"].answering.door.close("for a while")
    assert (await s3.put(BUCKET, "unsealed", BODY)).status == 200
    await network.until(primary, BUCKET, "unsealed", lambda detail: bool(detail.job.error))
    await lose_everything(primary)
    for sp in held_up:
        sp.services["p2p"].answering.door.open()
    findings, tally = await recovered(primary.downloader.scrub(order()))
    assert (await s3.get(BUCKET, "sealed")).body == BODY
    lost = [f for f in findings if not f.well]
    assert [f.object_name for f in lost] == ["unsealed"]
    assert tally.unrepaired == 1


async def test_an_interrupted_recovery_leaves_an_upload_that_is_collected(network: Network, s3: S3) -> None:
    primary = network.sps[0]
    await put(network, s3, "interrupted", BODY)
    found = await network.chain.head_object(BUCKET, "interrupted")
    await lose_everything(primary)
    params = await network.chain.params_at(found.create_at)
    wanted = PutOrder(BUCKET, found.name, found.creator, len(BODY), params, object_id=found.id, version=found.version)
    job = await primary.tasknode.jobs.begin_upload(wanted, "a recovery that died", lease_ms=0)
    await primary.pieces.put(SegmentKey(job.id, 0), BODY[: 64 * KIB])  # type: ignore[arg-type]  # a number is an index
    findings, tally = await recovered(primary.downloader.scrub(order("interrupted")))
    assert tally.well, findings
    await network.settle()
    assert (await s3.get(BUCKET, "interrupted")).body == BODY
    assert not [key for key in await primary.keys() if key.startswith(f"s{job.id}_")]


async def test_a_secondary_has_its_pieces_and_rows_again_bit_by_bit(network: Network, s3: S3) -> None:
    await put(network, s3, "theirs", BODY)
    await put(network, s3, "small", b"small")
    await network.settle()
    found = await network.chain.head_object(BUCKET, "theirs")
    sp = network.sp_of(found.secondaries[2])
    before, rows = everything(network), await sp.rows()
    await lose_everything(sp)
    job = await network.job(network.sps[0], BUCKET, "theirs")
    sibling = network.sp_of(found.secondaries[0])
    flip(sibling, piece(job, 1, 0))
    findings, tally = await recovered(sp.services["receiver"].scrub(order(bucket="")))
    assert tally.well, findings
    await network.settle()
    now = everything(network)
    assert {k: v for k, v in now.items() if k.startswith(f"{sp.name}/")} == {
        k: v for k, v in before.items() if k.startswith(f"{sp.name}/")
    }
    assert await sp.rows() == rows
    challenge = await sp.services["receiver"].challenge(ObjectId(found.id), 2, 0)
    challenge.check(found.checksums[3])
    assert (await s3.get(BUCKET, "theirs")).body == BODY
