"""Audits on order, pieces that mend themselves once they are asked for, and challenges; no scrubber runs here."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from proto import scrub_pb2
from proto.downloader_pb2_grpc import DownloaderStub
from proto.receiver_pb2_grpc import OwnReceiverStub
from receiver.client import Gatherer, OwnReceiver, Wanted, connect, open_receivers
from sp.domain.approvals import PieceRequest
from sp.domain.errors import (
    IntegrityMismatch,
    InvalidRequest,
    NoSuchObjectId,
    PieceCorrupt,
    PieceNotFound,
    SignatureError,
)
from sp.domain.findings import Finding, Health, ScrubOrder, Tally
from sp.domain.ids import PRIMARY, ObjectId, RedundancyIndex, SegmentIndex
from sp.domain.integrity import expected_for
from sp.domain.jobs import Job
from sp.domain.ledger import StorageProvider
from tests.cluster import damage
from tests.cluster.conftest import BUCKET
from tests.cluster.network import KIB, Network, Sp
from tests.cluster.s3 import S3
from tests.vectors import payload

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("nothing_left_afterwards")]

PLAN: dict[str, Any] = {
    "sps": 8,
    "manual_chores": True,
    "changes": {"downloader": {"piece_timeout_s": 3.0}, "receiver": {"piece_timeout_s": 3.0}},
}
BODY = payload(2 * 64 * KIB + 77)
EVERYWHERE = ScrubOrder(BUCKET, "object", everywhere=True)


async def put(network: Network, s3: S3) -> Job:
    assert (await s3.put(BUCKET, "object", BODY)).status == 200
    job = (await network.sealed(network.sps[0], BUCKET, "object")).job
    await network.settle()
    return job


async def audited(sp: Sp, order: ScrubOrder = EVERYWHERE) -> tuple[dict[tuple[int, int], Health], Tally]:
    """What was found by segment and column, and the tally."""
    frames = [each async for each in sp.downloader.scrub(order)]
    last = frames.pop()
    assert isinstance(last, Tally)
    found = [each for each in frames if isinstance(each, Finding)]
    return {(f.segment, f.redundancy_index): f.health for f in found}, last


ALL_WELL = {(segment, column): Health.OK for segment in range(3) for column in range(-1, 6)}


async def test_an_audit_proves_every_segment_and_piece_at_all_seven_providers(network: Network, s3: S3) -> None:
    await put(network, s3)
    found, tally = await audited(network.sps[0])
    assert found == ALL_WELL
    assert (tally.objects, tally.parts, tally.well) == (1, 21, True)


async def test_an_audit_says_of_each_piece_what_is_wrong_with_it(network: Network, s3: S3) -> None:
    job = await put(network, s3)
    held = await damage.holders(network, job)
    damage.flip(network.sps[0], damage.segment(job, 2))
    damage.lose(held[1], damage.piece(job, 0, 1))
    damage.flip(held[4], damage.piece(job, 2, 4))
    await held[5].stop()
    found, tally = await audited(network.sps[0])
    expected = ALL_WELL | {(2, -1): Health.CORRUPT, (0, 1): Health.MISSING, (2, 4): Health.CORRUPT}
    assert found == expected | {(segment, 5): Health.UNREACHABLE for segment in range(3)}
    assert (tally.damaged, tally.repaired, tally.unreachable) == (3, 0, 3)


async def test_a_provider_that_vouches_for_other_bytes_is_found_out(network: Network, s3: S3) -> None:
    await put(network, s3)
    original = Gatherer._ask

    async def ask(self: Gatherer, wanted: Wanted, column: RedundancyIndex, holder: StorageProvider) -> bytes:
        piece = await original(self, wanted, column, holder)
        return bytes([piece[0] ^ 1]) + piece[1:] if (wanted.segment, column) == (1, 3) else piece

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Gatherer, "_ask", ask)
        found, _ = await audited(network.sps[0])
    assert found == ALL_WELL | {(1, 3): Health.CORRUPT}


async def test_a_secondary_that_is_asked_for_a_piece_it_has_lost_mends_it_by_itself(network: Network, s3: S3) -> None:
    job = await put(network, s3)
    before = damage.everything(network)
    held = await damage.holders(network, job)
    damage.lose(held[0], damage.piece(job, 0, 0))
    damage.flip(held[3], damage.piece(job, 1, 3))
    await audited(network.sps[0])
    await network.settle()
    assert damage.everything(network) == before
    assert (await audited(network.sps[0]))[0] == ALL_WELL


async def test_an_operator_of_a_secondary_checks_and_repairs_what_it_holds(network: Network, s3: S3) -> None:
    job = await put(network, s3)
    before = damage.everything(network)
    holder = (await damage.holders(network, job))[2]
    damage.lose(holder, damage.piece(job, 0, 2))
    damage.flip(holder, damage.piece(job, 2, 2))
    own = await own_receiver(holder)
    for repair, repaired in ((False, 0), (True, 2)):
        frames = [each async for each in own.scrub(ScrubOrder(repair=repair))]
        tally = frames[-1]
        assert isinstance(tally, Tally)
        assert (tally.parts, tally.damaged, tally.repaired) == (3, 2, repaired)
    assert damage.everything(network) == before


async def own_receiver(sp: Sp) -> OwnReceiver:
    assert sp.parts is not None
    return await connect(sp.parts)


# --- challenges -----------------------------------------------------------------------------------------------------


async def test_every_provider_proves_each_of_its_pieces_against_the_chain(network: Network, s3: S3) -> None:
    job = await put(network, s3)
    assert job.object_id is not None
    found = await network.chain.head_object_by_id(job.object_id)
    proving = [network.sps[0], *await damage.holders(network, job)]
    for column, sp in zip(map(RedundancyIndex, range(-1, 6)), proving, strict=True):
        for segment in map(SegmentIndex, range(3)):
            proof = await sp.downloader.challenge(job.object_id, column, segment)
            proof.check(expected_for(found.checksums, column))
            with pytest.raises(IntegrityMismatch):
                proof.check(expected_for(found.checksums, RedundancyIndex((column + 2) % 6)))


async def test_a_challenged_provider_mends_what_it_has_lost_and_proves_it_then(network: Network, s3: S3) -> None:
    job = await put(network, s3)
    assert job.object_id is not None
    primary, holder = network.sps[0], (await damage.holders(network, job))[2]
    damage.flip(primary, damage.segment(job, 1))
    damage.lose(holder, damage.piece(job, 1, 2))
    found = await network.chain.head_object_by_id(job.object_id)
    for sp, column in ((primary, PRIMARY), (holder, RedundancyIndex(2))):
        proof = await sp.downloader.challenge(job.object_id, column, SegmentIndex(1))
        proof.check(expected_for(found.checksums, column))


async def test_a_provider_proves_nothing_that_it_does_not_hold(network: Network, s3: S3) -> None:
    job = await put(network, s3)
    assert job.object_id is not None
    primary, first = network.sps[0], SegmentIndex(0)
    with pytest.raises(PieceNotFound):
        await primary.downloader.challenge(job.object_id, RedundancyIndex(0), first)
    with pytest.raises(PieceNotFound):
        await primary.downloader.challenge(job.object_id, PRIMARY, SegmentIndex(3))
    with pytest.raises(InvalidRequest):
        await primary.downloader.challenge(job.object_id, RedundancyIndex(-2), first)
    with pytest.raises(NoSuchObjectId):
        await primary.downloader.challenge(ObjectId(2**40), PRIMARY, first)


async def test_a_changed_piece_proves_nothing(network: Network, s3: S3) -> None:
    job = await put(network, s3)
    assert job.object_id is not None
    proof = await network.sps[0].downloader.challenge(job.object_id, PRIMARY, SegmentIndex(0))
    found = await network.chain.head_object_by_id(job.object_id)
    forged = type(proof)(
        proof.object_id, 0, PRIMARY, proof.segment, b"x" + proof.piece[1:], proof.checksums, proof.root
    )
    with pytest.raises(PieceCorrupt):
        forged.check(found.checksums[0])


# --- who may ask ----------------------------------------------------------------------------------------------------


async def test_scrubs_and_challenges_cannot_be_asked_for_where_strangers_call(network: Network, s3: S3) -> None:
    async with grpc.aio.insecure_channel(network.sps[1].receiver_endpoint) as channel:
        for stub in (OwnReceiverStub(channel), DownloaderStub(channel)):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await anext(aiter(stub.Scrub(scrub_pb2.ScrubRequest(), timeout=5)))
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await anext(aiter(stub.Challenge(scrub_pb2.ChallengeRequest(object_id=1), timeout=5)))
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_segment_is_given_to_the_objects_secondaries_and_to_nobody_else(network: Network, s3: S3) -> None:
    job = await put(network, s3)
    primary, held = network.sps[0], await damage.holders(network, job)
    (spare,) = [sp for sp in network.sps[1:] if sp not in held]
    assert await segment_asked_by(held[0], primary, job) == BODY[: 64 * KIB]
    with pytest.raises(SignatureError, match="keeps no part"):
        await segment_asked_by(spare, primary, job)
    with pytest.raises(InvalidRequest, match="with the primary"):
        await segment_asked_by(held[0], held[1], job)


async def segment_asked_by(asker: Sp, holder: Sp, job: Job) -> bytes:
    assert asker.parts is not None
    assert job.object_id is not None
    now_s = asker.parts.clock.now_ms() // 1000
    request = PieceRequest(job.object_id, job.version, 0, PRIMARY, asker.operator, holder.operator, now_s)
    receivers = await open_receivers(asker.parts)
    signature = await asker.signer.sign(request)
    chunks = receivers.get_piece(holder.receiver_endpoint, request, signature, 5.0)
    return b"".join([chunk async for chunk in chunks])
