"""A group of one small piece, which comes whole: the checks, the durability and the receipt of a stream."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from receiver.client import SMALL_PIECE_BYTES, Receipt
from receiver.config import ReceiverConfig
from sp.crypto.hashing import keccak256
from sp.domain.addresses import signer_of
from sp.domain.approvals import Offer, ReceiptDoc
from sp.domain.errors import (
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
from sp.domain.ids import RedundancyIndex, SegmentIndex
from sp.domain.jobs import ReceivedState
from sp.domain.ledger import SpStatus
from sp.domain.params import StorageParams
from sp.domain.pieces import EcPieceKey
from tests.unit.providers import Provider
from tests.unit.receivers import COLUMN, OBJECT_ID, Group, World, group_of, open_world, piece_frames, reconfigured

GROUP = group_of(700)
KEY = EcPieceKey(OBJECT_ID, 0, SegmentIndex(0), COLUMN)
OTHER = replace(group_of(700, seed=9), ref=GROUP.ref)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        yield world


async def placed(
    world: World, group: Group = GROUP, offer: Offer | None = None, sender: Provider | None = None
) -> Receipt:
    offer = offer or await world.offer(group.ref)
    signature = await (sender or world.primary).signer.sign(offer)
    return await world.receiver.replicate_small(offer, signature, group.pieces[0])


async def nothing_is_kept(world: World) -> bool:
    return await world.keys() == set() and await world.groups() == []


async def test_a_small_group_is_kept_and_signed_for_with_the_approval_key(world: World) -> None:
    world.on_chain(GROUP)
    receipt = await placed(world)
    assert receipt.integrity_hash == GROUP.root
    document = ReceiptDoc(world.me.operator, OBJECT_ID, GROUP.root)
    assert signer_of(keccak256(document.sign_bytes()), receipt.signature) == world.me.record.approval
    (group,) = await world.groups()
    assert (group.state, group.piece_checksums) == (ReceivedState.SIGNED, GROUP.piece_checksums)
    assert await world.store.get(KEY) == GROUP.pieces[0]
    assert world.receiver.streams.taken == world.receiver.openings.taken == 0


async def test_whole_and_by_a_stream_the_same_offer_gives_the_same_receipt(world: World) -> None:
    world.on_chain(GROUP, delegated=True)
    opening = await world.opening(await world.offer(GROUP.ref))
    first = await placed(world, offer=opening.offer)
    assert await placed(world, offer=opening.offer) == first
    held, streamed = await world.exchange(opening, [])
    assert (list(held.pieces.values()), streamed) == (list(GROUP.piece_checksums), first)


async def test_what_a_broken_stream_has_left_is_gone_on_with(world: World) -> None:
    world.on_chain(GROUP)
    with pytest.raises(Exception, match="before its end"):
        await world.exchange(await world.opening(await world.offer(GROUP.ref)), piece_frames(GROUP), end=False)
    assert (await placed(world)).integrity_hash == GROUP.root


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"redundancy_index": RedundancyIndex(6)}, InvalidRequest),
        ({"redundancy_index": RedundancyIndex(3)}, SignatureError),
        ({"offered_at_s": 1}, SignatureError),
    ],
)
async def test_an_offer_changed_on_its_way_is_refused(
    world: World, change: dict[str, object], error: type[Exception]
) -> None:
    world.on_chain(GROUP)
    offer = await world.offer(GROUP.ref)
    signature = await world.primary.signer.sign(offer)
    with pytest.raises(error):
        await world.receiver.replicate_small(replace(offer, **change), signature, GROUP.pieces[0])  # type: ignore[arg-type]  # a test names any field
    assert await nothing_is_kept(world)


async def test_an_offer_of_a_stranger_or_a_forged_approval_or_of_no_primary_is_refused(world: World) -> None:
    world.on_chain(GROUP)
    offer = await world.offer(GROUP.ref)
    forged = replace(offer, approval=replace(offer.approval, signature=bytes(65)))
    with pytest.raises(SignatureError, match="not signed by this provider"):
        await placed(world, offer=forged)
    other = world.providers.add("other")
    theirs = Offer(await world.approval(GROUP.ref, other), COLUMN, world.clock.now_ms() // 1000)
    with pytest.raises(SignatureError, match="not the primary"):
        await placed(world, offer=theirs, sender=other)
    world.ledger.providers[world.primary.operator] = replace(world.primary.record, status=SpStatus.IN_JAILED)
    with pytest.raises(UnknownProvider):
        await placed(world)
    assert await nothing_is_kept(world)


async def test_an_older_offer_is_a_replay(world: World) -> None:
    world.on_chain(GROUP)
    older = await world.offer(GROUP.ref)
    world.clock.advance(5)
    await placed(world)
    with pytest.raises(SignatureError, match="replayed"):
        await placed(world, offer=older)


@pytest.mark.parametrize("cut", [0, 1, 174, 176])
async def test_a_piece_of_another_size_is_refused(world: World, cut: int) -> None:
    world.on_chain(GROUP)
    piece = (GROUP.pieces[0] + b"+")[:cut]
    with pytest.raises(WrongPieceSize):
        await placed(world, replace(GROUP, pieces=[piece]))
    assert await world.keys() == set()


async def test_what_is_larger_or_of_more_than_one_piece_does_not_come_whole(world: World) -> None:
    many = group_of(3500)
    world.on_chain(many)
    with pytest.raises(InvalidRequest, match="one piece"):
        await placed(world, many)
    world.ledger.params = StorageParams(max_segment_size=1 << 21)
    large = group_of(4 * SMALL_PIECE_BYTES + 1, params=world.ledger.params)
    world.on_chain(large)
    with pytest.raises(InvalidRequest, match="one piece"):
        await placed(world, large)
    assert await nothing_is_kept(world)


async def test_an_object_that_the_chain_does_not_show_is_said_to_be_unknown_at_once(world: World) -> None:
    world.on_chain(GROUP)
    del world.ledger.objects[OBJECT_ID]
    with pytest.raises(NoSuchObjectId):
        await asyncio.wait_for(placed(reconfigured(world, ReceiverConfig(chain_lag_s=3600.0))), 60)
    assert await nothing_is_kept(world)


async def test_a_piece_that_is_not_the_chains_leaves_nothing_behind(world: World) -> None:
    world.on_chain(GROUP)
    with pytest.raises(IntegrityMismatch):
        await placed(world, OTHER)
    assert await nothing_is_kept(world)


async def test_what_a_crash_left_without_a_receipt_is_replaced(world: World) -> None:
    world.on_chain(GROUP)
    await world.store.put(KEY, b"left by a crash")
    assert (await placed(world)).integrity_hash == GROUP.root
    assert await world.store.get(KEY) == GROUP.pieces[0]


async def test_what_is_signed_for_cannot_be_replaced_and_is_taken_again_when_it_is_lost(world: World) -> None:
    world.on_chain(GROUP, delegated=True)
    first = await placed(world)
    with pytest.raises(PieceCorrupt):
        await placed(world, OTHER)
    await world.store.drop(KEY)
    with pytest.raises(PieceCorrupt):
        await placed(world, OTHER)
    assert await world.keys() == set()
    assert await placed(world) == first
    assert await world.store.get(KEY) == GROUP.pieces[0]


async def test_a_failing_disk_gives_no_receipt_and_a_later_try_succeeds(world: World) -> None:
    world.on_chain(GROUP)
    world.store.fail_after(puts=0)
    with pytest.raises(StoreFailed):
        await placed(world)
    (group,) = await world.groups()
    assert group.state is ReceivedState.RECEIVING, "the collector finds it by its row"
    world.store.heal()
    assert (await placed(world)).integrity_hash == GROUP.root


async def test_a_database_that_is_down_at_the_end_gives_no_receipt(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.on_chain(GROUP)

    async def down(*_: object) -> None:
        raise ServiceUnavailable("spdb", "down")

    with monkeypatch.context() as patched:
        patched.setattr("spdb.received.Received.sign", down)
        with pytest.raises(ServiceUnavailable):
            await placed(world)
    assert (await placed(world)).integrity_hash == GROUP.root


@pytest.mark.parametrize("limits", [{"max_streams": 1}, {"max_streams_per_sp": 1}])
async def test_each_counts_as_a_stream_against_the_limits(world: World, limits: dict[str, int]) -> None:
    world.on_chain(GROUP, delegated=True)
    world = reconfigured(world, ReceiverConfig(**limits))  # type: ignore[arg-type]  # ints
    each = world.receiver.streams_each.of(world.primary.operator)
    with world.receiver.streams.slot(), each.slot(), pytest.raises(Overloaded):
        await placed(world)
    assert await nothing_is_kept(world)
    assert await placed(world)


async def test_one_group_is_taken_once_at_a_time(world: World) -> None:
    world.on_chain(GROUP)
    offer = await world.offer(GROUP.ref)
    key = (OBJECT_ID, 0, COLUMN)
    async with world.receiver.claims.claim(key, offer.offered_at_s):
        with pytest.raises(Overloaded):
            await placed(world, offer=offer)
    assert await placed(world, offer=offer)
