"""What is kept for other providers, and what is remembered of them."""

from dataclasses import replace

import pytest

import spdb.received
from sp.domain.approvals import ObjectRef
from sp.domain.errors import InvalidRequest
from sp.domain.ids import Checksum, ObjectId, RedundancyIndex, SegmentIndex
from sp.domain.jobs import PeerRecord, ReceivedGroup, ReceivedPiece, ReceivedState
from sp.domain.params import StorageParams
from tests.contracts.spdb_world import World, provider

SUBJECT = ObjectRef(ObjectId(9), 0, "bucket", "photo", 100, StorageParams(max_segment_size=64))
ASKER = provider(1)
C = RedundancyIndex
KEY = (SUBJECT.object_id, SUBJECT.version, C(2))
HASH = Checksum(b"h" * 32)
CHECKSUMS = (Checksum(b"0" * 32), Checksum(b"1" * 32))


def piece(segment: int, checksum: Checksum, size: int = 16) -> ReceivedPiece:
    return ReceivedPiece(SegmentIndex(segment), checksum, size)


async def test_a_group_is_opened_once_and_shows_what_has_arrived(world: World) -> None:
    group, pieces = await world.received.open(SUBJECT, C(2), ASKER)
    now = world.now()
    assert group == ReceivedGroup(SUBJECT, C(2), ASKER, ReceivedState.RECEIVING, None, (), now, now)
    assert pieces == []
    world.clock.advance(1)
    await world.received.add_pieces(*KEY, [piece(1, CHECKSUMS[1], 9)])
    await world.received.add_pieces(
        *KEY, [piece(0, CHECKSUMS[1]), piece(0, CHECKSUMS[0])]
    )  # sent again: the last counts
    again, pieces = await world.received.open(SUBJECT, C(2), ASKER)
    assert again == replace(group, updated_at_ms=world.now())
    assert pieces == [piece(0, CHECKSUMS[0]), piece(1, CHECKSUMS[1], 9)]


@pytest.mark.parametrize(
    "other",
    [
        replace(SUBJECT, payload_size=101),
        replace(SUBJECT, params=StorageParams(max_segment_size=65)),
        replace(SUBJECT, object_name="other"),
    ],
)
async def test_a_group_is_not_opened_for_another_content(world: World, other: ObjectRef) -> None:
    await world.received.open(SUBJECT, C(2), ASKER)
    with pytest.raises(InvalidRequest):
        await world.received.open(other, C(2), ASKER)


async def test_a_group_is_not_opened_by_another_asker(world: World) -> None:
    await world.received.open(SUBJECT, C(2), ASKER)
    with pytest.raises(InvalidRequest):
        await world.received.open(SUBJECT, C(2), provider(2))
    await world.received.open(SUBJECT, C(3), provider(2))


async def test_what_a_stranger_names_wrongly_is_refused_before_it_is_stored(world: World) -> None:
    for subject in (replace(SUBJECT, object_name="a\0"), replace(SUBJECT, object_id=ObjectId(2**63))):
        with pytest.raises(InvalidRequest):
            await world.received.open(subject, C(2), ASKER)
    assert await world.received.count() == 0
    assert await world.received.get(ObjectId(2**64), 0) == []


async def test_a_signed_group_keeps_its_checksums_and_takes_no_more_pieces(world: World) -> None:
    await world.received.open(SUBJECT, C(2), ASKER)
    await world.received.add_pieces(*KEY, [piece(0, CHECKSUMS[0]), piece(1, CHECKSUMS[1])])
    signed = await world.received.sign(*KEY, HASH, CHECKSUMS)
    assert (signed.state, signed.integrity_hash, signed.piece_checksums) == (ReceivedState.SIGNED, HASH, CHECKSUMS)
    assert await world.received.sign(*KEY, HASH, CHECKSUMS) == signed
    assert await world.received.open(SUBJECT, C(2), ASKER) == (signed, [])
    with pytest.raises(InvalidRequest):
        await world.received.sign(*KEY, Checksum(b"x" * 32), CHECKSUMS)
    with pytest.raises(InvalidRequest):
        await world.received.add_pieces(*KEY, [piece(0, CHECKSUMS[1])])


async def test_a_group_that_was_not_opened_takes_nothing(world: World) -> None:
    with pytest.raises(InvalidRequest):
        await world.received.add_pieces(*KEY, [piece(0, CHECKSUMS[0])])
    with pytest.raises(InvalidRequest):
        await world.received.sign(*KEY, HASH, CHECKSUMS)
    await world.received.forget(*KEY)


async def test_only_a_signed_group_becomes_sealed(world: World) -> None:
    await world.received.open(SUBJECT, C(2), ASKER)
    await world.received.mark_sealed(*KEY)
    assert (await world.received.get(*KEY))[0].state is ReceivedState.RECEIVING
    await world.received.sign(*KEY, HASH, CHECKSUMS)
    await world.received.mark_sealed(*KEY)
    assert (await world.received.get(*KEY))[0].state is ReceivedState.SEALED


async def test_of_many_groups_the_signed_ones_become_sealed_at_once(world: World) -> None:
    others = [replace(SUBJECT, object_id=ObjectId(SUBJECT.object_id + number)) for number in range(3)]
    for subject in others:
        await world.received.open(subject, C(2), ASKER)
    for subject in others[:2]:
        await world.received.sign(subject.object_id, 0, C(2), HASH, CHECKSUMS)
    await world.received.mark_all_sealed([(subject.object_id, 0, C(2)) for subject in reversed(others)])
    await world.received.mark_all_sealed([(ObjectId(999), 0, C(2))])
    await world.received.mark_all_sealed([])
    found = await world.received.of_objects([subject.object_id for subject in others])
    assert [group.state for group in found] == [ReceivedState.SEALED, ReceivedState.SEALED, ReceivedState.RECEIVING]


async def test_groups_of_objects_come_in_pages_with_all_their_columns_and_no_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spdb.received, "PAGE", 2)
    others = [replace(SUBJECT, object_id=ObjectId(SUBJECT.object_id + number)) for number in range(3)]
    for subject in others:
        for index in (4, 1):
            await world.received.open(subject, C(index), ASKER)
    asked = [others[2].object_id, others[0].object_id, ObjectId(2**64 - 1)]
    first = await world.received.of_objects(asked)
    last = first[-1]
    second = await world.received.of_objects(asked, (last.object.object_id, 0, last.redundancy_index))
    assert [(group.object.object_id, group.redundancy_index) for group in [*first, *second]] == [
        (subject.object_id, index) for subject in (others[0], others[2]) for index in (1, 4)
    ]
    assert await world.received.of_objects([]) == []


async def test_unsealed_groups_come_longest_untouched_first(world: World) -> None:
    for index in range(4):
        await world.received.open(SUBJECT, C(index), ASKER)
        world.clock.advance(1)
    await world.received.sign(SUBJECT.object_id, 0, C(3), HASH, CHECKSUMS)
    await world.received.mark_sealed(SUBJECT.object_id, 0, C(3))
    await world.received.touch(SUBJECT.object_id, 0, C(0))
    later = world.now() + 1
    assert [g.redundancy_index for g in await world.received.unsealed(later, 10)] == [1, 2, 0]
    assert [g.redundancy_index for g in await world.received.unsealed(world.now() - 2_000, 10)] == [1]
    assert [g.redundancy_index for g in await world.received.unsealed(later, 1)] == [1]


async def test_a_forgotten_group_leaves_no_row(world: World) -> None:
    await world.received.open(SUBJECT, C(2), ASKER)
    await world.received.add_pieces(*KEY, [piece(0, CHECKSUMS[0])])
    await world.received.forget(*KEY)
    assert await world.received.count() == 0
    assert (await world.received.open(SUBJECT, C(2), ASKER))[1] == []


async def test_groups_are_listed_in_the_order_of_their_keys(world: World) -> None:
    keys = [(1, 0, 5), (9, 0, 1), (9, 0, 2), (9, 1, 0), (2**40, 0, 0)]
    for object_id, version, index in reversed(keys):
        await world.received.open(replace(SUBJECT, object_id=ObjectId(object_id), version=version), C(index), ASKER)

    def key(group: ReceivedGroup) -> tuple[int, int, int]:
        return group.object.object_id, group.object.version, group.redundancy_index

    assert [key(g) for g in await world.received.list(10)] == keys
    assert [key(g) for g in await world.received.list(2, (ObjectId(9), 0, C(1)))] == keys[2:4]
    assert await world.received.list(2, (ObjectId(2**40), 0, C(0))) == []
    assert [key(g) for g in await world.received.get(ObjectId(9), 0)] == keys[1:3]
    assert await world.received.count() == 5


async def test_a_peer_is_remembered_by_its_failures_until_it_succeeds(world: World) -> None:
    assert await world.peers.all() == []
    start = world.now()
    await world.peers.record_failure(provider(2), "refused", start + 1_000)
    world.clock.advance(1)
    await world.peers.record_failure(provider(2), "timed out", start + 9_000)
    await world.peers.record_success(provider(1))
    assert await world.peers.all() == [
        PeerRecord(provider(1), 0, 0, "", start + 1_000, 0, 0, start + 1_000),
        PeerRecord(provider(2), 2, start + 9_000, "timed out", 0, 0, 0, start + 1_000),
    ]
    await world.peers.record_success(provider(2))
    (_, second) = await world.peers.all()
    assert (second.failures, second.frozen_until_ms, second.last_success_ms) == (0, 0, start + 1_000)
    assert second.last_error == "timed out"


async def test_approvals_are_counted_without_touching_failures(world: World) -> None:
    await world.peers.record_failure(provider(1), "slow", 5)
    for given in (True, True, False):
        await world.peers.count_approvals({provider(1): given, provider(2): not given})
    peer, fresh = await world.peers.all()
    assert (peer.approvals_given, peer.approvals_refused, peer.failures, peer.frozen_until_ms) == (2, 1, 1, 5)
    assert (fresh.approvals_given, fresh.approvals_refused, fresh.failures) == (1, 2, 0)


async def test_a_cursor_is_where_it_was_set_and_starts_at_zero(world: World) -> None:
    assert await world.cursors.get("height") == 0
    await world.cursors.set("height", 7)
    await world.cursors.set("other", 1)
    await world.cursors.set("height", 2**40)
    assert await world.cursors.get("height") == 2**40
