"""Taking a replicate data group: what is kept, what is signed for, and what a hostile sender achieves."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from receiver.config import ReceiverConfig
from receiver.frames import ChunkFrame, EndFrame, Frame, Held, PieceFrame
from sp.crypto.hashing import keccak256, sha256
from sp.domain.addresses import signer_of
from sp.domain.approvals import MESSAGE_LIFETIME_S, Offer, ReceiptDoc, SignedApproval
from sp.domain.errors import (
    DeadlineExceeded,
    GroupIncomplete,
    IntegrityMismatch,
    InvalidRequest,
    NoSuchObjectId,
    Overloaded,
    PieceCorrupt,
    ServiceUnavailable,
    SignatureError,
    StoreFailed,
    UnknownProvider,
    WrongPieceSize,
)
from sp.domain.ids import Address, ObjectId, RedundancyIndex, SegmentIndex
from sp.domain.jobs import ReceivedState
from sp.domain.ledger import ContentUpdate, ObjectStatus, SpStatus
from sp.domain.pieces import EcPieceKey
from tests.turns import turn
from tests.unit.ledger_double import NOW_S, PARAMS
from tests.unit.receivers import (
    COLUMN,
    OBJECT_ID,
    World,
    group_of,
    open_world,
    piece_frames,
    reconfigured,
)

GROUP = group_of(3500)  # four segments, the last one short: pieces of 250, 250, 250 and 125 bytes


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        yield world


async def refused(
    world: World, offer: Offer, error: type[Exception], match: str | None = None, **signed_by: object
) -> None:
    """The offer is refused before a byte of payload, and leaves nothing."""
    opening = await world.opening(offer, **signed_by)  # type: ignore[arg-type]  # sender=
    with pytest.raises(error, match=match):
        await world.exchange(opening, piece_frames(GROUP))
    assert await world.keys() == set()
    assert await world.groups() == []


# --- the good case


async def test_a_whole_group_is_kept_and_signed_for_with_the_approval_key(world: World) -> None:
    world.on_chain(GROUP)
    held, receipt = await world.send(GROUP)
    assert held.pieces == {}
    assert receipt is not None
    assert receipt.integrity_hash == GROUP.root
    document = ReceiptDoc(world.me.operator, OBJECT_ID, GROUP.root)
    assert signer_of(keccak256(document.sign_bytes()), receipt.signature) == world.me.record.approval
    (group,) = await world.groups()
    assert (group.state, group.integrity_hash, group.piece_checksums) == (
        ReceivedState.SIGNED,
        GROUP.root,
        GROUP.piece_checksums,
    )
    stored = [await world.store.get(EcPieceKey(OBJECT_ID, 0, SegmentIndex(s), COLUMN)) for s in range(4)]
    assert stored == GROUP.pieces


async def test_the_same_offer_again_gives_the_same_receipt_without_a_byte_of_payload(world: World) -> None:
    world.on_chain(GROUP)
    opening = await world.opening(await world.offer(GROUP.ref))
    _, first = await world.exchange(opening, piece_frames(GROUP))
    held, again = await world.exchange(opening, [])
    assert list(held.pieces.values()) == list(GROUP.piece_checksums)
    assert again == first
    assert len(await world.groups()) == 1


async def test_a_delegated_object_without_checksums_on_chain_is_accepted(world: World) -> None:
    world.on_chain(GROUP, delegated=True)
    _, receipt = await world.send(GROUP)
    assert receipt is not None
    assert receipt.integrity_hash == GROUP.root


async def test_one_byte_makes_one_piece(world: World) -> None:
    tiny = group_of(1)
    world.on_chain(tiny)
    _, receipt = await world.send(tiny)
    assert receipt is not None
    assert receipt.integrity_hash == sha256(sha256(b"\0"))


async def test_two_columns_of_one_object_do_not_meet(world: World) -> None:
    world.on_chain(GROUP, delegated=True)
    await world.send(GROUP)
    other = await world.opening(await world.offer(GROUP.ref, RedundancyIndex(3)))
    await world.exchange(other, piece_frames(GROUP))
    assert len(await world.keys()) == 8


async def test_an_update_is_kept_beside_the_version_before_it(world: World) -> None:
    world.on_chain(GROUP)
    await world.send(GROUP)
    found = world.ledger.objects[OBJECT_ID]
    new = group_of(900, seed=1, version=1)
    update = ContentUpdate(900, "", new.checksums, 1, NOW_S, found.owner)
    world.ledger.objects[OBJECT_ID] = replace(found, status=ObjectStatus.SEALED, update=update)
    _, receipt = await world.send(new)
    assert receipt is not None
    assert receipt.integrity_hash == new.root
    assert await world.keys() == {f"e42_s{s}_p2" for s in range(4)} | {"e42_s0_p2_v1"}


# --- whom it believes


async def test_an_offer_from_a_stranger_is_refused(world: World) -> None:
    world.on_chain(GROUP)
    offer = await world.offer(GROUP.ref)
    del world.ledger.providers[world.primary.operator]
    await refused(world, offer, UnknownProvider)


async def test_an_offer_from_a_provider_out_of_service_is_refused(world: World) -> None:
    world.on_chain(GROUP)
    offer = await world.offer(GROUP.ref)
    world.ledger.providers[world.primary.operator] = replace(world.primary.record, status=SpStatus.IN_JAILED)
    await refused(world, offer, UnknownProvider)


async def test_an_offer_signed_by_another_provider_is_refused(world: World) -> None:
    world.on_chain(GROUP)
    thief = world.providers.add("thief")
    offer = await world.offer(GROUP.ref)
    own = replace(offer.approval.approval, asker=thief.operator)
    signature = await thief.signer.sign(replace(offer, approval=replace(offer.approval, approval=own)))
    opening = replace(await world.opening(offer), signature=signature)
    with pytest.raises(SignatureError, match="not signed by its sender"):
        await world.exchange(opening, piece_frames(GROUP))


@pytest.mark.parametrize("field", ["object_id", "version", "payload_size", "bucket", "object_name", "index", "time"])
async def test_an_offer_changed_on_its_way_is_refused(world: World, field: str) -> None:
    world.on_chain(GROUP)
    opening = await world.opening(await world.offer(GROUP.ref))
    offer = opening.offer
    approval = offer.approval.approval
    changes = {
        "object_id": ObjectId(43),
        "version": 1,
        "payload_size": 3501,
        "bucket": "other-bucket",
        "object_name": "dog.jpg",
    }
    if field in changes:
        ref = replace(approval.object, **{field: changes[field]})  # type: ignore[arg-type]  # any field
        tampered = replace(offer, approval=replace(offer.approval, approval=replace(approval, object=ref)))
    elif field == "index":
        tampered = replace(offer, redundancy_index=RedundancyIndex(3))
    else:
        tampered = replace(offer, offered_at_s=NOW_S + 1)
    with pytest.raises(SignatureError):
        await world.exchange(replace(opening, offer=tampered), piece_frames(GROUP))
    assert await world.groups() == []


async def test_an_old_offer_is_refused(world: World) -> None:
    world.on_chain(GROUP)
    await refused(
        world, replace(await world.offer(GROUP.ref), offered_at_s=NOW_S - MESSAGE_LIFETIME_S - 1), SignatureError
    )


async def test_an_offer_older_than_one_already_seen_is_a_replay(world: World) -> None:
    world.on_chain(GROUP)
    recorded = await world.opening(await world.offer(GROUP.ref))
    world.clock.advance(5)
    await world.send(GROUP)
    with pytest.raises(SignatureError, match="replayed"):
        await world.exchange(recorded, piece_frames(GROUP))


# --- the approval in it


async def changed_approval(world: World, sign_as: str = "me", **change: object) -> Offer:
    """An offer with an approval changed like this, signed again."""
    approval = replace((await world.approval(GROUP.ref)).approval, **change)  # type: ignore[arg-type]  # any field
    signer = (world.me if sign_as == "me" else world.providers.add(sign_as)).signer
    key = signer.keystore.keys["approval"]
    return Offer(SignedApproval(approval, key.sign(keccak256(approval.sign_bytes()))), COLUMN, NOW_S)


async def test_an_approval_that_another_provider_signed_is_refused(world: World) -> None:
    world.on_chain(GROUP)
    await refused(world, await changed_approval(world, "accomplice"), SignatureError, "not signed by this provider")


async def test_an_approval_of_another_provider_is_refused(world: World) -> None:
    world.on_chain(GROUP)
    offer = await changed_approval(world, approver=Address("0x" + "00" * 20))
    await refused(world, offer, SignatureError, "approval of another provider")


async def test_an_approval_given_to_another_asker_is_refused(world: World) -> None:
    world.on_chain(GROUP)
    thief = world.providers.add("thief")
    stolen = await world.offer(GROUP.ref)
    theirs = replace(stolen.approval.approval, asker=thief.operator)
    offer = replace(stolen, approval=replace(stolen.approval, approval=theirs))
    await refused(world, offer, SignatureError, "not signed by this provider", sender=thief)


async def test_an_approval_past_its_time_is_refused(world: World) -> None:
    world.on_chain(GROUP)
    await refused(world, await changed_approval(world, expires_at_s=NOW_S - 1), SignatureError, "expired")


async def test_an_approval_past_its_height_is_refused(world: World) -> None:
    world.on_chain(GROUP)
    await refused(world, await changed_approval(world, expires_height=9), SignatureError, "expired")


async def test_an_approval_signed_with_the_wrong_key_of_this_provider_is_refused(world: World) -> None:
    world.on_chain(GROUP)
    approval = (await world.approval(GROUP.ref)).approval
    signature = world.me.signer.keystore.keys["operator"].sign(keccak256(approval.sign_bytes()))
    await refused(world, Offer(SignedApproval(approval, signature), COLUMN, NOW_S), SignatureError)


# --- what the chain says of the object


async def test_a_provider_that_is_not_the_buckets_primary_cannot_place_anything(world: World) -> None:
    world.on_chain(GROUP)
    world.ledger.add_bucket("photos", world.me.operator)
    await refused(world, await world.offer(GROUP.ref), SignatureError, "not the primary")


async def test_an_object_that_never_appears_on_chain_is_refused(world: World) -> None:
    await refused(world, await world.offer(GROUP.ref), NoSuchObjectId)


async def test_an_object_that_appears_a_block_later_is_waited_for(world: World) -> None:
    world = reconfigured(world, ReceiverConfig(chain_lag_s=30.0))
    sending = asyncio.create_task(world.send(GROUP))
    while not world.receiver.newest._newest:
        await turn()
    await turn()
    world.on_chain(GROUP)
    world.ledger.block()
    _, receipt = await sending
    assert receipt is not None


async def test_an_object_of_another_size_than_on_chain_is_refused(world: World) -> None:
    world.on_chain(GROUP)
    await refused(
        world, await world.offer(replace(GROUP.ref, payload_size=3499)), InvalidRequest, "3500 bytes on chain"
    )


async def test_an_object_cut_otherwise_than_on_chain_is_refused(world: World) -> None:
    world.on_chain(GROUP)
    ref = replace(GROUP.ref, params=replace(PARAMS, max_segment_size=1))
    await refused(world, await world.offer(ref), InvalidRequest, "parameters")


async def test_an_object_sealed_with_others_is_refused(world: World) -> None:
    world.on_chain(GROUP)
    world.ledger.seal(OBJECT_ID, (world.primary.operator,) * 6)
    await refused(world, await world.offer(GROUP.ref), InvalidRequest, "another secondary")


@pytest.mark.parametrize("index", [-1, 6, 31])
async def test_a_column_that_does_not_exist_is_refused(world: World, index: int) -> None:
    world.on_chain(GROUP)
    await refused(world, await world.offer(GROUP.ref, RedundancyIndex(index)), InvalidRequest)


async def test_an_empty_group_is_refused(world: World) -> None:
    world.on_chain(GROUP)
    await refused(world, await world.offer(replace(GROUP.ref, payload_size=0)), InvalidRequest)


async def test_pieces_that_are_not_the_chains_leave_nothing_behind(world: World) -> None:
    world.on_chain(GROUP)
    with pytest.raises(IntegrityMismatch) as error:
        await world.send(replace(group_of(3500, seed=9), ref=GROUP.ref))
    assert error.value.expected == GROUP.root.hex()
    assert await world.keys() == set()
    assert await world.groups() == []


async def test_an_object_rejected_while_it_arrives_leaves_nothing_behind(world: World) -> None:
    world.on_chain(GROUP)

    class Rejecting(list[Frame]):
        def __iter__(self):  # type: ignore[no-untyped-def]  # a list whose end has an effect
            yield from super().__iter__()
            del world.ledger.objects[OBJECT_ID]

    with pytest.raises(NoSuchObjectId):
        await world.exchange(await world.opening(await world.offer(GROUP.ref)), Rejecting(piece_frames(GROUP)))
    assert await world.keys() == set()
    assert await world.groups() == []


# --- the shape of the stream


BAD_STREAMS: dict[str, tuple[list[Frame], type[Exception]]] = {
    "a chunk without a piece": ([ChunkFrame(b"x")], InvalidRequest),
    "a piece of another size": ([PieceFrame(SegmentIndex(0), 251)], WrongPieceSize),
    "a last piece as long as the others": (
        [*piece_frames(GROUP, [0, 1, 2]), PieceFrame(SegmentIndex(3), 250)],
        WrongPieceSize,
    ),
    "one byte too many": (
        [PieceFrame(SegmentIndex(0), 250), ChunkFrame(b"x" * 200), ChunkFrame(b"x" * 51)],
        WrongPieceSize,
    ),
    "a piece cut short by the next": (
        [PieceFrame(SegmentIndex(0), 250), ChunkFrame(b"x" * 249), PieceFrame(SegmentIndex(1), 250)],
        WrongPieceSize,
    ),
    "a piece cut short by the end": ([PieceFrame(SegmentIndex(0), 250), ChunkFrame(b"x" * 249)], WrongPieceSize),
    "an empty chunk": ([PieceFrame(SegmentIndex(0), 250), ChunkFrame(b"")], InvalidRequest),
    "a chunk of more than 1 MiB": (
        [PieceFrame(SegmentIndex(0), 250), ChunkFrame(b"x" * (1024 * 1024 + 1))],
        InvalidRequest,
    ),
    "one piece too many": ([*piece_frames(GROUP), PieceFrame(SegmentIndex(4), 250)], InvalidRequest),
    "a piece far beyond the last": ([PieceFrame(SegmentIndex(2**31), 250)], InvalidRequest),
    "pieces in another order": (piece_frames(GROUP, [1, 0]), InvalidRequest),
    "one piece twice": (piece_frames(GROUP, [0, 0]), InvalidRequest),
    "no pieces at all": ([], GroupIncomplete),
    "all pieces but one": (piece_frames(GROUP, [0, 1, 3]), GroupIncomplete),
}


@pytest.mark.parametrize("case", BAD_STREAMS)
async def test_a_malformed_stream_is_refused_and_never_signed_for(world: World, case: str) -> None:
    world.on_chain(GROUP)
    frames, error = BAD_STREAMS[case]
    with pytest.raises(error):
        await world.exchange(await world.opening(await world.offer(GROUP.ref)), frames)
    (group,) = await world.groups()
    assert group.state is ReceivedState.RECEIVING


async def test_what_is_missing_is_named(world: World) -> None:
    world.on_chain(GROUP)
    with pytest.raises(GroupIncomplete) as error:
        await world.send(GROUP, only=[1])
    assert (error.value.missing, error.value.pieces) == (3, "e42_s0_p2, e42_s2_p2, e42_s3_p2")


async def test_a_stream_begins_with_an_offer(world: World) -> None:
    with pytest.raises(InvalidRequest, match="begins with an offer"):
        await world.exchange(EndFrame(), [])


# --- broken off, and begun again


async def test_a_stream_cut_half_way_is_resumed_where_it_broke(world: World) -> None:
    world.on_chain(GROUP)
    cut = [*piece_frames(GROUP, [0, 1]), *piece_frames(GROUP, [2])[:2]]
    with pytest.raises(InvalidRequest, match="ended before"):
        await world.exchange(await world.opening(await world.offer(GROUP.ref)), cut, end=False)
    world.clock.advance(1)
    held, receipt = await world.send(GROUP, only=[2, 3])
    assert held.pieces == {SegmentIndex(s): GROUP.piece_checksums[s] for s in (0, 1)}
    assert receipt is not None
    assert receipt.integrity_hash == GROUP.root


async def test_a_restarted_receiver_resumes_as_well(world: World) -> None:
    world.on_chain(GROUP)
    with pytest.raises(GroupIncomplete):
        await world.send(GROUP, only=[0, 3])
    held, receipt = await reconfigured(world, ReceiverConfig()).send(GROUP, only=[1, 2])
    assert set(held.pieces) == {0, 3}
    assert receipt is not None


async def test_a_piece_that_the_store_has_lost_is_not_said_to_be_held(world: World) -> None:
    world.on_chain(GROUP)
    with pytest.raises(GroupIncomplete):
        await world.send(GROUP, only=[0, 1])
    await world.store.drop(EcPieceKey(OBJECT_ID, 0, SegmentIndex(0), COLUMN))
    held, _ = await world.send(GROUP, only=[0, 2, 3])
    assert set(held.pieces) == {1}


async def test_a_piece_without_its_record_may_be_sent_again(world: World) -> None:
    world.on_chain(GROUP)
    await world.store.put(EcPieceKey(OBJECT_ID, 0, SegmentIndex(1), COLUMN), b"left by a crash")
    held, receipt = await world.send(GROUP)
    assert held.pieces == {}
    assert receipt is not None


async def test_another_piece_in_the_place_of_an_unsigned_one_replaces_it(world: World) -> None:
    world.on_chain(GROUP)
    wrong = replace(group_of(3500, seed=9), ref=GROUP.ref)
    with pytest.raises(GroupIncomplete):
        await world.send(wrong, only=[0, 1])
    held, receipt = await world.send(GROUP)
    assert held.pieces[SegmentIndex(0)] != GROUP.piece_checksums[0]
    assert receipt is not None
    assert receipt.integrity_hash == GROUP.root


async def test_what_is_signed_for_cannot_be_replaced(world: World) -> None:
    world.on_chain(GROUP, delegated=True)
    await world.send(GROUP)
    with pytest.raises(Exception, match="other bytes"):
        await world.send(replace(group_of(3500, seed=9), ref=GROUP.ref))
    assert await world.store.get(EcPieceKey(OBJECT_ID, 0, SegmentIndex(0), COLUMN)) == GROUP.pieces[0]


async def test_a_lost_piece_of_a_signed_group_is_taken_again_only_as_it_was(world: World) -> None:
    world.on_chain(GROUP, delegated=True)
    await world.send(GROUP)
    key = EcPieceKey(OBJECT_ID, 0, SegmentIndex(1), COLUMN)
    await world.store.drop(key)
    with pytest.raises(PieceCorrupt):
        await world.send(replace(group_of(3500, seed=9), ref=GROUP.ref), only=[1])
    assert str(key) not in await world.keys()
    held, receipt = await world.send(GROUP, only=[1])
    assert set(held.pieces) == {0, 2, 3}
    assert receipt is not None


async def test_a_failing_disk_gives_no_receipt_and_a_later_try_succeeds(world: World) -> None:
    world.on_chain(GROUP)
    world.store.fail_after(puts=2)
    with pytest.raises(StoreFailed):
        await world.send(GROUP)
    (group,) = await world.groups()
    assert group.state is ReceivedState.RECEIVING
    world.store.heal()
    held, receipt = await world.send(GROUP, only=[2, 3])
    assert set(held.pieces) == {0, 1}
    assert receipt is not None


async def test_a_new_primary_of_the_bucket_replaces_what_the_old_one_left_unsigned(world: World) -> None:
    world.on_chain(GROUP, delegated=True)
    with pytest.raises(GroupIncomplete):
        await world.send(GROUP, only=[0])
    other = world.providers.add("new primary")
    world.ledger.add_bucket("photos", other.operator)
    taken_over = replace(world, primary=other)
    held, receipt = await taken_over.send(GROUP)
    assert held.pieces == {}
    assert receipt is not None


# --- bounds


async def silent_stream(world: World, opening: Frame, started: asyncio.Event) -> None:
    """A sender that offers and then says nothing more."""

    async def frames() -> AsyncIterator[Frame]:
        yield opening
        started.set()
        await asyncio.Event().wait()

    async for reply in world.receiver.replicate(frames()):
        assert isinstance(reply, Held)


async def test_a_later_offer_takes_over_from_a_silent_stream(world: World) -> None:
    world.on_chain(GROUP)
    started = asyncio.Event()
    silent = asyncio.create_task(silent_stream(world, await world.opening(await world.offer(GROUP.ref)), started))
    await started.wait()
    world.clock.advance(1)
    _, receipt = await world.send(GROUP)
    assert receipt is not None
    with pytest.raises(Overloaded, match="taken over"):
        await silent


async def test_the_same_offer_does_not_take_over_from_itself(world: World) -> None:
    world.on_chain(GROUP)
    started = asyncio.Event()
    opening = await world.opening(await world.offer(GROUP.ref))
    silent = asyncio.create_task(silent_stream(world, opening, started))
    await started.wait()
    with pytest.raises(Overloaded, match="under way"):
        await world.exchange(opening, piece_frames(GROUP))
    silent.cancel()
    with pytest.raises(asyncio.CancelledError):
        await silent
    _, receipt = await world.exchange(opening, piece_frames(GROUP))
    assert receipt is not None


async def test_a_silent_sender_is_hung_up_on(world: World) -> None:
    world.on_chain(GROUP)
    world = reconfigured(world, ReceiverConfig(idle_timeout_s=0.02))
    with pytest.raises(DeadlineExceeded):
        await silent_stream(world, await world.opening(await world.offer(GROUP.ref)), asyncio.Event())


async def test_a_stranger_that_says_nothing_is_hung_up_on(world: World) -> None:
    world = reconfigured(world, ReceiverConfig(opening_timeout_s=0.02))

    async def nothing() -> AsyncIterator[Frame]:
        await asyncio.Event().wait()
        yield EndFrame()

    with pytest.raises(DeadlineExceeded):
        await anext(world.receiver.replicate(nothing()))


@pytest.mark.parametrize("limits", [{"max_streams": 1}, {"max_streams_per_sp": 1}])
async def test_one_stream_more_than_the_limit_is_told_to_come_back(world: World, limits: dict[str, int]) -> None:
    world.on_chain(GROUP)
    world = reconfigured(world, ReceiverConfig(**limits))  # type: ignore[arg-type]  # ints
    started = asyncio.Event()
    silent = asyncio.create_task(silent_stream(world, await world.opening(await world.offer(GROUP.ref)), started))
    await started.wait()
    other = await world.opening(await world.offer(GROUP.ref, RedundancyIndex(3)))
    with pytest.raises(Overloaded):
        await world.exchange(other, piece_frames(GROUP))
    silent.cancel()
    with pytest.raises(asyncio.CancelledError):
        await silent
    assert world.receiver.streams.taken == 0
    await world.send(GROUP)


async def test_a_database_that_is_down_at_the_end_gives_no_receipt(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.on_chain(GROUP)

    async def down(*_: object) -> None:
        raise ServiceUnavailable("spdb", "down")

    with monkeypatch.context() as patched:
        patched.setattr("spdb.received.Received.sign", down)
        with pytest.raises(ServiceUnavailable):
            await world.send(GROUP)
    held, receipt = await world.send(GROUP, only=[])
    assert len(held.pieces) == 4
    assert receipt is not None
