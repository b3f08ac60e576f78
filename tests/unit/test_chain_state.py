"""The rules of the development chain: what it does, and with which code it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chain.dev import queries
from chain.names import bucket_name_fault, object_name_fault
from chain.tx import sign_digest, signer_of
from sp.domain.errors import NoSuchBucket, NoSuchObject, NoSuchObjectId, TxRefused
from sp.domain.ids import Address, ObjectId, Signature
from sp.domain.ledger import Action, Effect, EventType, ObjectStatus, SpStatus, Visibility
from sp.domain.messages import (
    MsgCancelCreateObject,
    MsgCreateStorageProvider,
    MsgDelegateUpdateObjectContent,
    MsgDeleteBucket,
    MsgDeleteObject,
    MsgDeletePolicy,
    MsgEditStorageProvider,
    MsgPutPolicy,
    MsgRejectSealObject,
    MsgSealObject,
    MsgUpdateBucketInfo,
    MsgUpdateObjectContent,
    MsgUpdateObjectInfo,
    MsgUpdateParams,
    MsgUpdateStorageProviderStatus,
    TxMessage,
)
from sp.wire.transactions import SignedTx, TxBody, parse_signed_tx, signed_tx_bytes, tx_body_bytes
from tests.chain_world import (
    ALICE,
    AUTHORITY,
    BALANCE,
    BOB,
    CAROL,
    EMPTY,
    GENESIS,
    KEYS,
    PARAMS,
    PRICE,
    PRIMARY,
    SECONDARIES,
    SPARE,
    SPS,
    T0,
    Ledger,
    Provider,
    checksums,
    create_bucket,
    create_object,
    delegate_create,
    seal,
    signed,
    swapped,
    with_object,
    with_sealed_object,
)

UPDATE = MsgUpdateObjectContent(ALICE, "photos", "a.jpg", 800, "text/plain", checksums("new"))
REJECT = MsgRejectSealObject(PRIMARY.seal, "photos", "a.jpg")
DELETE = MsgDeleteObject(ALICE, "photos", "a.jpg")


def allow(principal: Address, *actions: Action, object_name: str = "", effect: Effect = Effect.ALLOW) -> MsgPutPolicy:
    return MsgPutPolicy(ALICE, "photos", object_name, principal, actions, effect)


def types(ledger: Ledger) -> list[EventType]:
    return [event.type for event in ledger.events]


def in_anothers_name(message: TxMessage, signer: Address) -> bytes:
    """Rightly signed by `signer`, but the message is another account's."""
    body = tx_body_bytes(TxBody(GENESIS.chain_id, signer, 0, message))
    return signed_tx_bytes(SignedTx(body, Signature(KEYS[signer].sign(sign_digest(body)))))


# --- the envelope -------------------------------------------------------------------------------------------------


def test_a_transaction_out_of_order_is_code_32_and_changes_nothing() -> None:
    ledger = Ledger()
    for nonce in (1, 2**40):
        result = ledger.do_raw(signed(create_bucket(), nonce))
        assert (result.codespace, result.code) == ("sdk", 32)
    assert ledger.state.account(ALICE).nonce == 0
    ledger.ok(create_bucket())
    assert ledger.do_raw(signed(create_bucket("other"), 0)).code == 32
    assert ledger.state.account(ALICE).nonce == 1


@pytest.mark.parametrize(
    "raw",
    [
        signed(create_bucket(), 0, chain_id="greenfield_1017-1"),
        signed(create_bucket(), 0, by=BOB),
        signed_tx_bytes(replace(parse_signed_tx(signed(create_bucket(), 0)), signature=Signature(bytes(64) + b"\x09"))),
        in_anothers_name(create_bucket(), BOB),
    ],
    ids=["another chain", "another key", "no signature at all", "in another's name"],
)
def test_what_the_signer_did_not_sign_for_this_chain_is_code_4(raw: bytes) -> None:
    ledger = Ledger()
    result = ledger.do_raw(raw)
    assert (result.codespace, result.code) == ("sdk", 4)
    assert (ledger.state.account(ALICE).nonce, ledger.state.account(BOB).nonce) == (0, 0)


def test_a_changed_body_does_not_keep_its_signature() -> None:
    honest, other = (parse_signed_tx(signed(create_bucket(name), 0)) for name in ("photos", "stolen"))
    result = Ledger().do_raw(signed_tx_bytes(SignedTx(other.body, honest.signature)))
    assert (result.codespace, result.code) == ("sdk", 4)
    assert sign_digest(honest.body) != sign_digest(other.body)


@pytest.mark.parametrize("raw", [b"", b"\xff" * 40, signed_tx_bytes(SignedTx(b"", Signature(bytes(65))))])
def test_what_is_no_transaction_is_refused_with_code_2(raw: bytes) -> None:
    with pytest.raises(TxRefused) as refused:
        Ledger().do_raw(raw)
    assert (refused.value.codespace, refused.value.code) == ("sdk", 2)


def test_a_refused_transaction_uses_up_its_nonce() -> None:
    ledger = Ledger()
    assert ledger.refusal(create_object()) == ("storage", 1100)
    assert ledger.state.account(ALICE).nonce == 1


# --- buckets ------------------------------------------------------------------------------------------------------


def test_a_bucket_is_created_updated_and_deleted() -> None:
    ledger = Ledger().ok(create_bucket())
    bucket = ledger.state.buckets["photos"]
    assert (bucket.owner, bucket.primary_sp, bucket.create_at, bucket.id) == (ALICE, PRIMARY.operator, T0, 1)
    ledger.ok(MsgUpdateBucketInfo(ALICE, "photos", Visibility.PUBLIC_READ))
    assert ledger.state.buckets["photos"].visibility is Visibility.PUBLIC_READ
    ledger.ok(MsgDeleteBucket(ALICE, "photos"))
    assert types(ledger) == [EventType.CREATE_BUCKET, EventType.UPDATE_BUCKET_INFO, EventType.DELETE_BUCKET]
    assert "photos" not in ledger.state.buckets
    ledger.ok(create_bucket(owner=BOB))
    assert ledger.state.buckets["photos"].id == 2


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (create_bucket(), ("storage", 1104)),
        (create_bucket(owner=BOB), ("storage", 1104)),
        (create_bucket("new", primary=Provider(99)), ("storage", 1111)),
        (create_bucket("new", visibility=Visibility.UNSPECIFIED), ("storage", 1118)),
        (create_bucket("new", visibility=Visibility.INHERIT), ("storage", 1118)),
        (create_bucket("No"), ("greenfield", 1000)),
        (MsgDeleteBucket(ALICE, "none"), ("storage", 1100)),
        (MsgDeleteBucket(BOB, "photos"), ("storage", 1107)),
        (MsgDeleteBucket(ALICE, "photos"), ("storage", 1109)),
        (MsgUpdateBucketInfo(BOB, "photos", Visibility.PUBLIC_READ), ("storage", 1107)),
        (MsgUpdateBucketInfo(ALICE, "none", Visibility.PUBLIC_READ), ("storage", 1100)),
    ],
)
def test_bucket_messages_are_refused_with_their_codes(message: TxMessage, code: tuple[str, int]) -> None:
    assert with_object().refusal(message) == code


def test_a_provider_out_of_service_gets_no_new_buckets_or_objects() -> None:
    ledger = Ledger().ok(create_bucket(), MsgUpdateStorageProviderStatus(PRIMARY.operator, SpStatus.IN_MAINTENANCE))
    assert ledger.refusal(create_bucket("other")) == ("storage", 1111)
    assert ledger.refusal(create_object()) == ("storage", 1111)


@pytest.mark.parametrize("name", ["abc", "a-b.c1", "0" * 63, "xn--b"])
def test_names_like_hosts_are_bucket_names(name: str) -> None:
    assert bucket_name_fault(name) is None


@pytest.mark.parametrize(
    "name",
    ["ab", "a" * 64, "Abc", "a_b", "-ab", "ab-", ".ab", "a..b", "a.-b", "a-.b", "1.2.3.4", "a/b", "abc\n", "ärger"],
)
def test_other_names_are_no_bucket_names(name: str) -> None:
    assert bucket_name_fault(name) is not None


@pytest.mark.parametrize("name", ["a", "a/b c", "ü" * 512, ".a", "a.", "...", "/a", "a/"])
def test_any_text_of_1024_bytes_is_an_object_name(name: str) -> None:
    assert object_name_fault(name) is None


@pytest.mark.parametrize("name", ["", " ", "a" * 1025, "ü" * 513, "a//b", "..", "a/../b", "a/ . /b", "\ud800"])
def test_paths_that_lead_elsewhere_are_no_object_names(name: str) -> None:
    assert object_name_fault(name) is not None


# --- creating objects ---------------------------------------------------------------------------------------------


def test_an_object_is_created_with_its_fee_locked() -> None:
    ledger = with_object()
    created = ledger.object()
    assert (created.status, created.creator, created.owner, created.id) == (ObjectStatus.CREATED, ALICE, ALICE, 1)
    assert (created.checksums, created.secondaries, created.version) == (checksums(), (), 0)
    alice = ledger.state.account(ALICE)
    assert (alice.balance, alice.locked) == (BALANCE - 5000 * PRICE, 5000 * PRICE)
    assert ledger.do(create_object("b.jpg")).object_id == 2


def test_a_small_object_costs_what_the_smallest_charged_one_does() -> None:
    assert with_object(size=1).state.account(ALICE).locked == PARAMS.min_charge_size * PRICE


def test_an_empty_object_is_sealed_at_once_with_the_checksums_of_nothing() -> None:
    for message in (create_object(size=0), delegate_create(size=0)):
        ledger = Ledger().ok(create_bucket(), message)
        created = ledger.object()
        assert (created.status, created.checksums) == (ObjectStatus.SEALED, (EMPTY,) * 7)
        assert ledger.state.account(ALICE).locked == 0
        assert ledger.state.account(ALICE).balance == BALANCE - PARAMS.min_charge_size * PRICE
        assert ledger.refusal(seal(over=(EMPTY,) * 7)) == ("storage", 1108)


def test_the_primary_creates_for_a_user_without_knowing_the_checksums() -> None:
    ledger = Ledger().ok(create_bucket(), allow(BOB, Action.CREATE_OBJECT), delegate_create(creator=BOB))
    created = ledger.object()
    assert (created.creator, created.owner, created.checksums) == (BOB, ALICE, ())
    assert ledger.state.account(ALICE).locked == 5000 * PRICE


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (create_object(), ("storage", 1105)),
        (create_object("b", bucket="none"), ("storage", 1100)),
        (create_object("b", creator=BOB), ("storage", 1107)),
        (create_object("b", size=10_001), ("storage", 1115)),
        (create_object("b", expect=()), ("greenfield", 1003)),
        (create_object("b", expect=checksums(count=6)), ("greenfield", 1003)),
        (create_object("b", size=0, expect=checksums()), ("greenfield", 1003)),
        (create_object("b", visibility=Visibility.UNSPECIFIED), ("storage", 1118)),
        (create_object("a//b"), ("greenfield", 1001)),
        (replace(create_object("b"), content_type="x" * 1025), ("greenfield", 1004)),
        (delegate_create(), ("storage", 1105)),
        (delegate_create("b", creator=BOB), ("storage", 1107)),
        (delegate_create("b", operator=SPARE.operator), ("storage", 1107)),
        (delegate_create("b", operator=PRIMARY.seal), ("storage", 1107)),
        (delegate_create("b", size=10_001), ("storage", 1115)),
        (replace(delegate_create("b"), expect_checksums=checksums(count=3)), ("greenfield", 1003)),
    ],
)
def test_creation_is_refused_with_its_codes(message: TxMessage, code: tuple[str, int]) -> None:
    assert with_object().refusal(message) == code


def test_an_owner_may_forbid_its_provider_to_act_for_users() -> None:
    ledger = Ledger().ok(create_bucket())
    ledger.state.buckets["photos"] = replace(ledger.state.buckets["photos"], delegation_disabled=True)
    assert ledger.refusal(delegate_create()) == ("storage", 1107)


def test_who_cannot_pay_the_fee_is_refused_with_code_5() -> None:
    ledger = Ledger().ok(create_bucket())
    affordable = BALANCE // (10_000 * PRICE)
    ledger.ok(*(create_object(f"{n}", size=10_000) for n in range(affordable)))
    assert ledger.refusal(create_object("one more", size=10_000)) == ("sdk", 5)
    assert ledger.state.account(ALICE).balance >= 0


# --- sealing ------------------------------------------------------------------------------------------------------


def test_six_receipts_seal_an_object_and_its_fee_is_paid() -> None:
    ledger = with_object().ok(seal())
    sealed = ledger.object()
    assert sealed.status is ObjectStatus.SEALED
    assert sealed.secondaries == tuple(sp.operator for sp in SECONDARIES)
    alice = ledger.state.account(ALICE)
    assert (alice.balance, alice.locked) == (BALANCE - 5000 * PRICE, 0)
    assert types(ledger)[-1] is EventType.SEAL_OBJECT
    assert ledger.refusal(seal()) == ("storage", 1108)


def test_a_delegated_object_gets_its_checksums_with_the_seal() -> None:
    ledger = Ledger().ok(create_bucket(), delegate_create())
    assert ledger.refusal(seal(over=checksums())) == ("storage", 1130)
    ledger.ok(seal(expect=checksums()))
    assert ledger.object().checksums == checksums()


def test_a_seal_may_repeat_the_checksums_on_chain_but_not_change_them() -> None:
    assert with_object().refusal(seal(expect=checksums("other"))) == ("greenfield", 1003)
    with_object().ok(seal(expect=checksums()))
    assert Ledger().ok(create_bucket(), delegate_create()).refusal(
        replace(seal(), expect_checksums=checksums(count=6))
    ) == ("greenfield", 1003)


def _replaced(place: int, sp: Provider) -> list[Provider]:
    return [sp if column == place else kept for column, kept in enumerate(SECONDARIES)]


def _forged(message: MsgSealObject, column: int, signature: Signature) -> MsgSealObject:
    signatures = [*message.secondary_signatures]
    signatures[column] = signature
    return replace(message, secondary_signatures=tuple(signatures))


RIGHT = seal()


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (replace(RIGHT, bucket="none"), ("storage", 1100)),
        (replace(RIGHT, object_name="none"), ("storage", 1101)),
        (replace(RIGHT, operator=ALICE), ("storage", 1111)),
        (replace(RIGHT, operator=PRIMARY.operator), ("storage", 1111)),
        (seal(sealer=SPARE), ("storage", 1107)),
        (seal(secondaries=SECONDARIES[:5]), ("storage", 1123)),
        (seal(secondaries=SECONDARIES[:5], over=checksums()), ("storage", 1123)),
        (replace(RIGHT, secondary_signatures=RIGHT.secondary_signatures[:5]), ("storage", 1123)),
        (seal(secondaries=_replaced(3, SECONDARIES[0])), ("storage", 1123)),
        (seal(secondaries=_replaced(3, PRIMARY)), ("storage", 1123)),
        (seal(secondaries=_replaced(3, Provider(99))), ("storage", 1111)),
        (replace(RIGHT, secondary_sps=swapped(RIGHT.secondary_sps, 1, 4)), ("storage", 1116)),
        (replace(RIGHT, secondary_signatures=swapped(RIGHT.secondary_signatures, 1, 4)), ("storage", 1116)),
        (_forged(RIGHT, 5, SPARE.receipt(1, checksums()[6])), ("storage", 1116)),
        (_forged(RIGHT, 5, SECONDARIES[5].receipt(2, checksums()[6])), ("storage", 1116)),
        (_forged(RIGHT, 5, SECONDARIES[5].receipt(1, checksums()[5])), ("storage", 1116)),
        (_forged(RIGHT, 0, Signature(bytes(65))), ("storage", 1116)),
    ],
    ids=[
        "no bucket",
        "no object",
        "by a stranger",
        "by the operator key",
        "by another provider",
        "five secondaries",
        "five secondaries with receipts",
        "five signatures",
        "a secondary twice",
        "the primary as secondary",
        "an unknown secondary",
        "addresses in another order",
        "signatures in another order",
        "signed by another provider",
        "signed for another object",
        "signed for another column",
        "no signature",
    ],
)
def test_a_wrong_seal_is_refused_with_its_code(message: MsgSealObject, code: tuple[str, int]) -> None:
    ledger = with_object()
    assert ledger.refusal(message) == code
    assert ledger.object().status is ObjectStatus.CREATED


def test_a_jailed_secondary_seals_nothing_but_a_spare_in_its_column_does() -> None:
    ledger = with_object().ok(MsgUpdateStorageProviderStatus(SECONDARIES[2].operator, SpStatus.IN_JAILED))
    assert ledger.refusal(seal()) == ("sp", 2)
    ledger.ok(seal(secondaries=_replaced(2, SPARE)))
    assert ledger.object().secondaries[2] == SPARE.operator


def test_the_number_of_secondaries_is_by_the_parameters_of_the_objects_time() -> None:
    ledger = with_object().ok(MsgUpdateParams(AUTHORITY, replace(PARAMS, data_chunks=2, parity_chunks=1)))
    ledger.ok(create_object("later", expect=checksums("later", 4)))
    later = {"name": "later", "object_id": 2, "over": checksums("later", 4)}
    assert ledger.refusal(replace(seal(**later, secondaries=SPS[1:4]), object_name="a.jpg")) == ("storage", 1123)  # type: ignore[arg-type]  # keywords of `seal`
    ledger.ok(seal(**later, secondaries=SPS[1:4]))  # type: ignore[arg-type]  # keywords of `seal`
    ledger.ok(seal())


# --- rejecting, cancelling, deleting ------------------------------------------------------------------------------


def test_a_rejected_object_is_gone_and_its_fee_is_back() -> None:
    ledger = with_object().ok(REJECT)
    assert ledger.state.find_object("photos", "a.jpg") is None
    assert ledger.state.account(ALICE) == replace(ledger.state.account(ALICE), balance=BALANCE, locked=0)
    assert types(ledger)[-1] is EventType.REJECT_SEAL_OBJECT
    assert ledger.do(create_object()).object_id == 2


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (REJECT, ("storage", 1112)),
        (MsgCancelCreateObject(ALICE, "photos", "a.jpg"), ("storage", 1112)),
        (MsgDeleteObject(BOB, "photos", "a.jpg"), ("storage", 1107)),
        (MsgDeleteObject(ALICE, "photos", "none"), ("storage", 1101)),
        (MsgDeleteObject(ALICE, "none", "a.jpg"), ("storage", 1100)),
    ],
)
def test_what_is_sealed_is_not_rejected_cancelled_or_deleted_by_others(
    message: TxMessage, code: tuple[str, int]
) -> None:
    assert with_sealed_object().refusal(message) == code


def test_only_the_primarys_seal_key_rejects() -> None:
    assert with_object().refusal(replace(REJECT, operator=SPARE.seal)) == ("storage", 1107)
    assert with_object().refusal(replace(REJECT, operator=ALICE)) == ("storage", 1111)


def test_the_creator_or_the_owner_cancels_and_the_fee_is_back() -> None:
    for canceller in (BOB, ALICE):
        ledger = Ledger().ok(create_bucket(), allow(BOB, Action.CREATE_OBJECT), create_object(creator=BOB))
        assert ledger.refusal(MsgCancelCreateObject(CAROL, "photos", "a.jpg")) == ("storage", 1107)
        ledger.ok(MsgCancelCreateObject(canceller, "photos", "a.jpg"))
        assert ledger.state.account(ALICE).balance == BALANCE
        assert types(ledger)[-1] is EventType.CANCEL_CREATE_OBJECT


def test_deleting_an_object_that_waits_for_its_seal_cancels_it() -> None:
    ledger = with_object().ok(DELETE)
    assert types(ledger)[-1] is EventType.CANCEL_CREATE_OBJECT
    assert ledger.state.account(ALICE).balance == BALANCE


def test_deleting_an_object_that_is_updated_drops_the_update_and_gives_its_fee_back() -> None:
    ledger = with_sealed_object().ok(UPDATE, DELETE)
    assert types(ledger)[-1] is EventType.DELETE_OBJECT
    assert (ledger.state.objects, ledger.state.fees) == ({}, {})
    assert ledger.state.account(ALICE).locked == 0


# --- new content --------------------------------------------------------------------------------------------------


def test_an_update_changes_nothing_until_it_is_sealed_then_everything() -> None:
    ledger = with_sealed_object()
    before = ledger.object()
    ledger.time_s += 60
    ledger.ok(UPDATE)
    assert replace(ledger.object(), update=None) == before
    ledger.time_s += 60
    others = [*SPS[2:8]]
    ledger.ok(seal(over=checksums("new"), secondaries=others))
    after = ledger.object()
    assert (after.id, after.version, after.payload_size, after.content_type) == (before.id, 1, 800, "text/plain")
    assert (after.checksums, after.update) == (checksums("new"), None)
    assert (after.updated_at, after.create_at) == (T0 + 60, T0)
    assert after.secondaries == tuple(sp.operator for sp in others)
    assert types(ledger)[-2:] == [EventType.UPDATE_OBJECT_CONTENT_SUCCESS, EventType.SEAL_OBJECT]
    assert [event.version for event in ledger.events[-3:]] == [1, 1, 1]


def test_a_rejected_update_leaves_the_object_as_it_was() -> None:
    ledger = with_sealed_object()
    before, balance = ledger.object(), ledger.state.account(ALICE).balance
    ledger.ok(UPDATE, REJECT)
    assert ledger.object() == before
    assert (ledger.state.account(ALICE).balance, ledger.state.account(ALICE).locked) == (balance, 0)
    assert (ledger.events[-1].type, ledger.events[-1].version) == (EventType.REJECT_SEAL_OBJECT, 1)


def test_an_empty_update_takes_effect_at_once() -> None:
    ledger = with_sealed_object().ok(replace(UPDATE, payload_size=0, expect_checksums=(EMPTY,) * 7))
    updated = ledger.object()
    assert (updated.payload_size, updated.version, updated.checksums) == (0, 1, (EMPTY,) * 7)
    assert (updated.secondaries, updated.update, updated.updated_at) == ((), None, T0)


def test_the_primary_updates_for_a_user_and_brings_the_checksums_with_the_seal() -> None:
    ledger = with_sealed_object().ok(
        MsgDelegateUpdateObjectContent(PRIMARY.operator, ALICE, "photos", "a.jpg", 800, "text/plain")
    )
    assert ledger.refusal(seal(over=checksums("new"))) == ("storage", 1130)
    ledger.ok(seal(expect=checksums("new")))
    assert (ledger.object().version, ledger.object().checksums) == (1, checksums("new"))


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (replace(UPDATE, operator=BOB), ("storage", 1107)),
        (replace(UPDATE, object_name="none"), ("storage", 1101)),
        (replace(UPDATE, payload_size=10_001), ("storage", 1115)),
        (replace(UPDATE, expect_checksums=()), ("greenfield", 1003)),
        (
            MsgDelegateUpdateObjectContent(SPARE.operator, ALICE, "photos", "a.jpg", 1, "text/plain"),
            ("storage", 1107),
        ),
        (
            MsgDelegateUpdateObjectContent(PRIMARY.operator, BOB, "photos", "a.jpg", 1, "text/plain"),
            ("storage", 1107),
        ),
    ],
)
def test_an_update_is_refused_with_its_codes(message: TxMessage, code: tuple[str, int]) -> None:
    assert with_sealed_object().refusal(message) == code


def test_an_object_is_updated_only_when_sealed_and_only_once_at_a_time() -> None:
    assert with_object().refusal(UPDATE) == ("storage", 1113)
    assert with_sealed_object().ok(UPDATE).refusal(UPDATE) == ("storage", 1127)


def test_the_visibility_of_an_object_can_be_changed_by_its_owner() -> None:
    ledger = with_object().ok(MsgUpdateObjectInfo(ALICE, "photos", "a.jpg", Visibility.PUBLIC_READ))
    assert ledger.object().visibility is Visibility.PUBLIC_READ
    assert ledger.refusal(MsgUpdateObjectInfo(BOB, "photos", "a.jpg", Visibility.PRIVATE)) == ("storage", 1107)
    assert ledger.refusal(MsgUpdateObjectInfo(ALICE, "photos", "a.jpg", Visibility.UNSPECIFIED)) == ("storage", 1118)


# --- permissions --------------------------------------------------------------------------------------------------


def may(ledger: Ledger, who: Address | None, action: Action, object_name: str | None = "a.jpg") -> bool:
    return queries.verify_permission(ledger.state, who, "photos", object_name, action)


def test_only_the_owner_may_anything_with_a_private_object() -> None:
    ledger = with_object()
    for action in (Action.GET_OBJECT, Action.DELETE_OBJECT, Action.UPDATE_OBJECT_CONTENT):
        assert may(ledger, ALICE, action)
        assert not may(ledger, BOB, action)
        assert not may(ledger, None, action)


@pytest.mark.parametrize("bucket_visibility", [Visibility.PUBLIC_READ, Visibility.PRIVATE])
@pytest.mark.parametrize("visibility", [Visibility.PUBLIC_READ, Visibility.PRIVATE, Visibility.INHERIT])
def test_public_objects_and_inheriting_ones_in_public_buckets_are_read_by_anyone(
    bucket_visibility: Visibility, visibility: Visibility
) -> None:
    ledger = Ledger().ok(create_bucket(visibility=bucket_visibility), create_object(visibility=visibility))
    public = visibility is Visibility.PUBLIC_READ or (
        visibility is Visibility.INHERIT and bucket_visibility is Visibility.PUBLIC_READ
    )
    for who in (None, BOB):
        assert may(ledger, who, Action.GET_OBJECT) is public
        assert not may(ledger, who, Action.DELETE_OBJECT)
        assert may(ledger, who, Action.LIST_OBJECT, None) is (bucket_visibility is Visibility.PUBLIC_READ)


def test_a_policy_of_the_bucket_or_of_the_object_allows() -> None:
    for object_name in ("", "a.jpg"):
        ledger = with_object().ok(allow(BOB, Action.DELETE_OBJECT, object_name=object_name))
        assert may(ledger, BOB, Action.DELETE_OBJECT)
        assert not may(ledger, BOB, Action.GET_OBJECT)
        assert not may(ledger, CAROL, Action.DELETE_OBJECT)
        ledger.ok(MsgDeletePolicy(ALICE, "photos", object_name, BOB))
        assert not may(ledger, BOB, Action.DELETE_OBJECT)


@pytest.mark.parametrize(("allowing", "denying"), [("", "a.jpg"), ("a.jpg", "")])
def test_a_denial_outweighs_a_permission_wherever_each_stands(allowing: str, denying: str) -> None:
    ledger = with_object().ok(allow(BOB, Action.ALL, object_name=allowing))
    assert may(ledger, BOB, Action.GET_OBJECT)
    ledger.ok(allow(BOB, Action.GET_OBJECT, object_name=denying, effect=Effect.DENY))
    assert not may(ledger, BOB, Action.GET_OBJECT)
    assert may(ledger, BOB, Action.DELETE_OBJECT)


def test_no_denial_binds_public_reading() -> None:
    ledger = Ledger().ok(
        create_bucket(visibility=Visibility.PUBLIC_READ), create_object(), allow(BOB, Action.ALL, effect=Effect.DENY)
    )
    assert may(ledger, BOB, Action.GET_OBJECT)
    assert not may(ledger, BOB, Action.CREATE_OBJECT, None)


def test_the_policies_of_a_deleted_object_do_not_pass_to_the_next_of_its_name() -> None:
    ledger = with_object().ok(allow(BOB, Action.GET_OBJECT, object_name="a.jpg"), DELETE, create_object())
    assert not may(ledger, BOB, Action.GET_OBJECT)
    assert ledger.state.object_policies == {}


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (replace(allow(BOB, Action.ALL), operator=BOB), ("storage", 1107)),
        (allow(ALICE, Action.ALL), ("greenfield", 1007)),
        (allow(BOB), ("greenfield", 1011)),
        (allow(BOB, Action.UNSPECIFIED), ("greenfield", 1011)),
        (allow(BOB, Action.CREATE_OBJECT, object_name="a.jpg"), ("greenfield", 1011)),
        (allow(BOB, Action.ALL, effect=Effect.UNSPECIFIED), ("greenfield", 1009)),
        (allow(BOB, Action.ALL, object_name="none"), ("storage", 1101)),
        (MsgDeletePolicy(ALICE, "photos", "", BOB), ("storage", 1120)),
        (MsgDeletePolicy(BOB, "photos", "", CAROL), ("storage", 1107)),
    ],
)
def test_a_policy_is_refused_with_its_codes(message: TxMessage, code: tuple[str, int]) -> None:
    assert with_object().refusal(message) == code


# --- providers and parameters -------------------------------------------------------------------------------------

NEWCOMER = Provider(20)
REGISTER = MsgCreateStorageProvider(
    operator=NEWCOMER.operator,
    funding=NEWCOMER.record.funding,
    seal=NEWCOMER.seal,
    approval=NEWCOMER.record.approval,
    gc=NEWCOMER.record.gc,
    endpoint="https://sp.example.com",
    p2p_endpoint="10.0.0.1:9733",
    receiver_endpoint="[::1]:9533",
    moniker="newcomer",
)


def test_a_provider_registers_moves_and_pauses_by_itself() -> None:
    ledger = Ledger().ok(
        REGISTER,
        MsgEditStorageProvider(NEWCOMER.operator, "http://new.example.com:9033", "h:1", "h:2", "moved"),
        MsgUpdateStorageProviderStatus(NEWCOMER.operator, SpStatus.IN_MAINTENANCE),
    )
    record = ledger.state.providers[NEWCOMER.operator]
    assert (record.id, record.endpoint, record.moniker) == (9, "http://new.example.com:9033", "moved")
    assert record.status is SpStatus.IN_MAINTENANCE
    assert types(ledger) == [EventType.PROVIDERS_CHANGED] * 3


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (replace(REGISTER, operator=PRIMARY.operator), ("sp", 3)),
        (replace(REGISTER, funding=PRIMARY.record.funding), ("sp", 7)),
        (replace(REGISTER, seal=PRIMARY.seal), ("sp", 8)),
        (replace(REGISTER, approval=PRIMARY.record.approval), ("sp", 9)),
        (replace(REGISTER, gc=PRIMARY.record.gc), ("sp", 10)),
        (replace(REGISTER, endpoint="sp.example.com"), ("sp", 42)),
        (replace(REGISTER, endpoint="http://h:99999"), ("sp", 42)),
        (replace(REGISTER, p2p_endpoint="nowhere"), ("sp", 42)),
        (replace(REGISTER, receiver_endpoint="h:0"), ("sp", 42)),
        (MsgUpdateStorageProviderStatus(ALICE, SpStatus.IN_SERVICE), ("sp", 1)),
        (MsgEditStorageProvider(ALICE, "http://h", "h:1", "h:2", ""), ("sp", 1)),
        (MsgUpdateParams(ALICE, PARAMS), ("gov", 8)),
    ],
)
def test_provider_and_parameter_messages_are_refused_with_their_codes(
    message: TxMessage, code: tuple[str, int]
) -> None:
    assert Ledger().refusal(message) == code


def test_every_time_has_one_set_of_parameters_also_the_second_of_a_change() -> None:
    changed = replace(PARAMS, max_segment_size=77)
    ledger = Ledger()
    ledger.block(signed(create_bucket(), 0), signed(MsgUpdateParams(AUTHORITY, changed), 0), signed(create_object(), 1))
    assert ledger.object().create_at == T0
    ledger.ok(create_object("later"))
    assert ledger.object("later").create_at == T0 + 1
    assert ledger.state.params_at(T0) == PARAMS
    assert ledger.state.params_at(T0 + 1) == ledger.state.params_at(T0 + 10**6) == changed
    assert ledger.state.params_at(0) == PARAMS


# --- queries ------------------------------------------------------------------------------------------------------


def test_questions_about_what_is_not_there_are_answered_with_its_kind() -> None:
    state = with_object().state
    with pytest.raises(NoSuchBucket):
        queries.head_bucket(state, "none")
    with pytest.raises(NoSuchBucket):
        queries.head_object(state, "none", "a.jpg")
    with pytest.raises(NoSuchObject):
        queries.verify_permission(state, ALICE, "photos", "none", Action.GET_OBJECT)
    with pytest.raises(NoSuchObjectId):
        queries.head_object_by_id(state, ObjectId(2))


def test_buckets_are_listed_by_owner_in_name_order() -> None:
    ledger = Ledger().ok(create_bucket("zoo"), create_bucket("ant"), create_bucket("bobs", owner=BOB))
    assert [bucket.name for bucket in queries.list_buckets(ledger.state, ALICE)] == ["ant", "zoo"]


def test_the_signer_of_a_message_is_its_first_field() -> None:
    assert signer_of(UPDATE) == ALICE
    assert signer_of(delegate_create(creator=BOB)) == PRIMARY.operator
    assert signer_of(RIGHT) == PRIMARY.seal


def test_a_copied_state_is_not_changed_by_what_happens_to_the_original() -> None:
    ledger = with_object().ok(allow(BOB, Action.ALL))
    copy = ledger.state.copy()
    assert copy == ledger.state
    ledger.ok(seal(), create_object("b"), MsgDeletePolicy(ALICE, "photos", "", BOB), create_bucket("other"))
    assert copy == with_object().ok(allow(BOB, Action.ALL)).state
