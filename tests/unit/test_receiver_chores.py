"""Following the chain and collecting: what goes, what stays, and that a crash in between does no harm."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from receiver.chores import CURSOR, CURSOR_EVERY, settle
from receiver.config import ReceiverConfig
from receiver.frames import Frame
from sp.domain.errors import GroupIncomplete, Overloaded, StoreFailed
from sp.domain.ids import Address, ObjectId, SegmentIndex
from sp.domain.jobs import ReceivedState
from sp.domain.ledger import ChainObject, ContentUpdate, EventType, ObjectStatus, SpStatus
from sp.domain.pieces import EcPieceKey
from spdb.received import GroupKey, Received
from tests.unit.ledger_double import NOW_S
from tests.unit.receivers import COLUMN, OBJECT_ID, World, group_of, open_world, piece_frames, reconfigured

GROUP = group_of(3500)
UPDATED = group_of(900, seed=1, version=1)
TTL_S = ReceiverConfig().unsealed_ttl_s
OTHER = Address("0x" + "33" * 20)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        await world.follower.tick()  # where following begins
        yield world


def named(world: World) -> tuple[Address, ...]:
    """Six secondaries, this provider in its column."""
    return tuple(world.me.operator if column == COLUMN else OTHER for column in range(6))


async def follow(world: World) -> None:
    while await world.follower.tick():
        pass


async def states(world: World) -> list[ReceivedState]:
    return [group.state for group in await world.groups()]


async def gone(world: World) -> bool:
    return await world.keys() == set() and await world.groups() == []


async def taken(world: World) -> None:
    world.on_chain(GROUP)
    await world.send(GROUP)


async def begin_update(world: World) -> None:
    """The sealed object is being replaced, and the new content is here as well."""
    found = world.ledger.objects[OBJECT_ID]
    update = ContentUpdate(900, "", UPDATED.checksums, 1, NOW_S, found.owner)
    world.ledger.objects[OBJECT_ID] = replace(found, update=update)
    await world.send(UPDATED)


async def test_a_seal_that_names_us_keeps_the_group_for_good(world: World) -> None:
    await taken(world)
    world.ledger.seal(OBJECT_ID, named(world))
    await follow(world)
    assert await states(world) == [ReceivedState.SEALED]
    world.clock.advance(10 * TTL_S)
    await world.collector.tick()
    assert len(await world.keys()) == 4


async def test_a_seal_that_names_another_drops_the_group(world: World) -> None:
    await taken(world)
    world.ledger.seal(OBJECT_ID, (OTHER,) * 6)
    await follow(world)
    assert await gone(world)


@pytest.mark.parametrize(
    "kind", [EventType.REJECT_SEAL_OBJECT, EventType.DELETE_OBJECT, EventType.CANCEL_CREATE_OBJECT]
)
async def test_an_object_that_is_gone_from_the_chain_is_dropped(world: World, kind: EventType) -> None:
    await taken(world)
    found = world.ledger.objects.pop(OBJECT_ID)
    world.ledger.event(kind, found)
    await follow(world)
    assert await gone(world)


async def test_a_discontinued_object_is_dropped(world: World) -> None:
    await taken(world)
    world.ledger.seal(OBJECT_ID, named(world))
    found = world.ledger.objects[OBJECT_ID]
    world.ledger.objects[OBJECT_ID] = replace(found, status=ObjectStatus.DISCONTINUED)
    world.ledger.event(EventType.DISCONTINUE_OBJECT, found)
    await follow(world)
    assert await gone(world)


async def test_an_update_drops_the_old_content_only_when_it_is_sealed(world: World) -> None:
    await taken(world)
    world.ledger.seal(OBJECT_ID, named(world))
    await follow(world)
    await begin_update(world)
    world.ledger.event(EventType.UPDATE_OBJECT_CONTENT, world.ledger.objects[OBJECT_ID])
    await follow(world)
    assert await states(world) == [ReceivedState.SEALED, ReceivedState.SIGNED]
    world.ledger.seal(OBJECT_ID, named(world))
    await follow(world)
    assert await states(world) == [ReceivedState.SEALED]
    assert await world.keys() == {"e42_s0_p2_v1"}


async def test_an_update_sealed_with_another_drops_both_contents(world: World) -> None:
    await taken(world)
    world.ledger.seal(OBJECT_ID, named(world))
    await begin_update(world)
    world.ledger.seal(OBJECT_ID, (OTHER,) * 6)
    await follow(world)
    assert await gone(world)


async def test_a_rejected_update_leaves_the_content_before_it(world: World) -> None:
    await taken(world)
    world.ledger.seal(OBJECT_ID, named(world))
    await begin_update(world)
    found = world.ledger.objects[OBJECT_ID]
    world.ledger.objects[OBJECT_ID] = replace(found, update=None)
    world.ledger.event(EventType.REJECT_SEAL_OBJECT, found)
    await follow(world)
    assert await states(world) == [ReceivedState.SEALED]
    assert await world.keys() == {f"e42_s{s}_p2" for s in range(4)}


async def test_events_seen_twice_or_late_change_nothing(world: World) -> None:
    await taken(world)
    found = world.ledger.objects[OBJECT_ID]
    world.ledger.event(EventType.REJECT_SEAL_OBJECT, found)  # of an earlier life, as it were: the object is there
    world.ledger.seal(OBJECT_ID, named(world))
    await follow(world)
    for event in list(world.ledger.log):
        world.ledger.event(event.type, found)
    await follow(world)
    assert await states(world) == [ReceivedState.SEALED]


async def test_the_cursor_does_not_pass_an_event_that_could_not_be_carried_out(world: World) -> None:
    await taken(world)
    world.ledger.event(EventType.DELETE_OBJECT, world.ledger.objects.pop(OBJECT_ID))
    world.store.fail_next("delete", StoreFailed("disk", "EIO"))
    with pytest.raises(StoreFailed):
        await world.follower.tick()
    await follow(world)
    assert await gone(world)


async def test_the_cursor_is_written_now_and_then_and_never_ahead_of_what_was_done(world: World) -> None:
    began = await world.follower.cursors.get(CURSOR)
    for _ in range(CURSOR_EVERY - 1):
        world.ledger.block()
        await follow(world)
    assert await world.follower.cursors.get(CURSOR) == began
    world.ledger.block()
    await follow(world)
    assert await world.follower.cursors.get(CURSOR) == began + CURSOR_EVERY


async def test_a_follower_that_starts_anew_goes_on_from_what_was_written(world: World) -> None:
    await taken(world)
    await follow(world)
    written = await world.follower.cursors.get(CURSOR)
    world.ledger.seal(OBJECT_ID, named(world))
    await replace(world.follower).tick()
    assert await states(world) == [ReceivedState.SEALED]
    assert await world.follower.cursors.get(CURSOR) == written


async def test_the_seals_of_many_objects_are_one_transaction(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await taken(world)
    for number in range(1, 4):
        ref = replace(GROUP.ref, object_id=ObjectId(OBJECT_ID + number))
        await world.records.open(ref, COLUMN, world.primary.operator)
        await world.records.sign(ref.object_id, 0, COLUMN, GROUP.root, GROUP.piece_checksums)
        found = replace(world.ledger.objects[OBJECT_ID], id=ref.object_id, name=f"{number}")
        world.ledger.objects[found.id] = found
    for number in range(4):
        world.ledger.seal(OBJECT_ID + number, named(world))
    marked: list[int] = []
    mark = type(world.records).mark_all_sealed

    async def marking(records: Received, keys: Sequence[GroupKey]) -> None:
        marked.append(len(keys))
        await mark(records, keys)

    monkeypatch.setattr(type(world.records), "mark_all_sealed", marking)
    await follow(world)
    assert marked == [4]
    assert await states(world) == [ReceivedState.SEALED] * 4


async def test_a_new_database_does_not_replay_the_whole_chain(world: World) -> None:
    world.ledger.height = 5_000_000
    await world.follower.cursors.set(CURSOR, 0)
    assert not await replace(world.follower).tick()
    assert await world.follower.cursors.get(CURSOR) == 5_000_000


async def test_a_group_that_nobody_seals_is_collected_after_its_time_and_not_before(world: World) -> None:
    await taken(world)
    world.clock.advance(TTL_S)
    await world.collector.tick()
    assert len(await world.keys()) == 4
    world.clock.advance(1)
    assert await world.collector.tick()
    assert await gone(world)


async def test_a_stream_broken_off_for_good_is_collected(world: World) -> None:
    world.on_chain(GROUP)
    with pytest.raises(GroupIncomplete):
        await world.send(GROUP, only=[0, 2])
    world.clock.advance(TTL_S + 1)
    await world.collector.tick()
    assert await gone(world)


async def test_the_collector_finds_the_seal_that_the_follower_missed(world: World) -> None:
    await taken(world)
    world.ledger.seal(OBJECT_ID, named(world))
    world.clock.advance(TTL_S + 1)
    await world.collector.tick()
    assert await states(world) == [ReceivedState.SEALED]
    assert len(await world.keys()) == 4


async def test_the_collector_finds_the_deletion_that_the_follower_missed(world: World) -> None:
    await taken(world)
    world.ledger.seal(OBJECT_ID, named(world))
    await follow(world)
    world.ledger.objects.clear()
    assert await world.collector.tick()
    assert await gone(world)


async def test_a_collection_that_stops_half_way_is_finished_by_the_next(world: World) -> None:
    await taken(world)
    world.clock.advance(TTL_S + 1)
    world.store.fail_next("delete", StoreFailed("disk", "EIO"), landed=True)
    with pytest.raises(StoreFailed):
        await world.collector.tick()
    assert len(await world.keys()) == 3
    assert len(await world.groups()) == 1
    await world.collector.tick()
    assert await gone(world)


async def test_a_piece_left_without_a_record_goes_with_its_group(world: World) -> None:
    world.on_chain(GROUP)
    with pytest.raises(GroupIncomplete):
        await world.send(GROUP, only=[0])
    await world.store.put(EcPieceKey(OBJECT_ID, 0, SegmentIndex(3), COLUMN), b"x")
    world.clock.advance(TTL_S + 1)
    await world.collector.tick()
    assert await gone(world)


async def test_a_group_the_chain_names_us_for_is_kept_though_it_is_not_whole(world: World) -> None:
    world.on_chain(GROUP)
    with pytest.raises(GroupIncomplete):
        await world.send(GROUP, only=[0])
    world.ledger.seal(OBJECT_ID, named(world))
    world.clock.advance(TTL_S + 1)
    assert not await world.collector.tick()
    assert await states(world) == [ReceivedState.RECEIVING]
    assert await world.records.unsealed(world.clock.now_ms() - int(TTL_S * 1000), 10) == []


async def test_a_group_signed_and_sealed_since_it_was_looked_at_is_no_cause_for_alarm(world: World) -> None:
    await taken(world)
    (signed,) = await world.groups()
    as_seen_before = replace(signed, state=ReceivedState.RECEIVING, integrity_hash=None, piece_checksums=())
    world.ledger.seal(OBJECT_ID, named(world))
    with capture_logs() as logs:
        assert await settle(world.receiver, world.records, as_seen_before)
    assert [entry for entry in logs if entry["log_level"] == "error"] == []
    assert await states(world) == [ReceivedState.SEALED]


async def test_a_process_that_slept_drops_nothing_by_what_it_heard_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It still answers for the chain from what it remembers, while another has taken in what it does not know of."""
    await taken(world)
    world.ledger.seal(OBJECT_ID, named(world))
    await follow(world)
    remembered, ask = world.ledger.objects[OBJECT_ID], world.ledger.head_object_by_id
    await begin_update(world)
    found = world.ledger.objects[OBJECT_ID]
    world.ledger.objects[OBJECT_ID] = replace(
        found, version=1, checksums=UPDATED.checksums, payload_size=900, update=None, secondaries=named(world)
    )

    async def from_memory(object_id: ObjectId, *, newest: bool = False) -> ChainObject:
        return await ask(object_id, newest=True) if newest else replace(remembered, status=ObjectStatus.CREATED)

    monkeypatch.setattr(world.ledger, "head_object_by_id", from_memory)
    await world.collector.tick()
    assert sorted(group.object.version for group in await world.groups()) == [0, 1]
    assert len(await world.keys()) == 5  # four of the one, one of the other


async def test_an_object_deleted_while_it_arrives_ends_the_stream(world: World) -> None:
    world.on_chain(GROUP)
    begun = asyncio.Event()

    async def frames() -> AsyncIterator[Frame]:
        yield await world.opening(await world.offer(GROUP.ref))
        for frame in piece_frames(GROUP, [0]):
            yield frame
        begun.set()
        await asyncio.Event().wait()

    async def receive() -> None:
        async for _ in world.receiver.replicate(frames()):
            pass

    receiving = asyncio.create_task(receive())
    await begun.wait()
    world.ledger.event(EventType.DELETE_OBJECT, world.ledger.objects.pop(OBJECT_ID))
    await follow(world)
    with pytest.raises(Overloaded):
        await receiving
    assert await gone(world)


# --- a holder leaves


def with_a_leaver(world: World, status: SpStatus, *, me: bool = False) -> None:
    """Sealed: our column is with a provider of this status, and, or not, another one with us."""
    leaver = replace(world.me.record, operator=OTHER, status=status)
    world.ledger.providers[OTHER] = leaver
    third = Address("0x" + "44" * 20)
    others = [world.me.operator if me and column == 0 else third for column in range(6)]
    others[COLUMN] = OTHER
    world.ledger.seal(OBJECT_ID, tuple(others))


@pytest.mark.parametrize("status", [SpStatus.GRACEFUL_EXITING, SpStatus.FORCED_EXITING])
async def test_a_group_waits_while_the_one_who_has_its_column_leaves_and_is_kept_once_we_are_named(
    world: World, status: SpStatus
) -> None:
    await taken(world)
    with_a_leaver(world, status)
    await follow(world)
    assert await states(world) == [ReceivedState.SIGNED]
    found = world.ledger.objects[OBJECT_ID]
    world.ledger.objects[OBJECT_ID] = replace(found, secondaries=named(world))
    world.ledger.event(EventType.COMPLETE_SWAP_IN, found)
    await follow(world)
    assert await states(world) == [ReceivedState.SEALED]


async def test_a_group_that_waits_for_a_leaver_is_dropped_when_its_time_is_over(world: World) -> None:
    await taken(world)
    with_a_leaver(world, SpStatus.GRACEFUL_EXITING)
    await follow(world)
    world.clock.advance(TTL_S + 1)
    await world.collector.tick()
    assert await gone(world)


async def test_a_receipt_given_again_gives_the_group_its_time_anew(world: World) -> None:
    world = reconfigured(world, ReceiverConfig(chain_lag_s=0.05, unsealed_ttl_s=500.0))
    await taken(world)
    world.clock.advance(499.0)
    await world.send(GROUP)
    world.clock.advance(2.0)
    await world.collector.tick()
    assert await states(world) == [ReceivedState.SIGNED]
    world.clock.advance(500.0)
    await world.collector.tick()
    assert await gone(world)


async def test_a_leavers_column_is_not_for_one_who_keeps_another(world: World) -> None:
    await taken(world)
    with_a_leaver(world, SpStatus.GRACEFUL_EXITING, me=True)
    await follow(world)
    assert await gone(world)


async def test_the_leaver_drops_its_group_when_another_has_taken_it_over(world: World) -> None:
    await taken(world)
    world.ledger.seal(OBJECT_ID, named(world))
    world.ledger.providers[world.me.operator] = replace(world.me.record, status=SpStatus.GRACEFUL_EXITING)
    await follow(world)
    await world.collector.tick()
    assert await states(world) == [ReceivedState.SEALED], "until then it is served"
    found = world.ledger.objects[OBJECT_ID]
    world.ledger.objects[OBJECT_ID] = replace(found, secondaries=(OTHER,) * 6)
    world.ledger.event(EventType.COMPLETE_SWAP_IN, found)
    await follow(world)
    assert await gone(world)
