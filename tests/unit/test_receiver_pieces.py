"""Giving a piece back: to whom, and never wrong bytes."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from receiver.config import ReceiverConfig
from sp.domain.approvals import MESSAGE_LIFETIME_S, PieceRequest
from sp.domain.errors import (
    GroupIncomplete,
    InvalidRequest,
    NoSuchObjectId,
    Overloaded,
    PieceCorrupt,
    PieceNotFound,
    SignatureError,
    UnknownProvider,
)
from sp.domain.ids import PRIMARY, ObjectId, RedundancyIndex, SegmentIndex
from sp.domain.ledger import Visibility
from sp.domain.pieces import EcPieceKey
from tests.unit.ledger_double import NOW_S
from tests.unit.providers import Provider
from tests.unit.receivers import COLUMN, OBJECT_ID, World, group_of, open_world, reconfigured

GROUP = group_of(3500)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        world.on_chain(GROUP)
        await world.send(GROUP)
        world.ledger.seal(OBJECT_ID, (world.primary.operator, world.primary.operator, world.me.operator))
        yield world


async def signed(asker: Provider, request: PieceRequest) -> tuple[PieceRequest, bytes]:
    return request, await asker.signer.sign(request)


async def test_the_primary_gets_back_exactly_what_it_sent(world: World) -> None:
    assert [await world.get(*await world.request(GROUP, s)) for s in range(4)] == GROUP.pieces


async def test_a_sibling_secondary_gets_a_piece(world: World) -> None:
    sibling = world.providers.add("sibling")
    world.ledger.seal(OBJECT_ID, (sibling.operator, world.primary.operator, world.me.operator))
    assert await world.get(*await world.request(GROUP, 1, sibling)) == GROUP.pieces[1]


async def test_a_provider_that_has_nothing_to_do_with_the_object_gets_no_piece(world: World) -> None:
    bystander = world.providers.add("bystander")
    with pytest.raises(SignatureError, match="keeps no part"):
        await world.get(*await world.request(GROUP, 1, bystander))


async def test_a_public_object_may_be_read_by_any_provider(world: World) -> None:
    bystander = world.providers.add("bystander")
    world.ledger.add_bucket("photos", world.primary.operator, Visibility.PUBLIC_READ)
    assert await world.get(*await world.request(GROUP, 1, bystander)) == GROUP.pieces[1]


async def test_a_damaged_piece_is_not_served_at_all(world: World) -> None:
    world.store.corrupt(EcPieceKey(OBJECT_ID, 0, SegmentIndex(1), COLUMN), at=249)
    with pytest.raises(PieceCorrupt):
        await anext(world.receiver.get_piece(*await world.request(GROUP, 1)))


async def test_a_lost_piece_is_not_found(world: World) -> None:
    await world.store.drop(EcPieceKey(OBJECT_ID, 0, SegmentIndex(1), COLUMN))
    with pytest.raises(PieceNotFound):
        await world.get(*await world.request(GROUP, 1))


@pytest.mark.parametrize("segment", [4, 2**31 - 1])
async def test_a_segment_beyond_the_last_is_not_found(world: World, segment: int) -> None:
    with pytest.raises(PieceNotFound):
        await world.get(*await world.request(GROUP, segment))


async def test_a_column_that_is_not_here_is_not_found(world: World) -> None:
    request, _ = await world.request(GROUP, 0)
    with pytest.raises(PieceNotFound):
        await world.get(*await signed(world.primary, replace(request, redundancy_index=RedundancyIndex(3))))


async def test_a_group_that_is_still_arriving_is_not_served(tmp_path: Path) -> None:
    async with open_world(tmp_path / "other") as world:
        world.on_chain(GROUP)
        with pytest.raises(GroupIncomplete):
            await world.send(GROUP, only=[0])
        with pytest.raises(PieceNotFound):
            await world.get(*await world.request(GROUP, 0))


async def test_whole_segments_are_with_the_primary(world: World) -> None:
    request, _ = await world.request(GROUP, 0)
    with pytest.raises(InvalidRequest):
        await world.get(*await signed(world.primary, replace(request, redundancy_index=PRIMARY)))


async def test_an_object_the_chain_does_not_know_is_not_served(world: World) -> None:
    request, signature = await world.request(GROUP, 0)
    del world.ledger.objects[OBJECT_ID]
    with pytest.raises(NoSuchObjectId):
        await world.get(request, signature)


async def test_a_request_to_another_provider_is_refused(world: World) -> None:
    request, _ = await world.request(GROUP, 0)
    with pytest.raises(SignatureError, match="another provider"):
        await world.get(*await signed(world.primary, replace(request, holder=world.primary.operator)))


@pytest.mark.parametrize("age_s", [MESSAGE_LIFETIME_S + 1, -1000])
async def test_a_request_of_another_time_is_refused(world: World, age_s: int) -> None:
    request, _ = await world.request(GROUP, 0)
    with pytest.raises(SignatureError):
        await world.get(*await signed(world.primary, replace(request, asked_at_s=NOW_S - age_s)))


@pytest.mark.parametrize(
    "change", [{"segment": 1}, {"object_id": ObjectId(43)}, {"version": 1}, {"redundancy_index": RedundancyIndex(1)}]
)
async def test_a_request_changed_on_its_way_is_refused(world: World, change: dict[str, object]) -> None:
    request, signature = await world.request(GROUP, 0)
    with pytest.raises(SignatureError):
        await world.get(replace(request, **change), signature)  # type: ignore[arg-type]  # any field


async def test_a_stranger_gets_nothing(world: World) -> None:
    stranger = world.providers.add("stranger")
    request, signature = await world.request(GROUP, 0, stranger)
    del world.ledger.providers[stranger.operator]
    with pytest.raises(UnknownProvider):
        await world.get(request, signature)


async def test_reads_past_the_limit_are_told_to_come_back(world: World) -> None:
    world = reconfigured(world, ReceiverConfig(max_reads=1))
    first = world.receiver.get_piece(*await world.request(GROUP, 0))
    await anext(first)
    with pytest.raises(Overloaded):
        await world.get(*await world.request(GROUP, 1))
    await first.aclose()
    assert await world.get(*await world.request(GROUP, 1)) == GROUP.pieces[1]
