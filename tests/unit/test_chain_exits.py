"""A provider leaves, and others take its columns over: what the chain accepts, and what it refuses with which code."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chain.dev import queries
from sp.domain.ids import ObjectId, Signature
from sp.domain.ledger import EventType, SpStatus
from sp.domain.messages import (
    MsgCompleteStorageProviderExit,
    MsgCompleteSwapIn,
    MsgCreateStorageProvider,
    MsgDeleteBucket,
    MsgDeleteObject,
    MsgStorageProviderExit,
    MsgStorageProviderForcedExit,
    MsgUpdateObjectContent,
    MsgUpdateStorageProviderStatus,
    TxMessage,
)
from tests.chain_world import (
    ALICE,
    AUTHORITY,
    PRIMARY,
    SECONDARIES,
    SPARE,
    Ledger,
    Provider,
    checksums,
    create_bucket,
    create_object,
    seal,
    swap_in,
    with_sealed_object,
)

LEAVER = SECONDARIES[2]
EXIT = MsgStorageProviderExit(LEAVER.operator)
FORCED = MsgStorageProviderForcedExit(AUTHORITY, LEAVER.operator)
COMPLETE = MsgCompleteStorageProviderExit(LEAVER.operator)


def left() -> Ledger:
    """A sealed object, one of whose secondaries leaves."""
    return with_sealed_object().ok(EXIT)


def status_of(ledger: Ledger, provider: Provider) -> SpStatus:
    return ledger.state.providers[provider.operator].status


# --- leaving ------------------------------------------------------------------------------------------------------


def test_a_provider_that_announces_its_exit_is_told_of_and_takes_nothing_new() -> None:
    ledger = left()
    assert status_of(ledger, LEAVER) is SpStatus.GRACEFUL_EXITING
    assert [(e.type, e.provider) for e in ledger.events[-2:]] == [
        (EventType.PROVIDERS_CHANGED, ""),
        (EventType.STORAGE_PROVIDER_EXIT, LEAVER.operator),
    ]
    ledger.ok(create_object("later"))
    assert ledger.refusal(seal(2, "later")) == ("sp", 2)
    assert ledger.refusal(create_bucket("its-own", primary=LEAVER)) == ("storage", 1111)


def test_the_authority_makes_a_provider_leave_whatever_it_says() -> None:
    for before in ((), (EXIT,), (MsgUpdateStorageProviderStatus(LEAVER.operator, SpStatus.IN_JAILED),)):
        ledger = with_sealed_object().ok(*before).ok(FORCED)
        assert status_of(ledger, LEAVER) is SpStatus.FORCED_EXITING
        assert ledger.events[-1].type is EventType.STORAGE_PROVIDER_FORCED_EXIT
        told = len(ledger.events)
        assert len(ledger.ok(FORCED).events) == told, "the same again changes nothing"


@pytest.mark.parametrize(
    ("before", "message", "code"),
    [
        ((), replace(EXIT, operator=ALICE), ("sp", 1)),
        ((EXIT,), EXIT, ("sp", 13)),
        ((FORCED,), EXIT, ("sp", 13)),
        ((EXIT,), MsgUpdateStorageProviderStatus(LEAVER.operator, SpStatus.IN_SERVICE), ("sp", 16)),
        ((FORCED,), MsgUpdateStorageProviderStatus(LEAVER.operator, SpStatus.IN_SERVICE), ("sp", 16)),
        ((), MsgUpdateStorageProviderStatus(LEAVER.operator, SpStatus.FORCED_EXITING), ("sp", 16)),
        ((), replace(FORCED, authority=ALICE), ("gov", 8)),
        ((), replace(FORCED, storage_provider=ALICE), ("sp", 1)),
        ((), COMPLETE, ("sp", 13)),
        ((EXIT,), COMPLETE, ("virtualgroup", 1108)),
    ],
)
def test_exits_out_of_order_or_by_others_are_refused(
    before: tuple[TxMessage, ...], message: TxMessage, code: tuple[str, int]
) -> None:
    assert with_sealed_object().ok(*before).refusal(message) == code


def test_an_exit_is_complete_once_nothing_names_the_provider_and_its_id_is_not_given_again() -> None:
    ledger = left().ok(create_bucket("its", primary=SPARE), swap_in(), COMPLETE)
    assert LEAVER.operator not in ledger.state.providers
    assert ledger.events[-1].type is EventType.COMPLETE_STORAGE_PROVIDER_EXIT
    newcomer = Provider(20).record
    ledger.ok(
        MsgCreateStorageProvider(
            newcomer.operator, newcomer.funding, newcomer.seal, newcomer.approval, newcomer.gc,
            "http://h:1", "h:1", "h:2", "new",
        )
    )  # fmt: skip
    assert ledger.state.providers[newcomer.operator].id == 9
    assert len({p.id for p in ledger.state.providers.values()}) == len(ledger.state.providers)


def test_the_primary_of_a_bucket_cannot_complete_its_exit() -> None:
    ledger = Ledger().ok(create_bucket(), MsgStorageProviderExit(PRIMARY.operator))
    complete = MsgCompleteStorageProviderExit(PRIMARY.operator)
    assert ledger.refusal(complete) == ("virtualgroup", 1108)
    ledger.ok(MsgDeleteBucket(ALICE, "photos"), complete)


# --- taking a column over -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("leaving", [EXIT, FORCED])
def test_a_column_of_a_leaving_provider_is_taken_over_and_told_of(leaving: TxMessage) -> None:
    ledger = with_sealed_object().ok(leaving)
    before = ledger.object()
    ledger.ok(swap_in())
    expected = list(before.secondaries)
    expected[2] = SPARE.operator
    assert ledger.object() == replace(before, secondaries=tuple(expected))
    event = ledger.events[-1]
    assert (event.type, event.object_id, event.version, event.provider) == (
        EventType.COMPLETE_SWAP_IN,
        1,
        0,
        SPARE.operator,
    )


def test_the_same_take_over_again_succeeds_and_changes_nothing() -> None:
    ledger = left().ok(swap_in())
    state, events = ledger.object(), len(ledger.events)
    ledger.ok(swap_in())
    assert (ledger.object(), len(ledger.events)) == (state, events)


def test_the_successor_may_leave_too_and_its_column_is_taken_over_again() -> None:
    ledger = left().ok(swap_in(), COMPLETE)
    newcomer = Provider(20)
    record = newcomer.record
    ledger.ok(
        MsgCreateStorageProvider(
            record.operator, record.funding, record.seal, record.approval, record.gc,
            "http://h:1", "h:1", "h:2", "new",
        ),
        MsgStorageProviderExit(SPARE.operator),
        swap_in(target=SPARE, successor=newcomer),
    )  # fmt: skip
    assert ledger.object().secondaries[2] == newcomer.operator


RIGHT = swap_in()


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (replace(RIGHT, bucket="none"), ("storage", 1100)),
        (replace(RIGHT, object_name="none"), ("storage", 1101)),
        (replace(RIGHT, object_id=ObjectId(7)), ("storage", 1101)),
        (replace(RIGHT, version=1), ("virtualgroup", 1129)),
        (replace(RIGHT, redundancy_index=6), ("storage", 1123)),
        (replace(RIGHT, operator=ALICE), ("storage", 1111)),
        (replace(RIGHT, operator=SPARE.seal), ("storage", 1107)),
        (replace(RIGHT, operator=PRIMARY.operator), ("storage", 1111)),
        (replace(RIGHT, successor_sp=ALICE), ("sp", 1)),
        (swap_in(successor=PRIMARY), ("virtualgroup", 1129)),
        (swap_in(successor=SECONDARIES[4]), ("virtualgroup", 1129)),
        (swap_in(successor=LEAVER), ("sp", 2)),
        (swap_in(column=3), ("virtualgroup", 1129)),
        (swap_in(target=SECONDARIES[3]), ("virtualgroup", 1129)),
        (replace(RIGHT, signature=Signature(bytes(65))), ("storage", 1116)),
        (replace(RIGHT, signature=SPARE.receipt(2, checksums()[3])), ("storage", 1116)),
        (replace(RIGHT, signature=SPARE.receipt(1, checksums()[4])), ("storage", 1116)),
        (replace(RIGHT, signature=SPARE.receipt(1, checksums("other")[3])), ("storage", 1116)),
        (replace(RIGHT, signature=SECONDARIES[0].receipt(1, checksums()[3])), ("storage", 1116)),
    ],
    ids=[
        "no bucket",
        "no object",
        "another object of that name",
        "another version",
        "no such column",
        "by a stranger",
        "by another provider",
        "by the operator key",
        "an unknown successor",
        "the primary as successor",
        "a successor that keeps another column",
        "the leaver itself as successor",
        "a column whose holder stays",
        "a column that is another's",
        "no signature",
        "signed for another object",
        "signed for another column",
        "signed for other bytes",
        "signed by another provider",
    ],
)
def test_a_wrong_take_over_is_refused_with_its_code(message: MsgCompleteSwapIn, code: tuple[str, int]) -> None:
    ledger = left()
    before = ledger.object()
    assert ledger.refusal(message) == code
    assert ledger.object() == before


def test_nothing_is_taken_over_from_a_provider_that_stays_or_pauses() -> None:
    assert with_sealed_object().refusal(RIGHT) == ("virtualgroup", 1129)
    paused = MsgUpdateStorageProviderStatus(LEAVER.operator, SpStatus.IN_MAINTENANCE)
    assert with_sealed_object().ok(paused).refusal(RIGHT) == ("virtualgroup", 1129)


def test_a_repeat_with_a_signature_that_is_none_is_refused() -> None:
    assert left().ok(RIGHT).refusal(replace(RIGHT, signature=Signature(bytes(65)))) == ("storage", 1116)


def test_the_content_before_an_update_is_taken_over_until_the_update_is_sealed() -> None:
    update = MsgUpdateObjectContent(ALICE, "photos", "a.jpg", 800, "text/plain", checksums("new"))
    ledger = left().ok(update, RIGHT)
    assert ledger.object().secondaries[2] == SPARE.operator
    ledger.ok(seal(over=checksums("new"), secondaries=[*SECONDARIES[:2], SPARE, *SECONDARIES[3:]]))
    assert ledger.refusal(RIGHT) == ("virtualgroup", 1129)


def test_what_is_not_sealed_or_gone_is_not_taken_over() -> None:
    ledger = Ledger().ok(create_bucket(), create_object(), EXIT)
    assert ledger.refusal(RIGHT) == ("storage", 1113)
    assert left().ok(MsgDeleteObject(ALICE, "photos", "a.jpg")).refusal(RIGHT) == ("storage", 1101)


# --- what a provider finds itself named in ------------------------------------------------------------------------


def test_objects_are_listed_by_bucket_and_by_secondary_in_the_order_of_their_ids() -> None:
    ledger = left().ok(
        create_object("b"), create_bucket("other"), create_object("c", bucket="other"),
        create_object("d"), seal(4, "d", secondaries=[*SECONDARIES[:2], SPARE, *SECONDARIES[3:]]),
    )  # fmt: skip
    none = ObjectId(0)
    state = ledger.state

    def names(**wanted: object) -> list[str]:
        given = {"bucket": "", "secondary": None, "after": none, "limit": 100} | wanted
        return [each.name for each in queries.list_objects(state, **given)]  # type: ignore[arg-type]  # its keywords

    assert names() == ["a.jpg", "b", "c", "d"]
    assert names(bucket="photos") == ["a.jpg", "b", "d"]
    assert names(bucket="photos", after=ObjectId(1), limit=1) == ["b"]
    assert names(secondary=SPARE.operator) == ["d"]
    assert names(secondary=LEAVER.operator) == ["a.jpg"]
    assert names(bucket="none") == []
