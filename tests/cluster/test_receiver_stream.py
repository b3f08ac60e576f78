"""The Receiver and its client over real gRPC on loopback, pieces on a real disk."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from piecestore.disk import open_disk_store
from piecestore.faulty import FaultyStore
from proto import receiver_pb2 as pb
from proto.receiver_pb2_grpc import ReceiverStub
from receiver.client import (
    CHUNK_BYTES,
    MAX_SMALL_GROUPS,
    SMALL_PIECE_BYTES,
    GroupSender,
    GrpcReceivers,
    Receipt,
)
from receiver.config import ReceiverConfig
from receiver.rpc import MAX_MESSAGE_BYTES, ReceiverRpc, served
from sp.domain.approvals import Offer
from sp.domain.errors import (
    DeadlineExceeded,
    GroupIncomplete,
    IntegrityMismatch,
    InvalidRequest,
    Overloaded,
    PieceCorrupt,
    ServiceUnavailable,
    SignatureError,
    WrongPieceSize,
)
from sp.domain.ids import ObjectId, SegmentIndex, Signature
from sp.domain.params import StorageParams
from sp.domain.pieces import EcPieceKey
from sp.runtime.channels import Channels
from sp.runtime.clock import SystemClock
from sp.runtime.errors import error_from_detail
from sp.runtime.rpc import dial, serving
from sp.wire import common as wire
from tests.unit.receivers import COLUMN, OBJECT_ID, Group, World, group_of, open_world, reconfigured

MIB = 1024 * 1024
PARAMS = StorageParams(max_segment_size=10 * MIB)
GROUP = group_of(25 * MIB, params=PARAMS)  # pieces of 2.5, 2.5 and 1.25 MiB


@dataclass
class Line:
    """A Receiver that listens, and the client of another provider."""

    world: World
    receivers: GrpcReceivers
    address: str

    async def offered(self, group: Group = GROUP) -> tuple[Offer, Signature]:
        offer = await self.world.offer(group.ref)
        return offer, await self.world.primary.signer.sign(offer)

    @asynccontextmanager
    async def stream(self, group: Group = GROUP, timeout_s: float = 20.0) -> AsyncIterator[GroupSender]:
        offer, signature = await self.offered(group)
        async with self.receivers.replicate(self.address, offer, signature, timeout_s) as sender:
            yield sender

    async def send(self, group: Group = GROUP) -> Receipt:
        async with self.stream(group) as sender:
            for segment, piece in enumerate(group.pieces):
                if sender.held.get(SegmentIndex(segment)) != group.piece_checksums[segment]:
                    await sender.send_piece(SegmentIndex(segment), piece)
            return await sender.finish()

    async def get(self, segment: int, timeout_s: float = 20.0) -> bytes:
        request, signature = await self.world.request(GROUP, segment)
        pieces = self.receivers.get_piece(self.address, request, Signature(signature), timeout_s)
        return b"".join([chunk async for chunk in pieces])


@asynccontextmanager
async def line(world: World) -> AsyncIterator[Line]:
    listening = serving("127.0.0.1:0", [served(world.receiver)], max_message_bytes=MAX_MESSAGE_BYTES, grace_s=0.1)
    channels = Channels(lambda endpoint: dial(endpoint, timeout_s=5.0), SystemClock(), limit=4)
    async with listening as address, channels:
        yield Line(world, GrpcReceivers(channels, SystemClock()), address)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with (
        open_world(tmp_path) as world,
        open_disk_store(tmp_path / "pieces") as disk,
    ):
        world.ledger.params = PARAMS
        world.on_chain(GROUP)
        yield reconfigured(replace(world, store=FaultyStore(disk)), ReceiverConfig(chain_lag_s=0.05))


@pytest.fixture
async def phone(world: World) -> AsyncIterator[Line]:
    async with line(world) as phone:
        yield phone


async def settled(phone: Line) -> None:
    """Until the far side has noticed that a stream is over: `drop` and a new stream wait for the claim."""
    while phone.world.receiver.streams.taken:
        await asyncio.wait([asyncio.create_task(_turn())])


async def _turn() -> None:
    loop = asyncio.get_running_loop()
    turned = loop.create_future()
    loop.call_later(0.001, turned.set_result, None)
    await turned


async def test_a_group_travels_whole_and_comes_back_piece_by_piece(phone: Line) -> None:
    receipt = await phone.send()
    assert receipt.integrity_hash == GROUP.root
    assert [await phone.get(segment) for segment in range(3)] == GROUP.pieces


async def test_the_same_offer_again_needs_no_payload(phone: Line) -> None:
    offer, signature = await phone.offered()
    async with phone.receivers.replicate(phone.address, offer, signature, 20.0) as sender:
        for segment, piece in enumerate(GROUP.pieces):
            await sender.send_piece(SegmentIndex(segment), piece)
        first = await sender.finish()
    async with phone.receivers.replicate(phone.address, offer, signature, 20.0) as sender:
        assert list(sender.held.values()) == list(GROUP.piece_checksums)
        assert await sender.finish() == first


async def test_a_stream_left_half_way_is_resumed(phone: Line) -> None:
    async with phone.stream() as sender:
        assert sender.held == {}
        await sender.send_piece(SegmentIndex(0), GROUP.pieces[0])
        await sender.send_piece(SegmentIndex(1), GROUP.pieces[1])
        # A piece is recorded before the next one's first chunk is taken, and nothing else says so on this side.
        await until_recorded(phone.world, 2)
    await settled(phone)
    async with phone.stream() as sender:
        assert list(sender.held) == [0, 1]
        await sender.send_piece(SegmentIndex(2), GROUP.pieces[2])
        assert (await sender.finish()).integrity_hash == GROUP.root


async def until_recorded(world: World, pieces: int) -> None:
    while len((await world.records.open(GROUP.ref, COLUMN, world.primary.operator))[1]) < pieces:
        await _turn()


async def test_a_sender_that_dies_within_a_piece_leaves_no_part_of_it(phone: Line, tmp_path: Path) -> None:
    async with phone.stream() as sender:
        await sender.send_piece(SegmentIndex(0), GROUP.pieces[0])
        await until_recorded(phone.world, 1)
        sending = asyncio.create_task(sender.send_piece(SegmentIndex(1), GROUP.pieces[1]))
        await _turn()
        sending.cancel()
        await asyncio.wait([sending])
    await settled(phone)
    files = {path.name for path in (tmp_path / "pieces").rglob("*") if path.is_file()}
    assert files == {"e42_s0_p2"}
    assert (await phone.send()).integrity_hash == GROUP.root


async def test_every_kind_of_payload_buffer_arrives_as_the_same_bytes(phone: Line) -> None:
    async with phone.stream() as sender:
        await sender.send_piece(SegmentIndex(0), bytearray(GROUP.pieces[0]))
        await sender.send_piece(SegmentIndex(1), memoryview(GROUP.pieces[1]))
        await sender.send_piece(SegmentIndex(2), GROUP.pieces[2])
        assert (await sender.finish()).integrity_hash == GROUP.root


# --- errors arrive as what they are


async def test_a_refused_offer_is_its_own_error_at_the_senders_side(phone: Line) -> None:
    offer, _ = await phone.offered()
    with pytest.raises(SignatureError, match="not signed by its sender"):
        async with phone.receivers.replicate(phone.address, offer, Signature(b"\1" * 64 + b"\0"), 20.0):
            pytest.fail("an unsigned offer was taken")


async def test_wrong_bytes_are_refused_and_leave_nothing_behind(phone: Line) -> None:
    wrong = replace(group_of(25 * MIB, seed=9, params=PARAMS), ref=GROUP.ref)
    with pytest.raises(IntegrityMismatch):
        await phone.send(wrong)
    await settled(phone)
    assert await phone.world.keys() == set()
    assert await phone.world.groups() == []


async def test_a_missing_piece_is_named_to_the_sender(phone: Line) -> None:
    async with phone.stream() as sender:
        await sender.send_piece(SegmentIndex(0), GROUP.pieces[0])
        await sender.send_piece(SegmentIndex(2), GROUP.pieces[2])
        with pytest.raises(GroupIncomplete, match="e42_s1_p2"):
            await sender.finish()


async def test_a_sender_that_is_refused_within_its_payload_learns_why(phone: Line) -> None:
    """The far side ends the stream while the sender still writes: the write must raise what was sent back."""
    async with phone.stream() as sender:
        with pytest.raises(WrongPieceSize):
            await endless(sender)


async def endless(sender: GroupSender) -> None:
    while True:
        await sender.send_piece(SegmentIndex(0), bytes(4 * MIB))


# --- groups that come whole


SMALL = group_of(200_000, seed=3, object_id=ObjectId(77), params=PARAMS)  # one piece of 50,000 bytes


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many small groups came in each call. To be named before `phone`, which serves what it finds."""
    calls: list[int] = []
    true = ReceiverRpc.ReplicateSmall

    async def counted(self: ReceiverRpc, request: pb.ReplicateSmallRequest, context: Any) -> pb.ReplicateSmallReply:
        calls.append(len(request.groups))
        return await true(self, request, context)

    monkeypatch.setattr(ReceiverRpc, "ReplicateSmall", counted)
    return calls


@pytest.fixture
def refused_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """As `calls`, of a Receiver whose version does not know them."""
    calls: list[int] = []

    async def unknown(self: ReceiverRpc, request: pb.ReplicateSmallRequest, context: Any) -> None:
        calls.append(len(request.groups))
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")

    monkeypatch.setattr(ReceiverRpc, "ReplicateSmall", unknown)
    return calls


async def place(phone: Line, group: Group, signature: Signature | None = None) -> Receipt:
    offer, true = await phone.offered(group)
    return await phone.receivers.replicate_small(phone.address, offer, signature or true, group.pieces[0], 20.0)


async def test_small_groups_share_calls_and_each_has_its_own_receipt_or_error(calls: list[int], phone: Line) -> None:
    groups = [group_of(800_000, seed=n, object_id=ObjectId(100 + n), params=PARAMS) for n in range(20)]
    for group in groups:
        phone.world.on_chain(group)
    forged = [Signature(bytes(65)) if n == 3 else None for n in range(20)]
    placing = (place(phone, group, signature) for group, signature in zip(groups, forged, strict=True))
    receipts = await asyncio.gather(*placing, return_exceptions=True)
    assert isinstance(receipts.pop(3), SignatureError)
    del groups[3]
    assert [receipt.integrity_hash for receipt in receipts if isinstance(receipt, Receipt)] == [g.root for g in groups]
    assert sum(calls) == 20
    assert len(calls) < 10
    assert max(calls) <= 5, "a call brings 1 MiB at most"


async def test_a_receiver_that_knows_no_such_calls_gets_a_stream(refused_calls: list[int], phone: Line) -> None:
    phone.world.on_chain(SMALL)
    for _ in range(3):
        assert (await place(phone, SMALL)).integrity_hash == SMALL.root
    assert refused_calls == [1], "it is remembered"


async def test_a_small_group_whose_object_is_not_seen_yet_waits_on_a_stream(calls: list[int], world: World) -> None:
    world = reconfigured(world, ReceiverConfig(chain_lag_s=20.0))
    async with line(world) as phone:
        placing = asyncio.create_task(place(phone, SMALL))
        while not world.receiver.streams.taken or not calls:
            await _turn()
        world.on_chain(SMALL)
        world.ledger.block()
        assert (await placing).integrity_hash == SMALL.root
    assert calls == [1]


async def test_calls_with_no_group_or_too_many_or_nonsense_are_refused_item_by_item(phone: Line) -> None:
    async with dial(phone.address, timeout_s=5.0) as channel:
        for count in (0, MAX_SMALL_GROUPS + 1):
            request = pb.ReplicateSmallRequest(groups=[pb.SmallGroup()] * count)
            with pytest.raises(InvalidRequest, match="questions"):
                await ReceiverStub(channel).ReplicateSmall(request)
        offer, signature = await phone.offered()
        large = pb.SmallGroup(
            open=pb.OfferOpen(offer=wire.offer_pb(offer), signature=signature), piece=bytes(SMALL_PIECE_BYTES + 1)
        )
        reply = await ReceiverStub(channel).ReplicateSmall(
            pb.ReplicateSmallRequest(groups=[pb.SmallGroup(), large, pb.SmallGroup(request_id="\n" * 100)])
        )
    assert [type(error_from_detail(each.error)) for each in reply.answers] == [InvalidRequest] * 3


async def test_an_unreachable_receiver_is_unavailable(phone: Line) -> None:
    offer, signature = await phone.offered()
    with pytest.raises(ServiceUnavailable):
        async with phone.receivers.replicate("127.0.0.1:1", offer, signature, 5.0):
            pytest.fail("nobody listens there")


async def test_a_receiver_that_stops_within_a_stream_is_unavailable_and_resumed_after_its_restart(
    world: World,
) -> None:
    channels = Channels(lambda endpoint: dial(endpoint, timeout_s=5.0), SystemClock(), limit=4)
    async with channels, AsyncExitStack() as stack:
        listening = serving("127.0.0.1:0", [served(world.receiver)], max_message_bytes=MAX_MESSAGE_BYTES, grace_s=0.05)
        stopping = AsyncExitStack()
        phone = Line(world, GrpcReceivers(channels, SystemClock()), await stopping.enter_async_context(listening))
        sender = await stack.enter_async_context(phone.stream())
        await sender.send_piece(SegmentIndex(0), GROUP.pieces[0])
        await until_recorded(world, 1)
        await stopping.aclose()
        with pytest.raises(ServiceUnavailable):
            await endless(sender)
    async with line(world) as phone:
        async with phone.stream() as sender:
            assert list(sender.held) == [0]
        await settled(phone)
        assert (await phone.send()).integrity_hash == GROUP.root


async def test_a_damaged_piece_is_an_error_and_not_bytes(phone: Line) -> None:
    await phone.send()
    phone.world.store.corrupt(EcPieceKey(OBJECT_ID, 0, SegmentIndex(0), COLUMN), at=2 * MIB)
    with pytest.raises(PieceCorrupt):
        await phone.get(0)


# --- bounds


async def test_a_slow_disk_slows_the_sender_down_instead_of_filling_memory(phone: Line) -> None:
    hang = phone.world.store.hang("write")
    async with phone.stream() as sender:
        await sender.send_piece(SegmentIndex(0), GROUP.pieces[0])
        await hang.reached.wait()
        sent = 0

        async def send() -> None:
            nonlocal sent
            while True:
                await sender.send_piece(SegmentIndex(1), bytes(MIB))
                sent += 1

        sending = asyncio.create_task(send())
        await asyncio.wait([sending], timeout=0.5)
        assert sent < 32  # MiB within the transport; unhindered it would be hundreds
        sending.cancel()
        await asyncio.wait([sending])
    phone.world.store.heal()


async def test_a_stream_ends_at_its_deadline_though_the_far_side_hangs(phone: Line) -> None:
    phone.world.store.hang("write")
    async with phone.stream(timeout_s=0.5) as sender:
        await sender.send_piece(SegmentIndex(0), GROUP.pieces[0])
        with pytest.raises(DeadlineExceeded):
            await endless(sender)
    phone.world.store.heal()


async def test_streams_past_the_limit_are_told_to_come_back(world: World) -> None:
    world = reconfigured(world, ReceiverConfig(max_streams=1))
    async with line(world) as phone:
        async with phone.stream():
            with pytest.raises(Overloaded):
                async with phone.stream():
                    pytest.fail("one stream too many")
        await settled(phone)
        assert (await phone.send()).integrity_hash == GROUP.root


async def test_six_groups_at_once_all_arrive(phone: Line) -> None:
    groups = [group_of(3 * MIB, seed=n, object_id=100 + n, params=PARAMS) for n in range(6)]  # type: ignore[arg-type]  # ids
    groups = [replace(g, ref=replace(g.ref, object_name=f"cat{n}.jpg")) for n, g in enumerate(groups)]
    for group in groups:
        phone.world.on_chain(group)
    receipts = await asyncio.gather(*(phone.send(group) for group in groups))
    assert [receipt.integrity_hash for receipt in receipts] == [group.root for group in groups]


# --- what a program of another make may send


async def test_a_plain_protobuf_client_is_understood(phone: Line) -> None:
    offer, signature = await phone.offered()
    frames = [pb.ReplicateFrame(open=pb.OfferOpen(offer=wire.offer_pb(offer), signature=signature))]
    for segment, piece in enumerate(GROUP.pieces):
        frames.append(pb.ReplicateFrame(piece=pb.PieceHeader(segment=segment, size=len(piece))))
        frames += [pb.ReplicateFrame(chunk=piece[at : at + CHUNK_BYTES]) for at in range(0, len(piece), CHUNK_BYTES)]
    frames.append(pb.ReplicateFrame(end=pb.GroupEnd()))
    async with dial(phone.address, timeout_s=5.0) as channel:
        replies = [reply async for reply in ReceiverStub(channel).Replicate(iter(frames), timeout=20.0)]
    assert [reply.WhichOneof("reply") for reply in replies] == ["held", "receipt"]
    assert replies[1].receipt.integrity_hash == GROUP.root


@pytest.mark.parametrize("seed", range(5))
async def test_noise_is_refused_and_the_receiver_lives_on(phone: Line, seed: int) -> None:
    noise = random.Random(seed)
    async with grpc.aio.insecure_channel(phone.address) as channel:
        method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(
            "/greenfield_sp.receiver.v1.Receiver/Replicate"
        )
        call = method(iter([noise.randbytes(noise.randrange(1, 2000)) for _ in range(5)]), timeout=5.0)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await anext(aiter(call))
    assert error.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL)
    assert (await phone.send()).integrity_hash == GROUP.root


async def test_a_frame_without_content_is_refused(phone: Line) -> None:
    async with dial(phone.address, timeout_s=5.0) as channel:
        call = ReceiverStub(channel).Replicate(iter([pb.ReplicateFrame()]), timeout=5.0)
        with pytest.raises(InvalidRequest):
            await anext(aiter(call))
