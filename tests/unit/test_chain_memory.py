"""What a client of the chain answers from the stream of blocks, and when it must not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chain.dev.apply import execute
from chain.dev.caches import Caches
from chain.dev.eventlog import EventLog
from chain.dev.history import History
from chain.dev.news import GONE, RECORDS_BYTES, News, decoded, news, news_pb
from chain.dev.permissions import Permissions
from chain.dev.state import State, initial_state
from proto import chain_pb2 as pb
from sp.domain.errors import NoSuchObjectId
from sp.domain.ids import Address, ObjectId, TxHash
from sp.domain.ledger import (
    Action,
    Block,
    Bucket,
    BucketStatus,
    ChainEvent,
    ChainObject,
    EventType,
    ObjectStatus,
    RedundancyType,
    TxResult,
    Visibility,
)
from sp.wire.chain import chain_object_pb
from tests.chain_world import ALICE, BOB, GENESIS, PRIMARY

OBJECT = ChainObject(
    id=ObjectId(7),
    bucket="photos",
    name="a.jpg",
    owner=ALICE,
    creator=ALICE,
    payload_size=5000,
    visibility=Visibility.PRIVATE,
    content_type="image/jpeg",
    create_at=100,
    status=ObjectStatus.CREATED,
    redundancy=RedundancyType.EC,
    checksums=(),
    secondaries=(),
)
SEALED = replace(OBJECT, status=ObjectStatus.SEALED)
BUCKET = Bucket(1, "photos", ALICE, Visibility.PRIVATE, PRIMARY.operator, 90, BucketStatus.CREATED)
ASKED = (BOB, "photos", "a.jpg", Action.GET_OBJECT)


def told(height: int, *events: ChainEvent, objects: tuple[ChainObject, ...] = (), gone: tuple[int, ...] = ()) -> News:
    records = {found.id: chain_object_pb(found).SerializeToString() for found in objects}
    records |= {ObjectId(object_id): GONE for object_id in gone}
    return News(Block(height, 100 + height, (), events), {}, records)


def about(type: EventType, object_id: int = 7) -> ChainEvent:
    return ChainEvent(1, type, "photos", "a.jpg", ObjectId(object_id))


def in_bucket(type: EventType, bucket: str = "photos", object_name: str = "") -> ChainEvent:
    return ChainEvent(1, type, bucket, object_name)


def caches(objects_limit: int = 3) -> Caches:
    made = Caches(permissions_limit=2, objects_limit=objects_limit)
    made.hear(None)
    made.hear(told(1))
    return made


# --- objects ------------------------------------------------------------------------------------------------------


def test_an_object_is_known_as_its_block_told_it_without_ever_having_been_asked_for() -> None:
    known = caches()
    known.hear(told(2, about(EventType.CREATE_OBJECT), objects=(OBJECT,)))
    assert known.object(OBJECT.id) == OBJECT
    known.hear(told(3, about(EventType.SEAL_OBJECT), objects=(SEALED,)))
    assert known.object(OBJECT.id) == SEALED


def test_an_event_without_a_record_makes_an_object_unknown() -> None:
    known = caches()
    known.keep_object(OBJECT, known.ticket)
    known.hear(told(2, about(EventType.SEAL_OBJECT)))
    assert known.object(OBJECT.id) is None


def test_blocks_about_others_leave_an_object_known() -> None:
    known = caches()
    known.keep_object(OBJECT, known.ticket)
    known.hear(told(2))
    known.hear(told(3, about(EventType.SEAL_OBJECT, 8)))
    assert known.object(OBJECT.id) == OBJECT


def test_an_object_that_is_gone_is_known_to_be() -> None:
    known = caches()
    known.keep_object(OBJECT, known.ticket)
    known.hear(told(2, about(EventType.DELETE_OBJECT), gone=(7,)))
    with pytest.raises(NoSuchObjectId):
        known.object(OBJECT.id)


def test_an_object_that_was_asked_for_before_a_block_is_not_remembered_after_it() -> None:
    known = caches()
    ticket = known.ticket
    known.hear(told(2, about(EventType.SEAL_OBJECT), objects=(SEALED,)))
    known.keep_object(OBJECT, ticket)
    assert known.object(OBJECT.id) == SEALED


def test_a_block_without_events_makes_no_answer_that_is_on_its_way_stale() -> None:
    known = caches()
    ticket = known.ticket
    known.hear(told(2))
    known.keep_object(OBJECT, ticket)
    assert known.object(OBJECT.id) == OBJECT


def test_only_so_many_objects_are_remembered_and_the_least_used_goes() -> None:
    known = caches(objects_limit=2)
    first, second, third = (replace(OBJECT, id=ObjectId(number)) for number in (1, 2, 3))
    known.keep_object(first, known.ticket)
    known.keep_object(second, known.ticket)
    known.object(first.id)
    known.hear(told(2, about(EventType.CREATE_OBJECT, 3), objects=(third,)))
    assert [known.object(found.id) for found in (first, second, third)] == [first, None, third]


def test_after_a_gap_no_object_bucket_permission_or_result_is_known_nor_one_asked_for_before_it() -> None:
    known = caches()
    result = TxResult(TxHash("a" * 64), 2, 0)
    known.hear(News(Block(2, 102, (result.tx_hash,), ()), {result.tx_hash: result}))
    known.keep_object(OBJECT, known.ticket)
    known.keep_bucket(BUCKET, known.ticket)
    known.keep_permission(ASKED, True, known.ticket)
    assert known.results.get(result.tx_hash) == result
    before = known.ticket
    known.hear(None)
    known.hear(told(9))
    known.keep_object(OBJECT, before)
    known.keep_bucket(BUCKET, before)
    known.keep_permission(ASKED, True, before)
    assert (known.object(OBJECT.id), known.bucket("photos"), known.permissions.get(ASKED)) == (None, None, None)
    assert known.results.get(result.tx_hash) is None


# --- buckets ------------------------------------------------------------------------------------------------------


def test_a_bucket_is_known_until_an_event_of_it_and_then_as_its_block_says() -> None:
    known = caches()
    known.keep_bucket(BUCKET, known.ticket)
    known.hear(told(2, about(EventType.CREATE_OBJECT), in_bucket(EventType.CREATE_BUCKET, "zoo")))
    assert known.bucket("photos") == BUCKET
    public = replace(BUCKET, visibility=Visibility.PUBLIC_READ)
    changed = News(Block(3, 103, (), (in_bucket(EventType.UPDATE_BUCKET_INFO),)), buckets=(public,))
    known.hear(changed)
    assert known.bucket("photos") == public
    known.hear(told(4, in_bucket(EventType.DELETE_BUCKET)))
    assert known.bucket("photos") is None


# --- permissions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        in_bucket(EventType.UPDATE_BUCKET_INFO),
        in_bucket(EventType.PUT_POLICY),
        in_bucket(EventType.DELETE_POLICY),
        in_bucket(EventType.PUT_POLICY, object_name="a.jpg"),
        about(EventType.UPDATE_OBJECT_INFO),
        about(EventType.DELETE_OBJECT),
    ],
)
def test_a_permission_is_remembered_until_what_it_depends_on_changes(event: ChainEvent) -> None:
    known = caches()
    known.keep_permission(ASKED, True, known.ticket)
    known.hear(told(2))
    assert known.permissions.get(ASKED) is True
    ticket = known.ticket
    known.hear(told(3, event))
    assert known.permissions.get(ASKED) is None
    known.keep_permission(ASKED, True, ticket)
    assert known.permissions.get(ASKED) is None


def test_what_happens_to_other_objects_and_buckets_leaves_a_permission_remembered() -> None:
    known = caches()
    known.keep_permission(ASKED, False, known.ticket)
    other = ChainEvent(2, EventType.CREATE_OBJECT, "photos", "b.jpg", ObjectId(8))
    known.hear(told(2, other, in_bucket(EventType.UPDATE_BUCKET_INFO, "zoo")))
    assert known.permissions.get(ASKED) is False


def test_only_so_many_permissions_are_remembered_however_they_are_spread() -> None:
    known = Permissions(limit=3)
    for account in range(5):
        known.put((Address(f"0x{account:040x}"), "photos", None, Action.CREATE_OBJECT), True)
    assert len(known) <= 3
    for number in range(5):
        known.put((BOB, f"bucket-{number}", None, Action.GET_OBJECT), False)
    assert len(known) <= 3
    assert known.get((BOB, "bucket-4", None, Action.GET_OBJECT)) is False
    known.put((BOB, "bucket-4", None, Action.GET_OBJECT), True)
    assert known.get((BOB, "bucket-4", None, Action.GET_OBJECT)) is True


# --- events -------------------------------------------------------------------------------------------------------


def block(height: int, events: int = 0) -> Block:
    return Block(height, height, (), tuple(ChainEvent(height, EventType.SEAL_OBJECT) for _ in range(events)))


def heard(*blocks: Block, limit: int = 100) -> EventLog:
    log = EventLog(limit)
    for one in blocks:
        log.hear(one)
    return log


def test_events_are_those_of_the_blocks_since_the_stream_began() -> None:
    log = heard(block(5, 1), block(6), block(8, 2))
    assert log.after(4, 100) == (8, [*block(5, 1).events, *block(8, 2).events])
    assert log.after(5, 100) == (8, list(block(8, 2).events))
    assert log.after(8, 100) == (8, [])
    assert log.after(9, 100) == (9, [])


def test_events_from_before_the_stream_began_must_be_asked_for() -> None:
    assert heard(block(5, 1)).after(3, 100) is None
    assert EventLog().after(3, 100) is None


def test_events_come_a_few_blocks_at_a_time() -> None:
    log = heard(block(5, 1), block(6, 1), block(9))
    assert log.after(4, 1) == (5, list(block(5, 1).events))
    assert log.after(5, 1) == (9, list(block(6, 1).events))


def test_after_a_gap_only_events_behind_it_are_known() -> None:
    log = heard(block(5, 1))
    log.hear(None)
    assert log.after(5, 100) is None
    log.hear(block(9, 1))
    assert log.after(5, 100) is None
    assert log.after(8, 100) == (9, list(block(9, 1).events))


def test_only_so_many_events_are_remembered_and_always_those_of_the_newest_block() -> None:
    log = heard(block(5, 2), block(6, 2), block(7, 2), limit=4)
    assert log.after(4, 100) is None
    assert log.after(5, 100) == (7, [*block(6, 2).events, *block(7, 2).events])
    log.hear(block(8, 9))
    assert log.after(7, 100) == (8, list(block(8, 9).events))
    assert log.after(6, 100) is None


# --- what the node tells ------------------------------------------------------------------------------------------


def state_with(*objects: ChainObject) -> State:
    state = initial_state(GENESIS)
    execute(state, 1, 100, [])
    state.buckets["photos"] = BUCKET
    state.objects.update((found.id, found) for found in objects)
    return state


def heard_of(message: pb.News) -> News:
    return news(pb.News.FromString(message.SerializeToString()))


def test_news_tell_the_objects_and_buckets_of_the_events_and_the_results() -> None:
    history = History(10)
    results = (
        TxResult(TxHash("a" * 64), 2, 0, object_id=OBJECT.id),
        TxResult(TxHash("b" * 64), 2, 13, "storage", "no"),
    )
    history.results.update((result.tx_hash, result) for result in results)
    events = (about(EventType.CREATE_OBJECT), about(EventType.DELETE_OBJECT, 8), in_bucket(EventType.CREATE_BUCKET))
    made = Block(2, 102, tuple(result.tx_hash for result in results), events)
    there = heard_of(news_pb(made, state_with(OBJECT), history))
    assert there.block == made
    assert there.results == {result.tx_hash: result for result in results}
    assert decoded(there.objects[OBJECT.id]) == OBJECT
    assert there.objects[ObjectId(8)] == GONE
    assert there.buckets == (BUCKET,)


def test_news_of_very_many_large_objects_stay_within_bounds_and_leave_the_rest_to_be_asked_for() -> None:
    objects = tuple(replace(OBJECT, id=ObjectId(number), name="n" * 1000) for number in range(1, 2001))
    made = Block(2, 102, (), tuple(about(EventType.SEAL_OBJECT, found.id) for found in objects))
    message = news_pb(made, state_with(*objects), History(10))
    assert 0 < len(message.objects) < 2000
    assert sum(len(record.object) for record in message.objects) <= RECORDS_BYTES
    known = caches()
    known.hear(heard_of(message))
    assert known.object(ObjectId(2000)) is None
