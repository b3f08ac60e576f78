"""The chain's records and transactions survive the wire, and what is no such thing is refused."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto import chain_pb2 as pb
from sp.domain import messages
from sp.domain.addresses import checksummed
from sp.domain.errors import InvalidRequest
from sp.domain.ids import Address, Checksum, ObjectId, Signature, TxHash
from sp.domain.ledger import (
    Action,
    Block,
    Bucket,
    BucketStatus,
    ChainAccount,
    ChainEvent,
    ChainObject,
    ContentUpdate,
    Effect,
    EventType,
    ObjectStatus,
    RedundancyType,
    SpStatus,
    StorageProvider,
    TxResult,
    Visibility,
)
from sp.domain.params import StorageParams
from sp.wire import chain as wire
from sp.wire.transactions import (
    SignedTx,
    TxBody,
    parse_signed_tx,
    parse_tx_body,
    signed_tx_bytes,
    tx_body_bytes,
    tx_message,
    tx_message_pb,
)

MESSAGE_TYPES: tuple[type[Any], ...] = get_args(messages.TxMessage)

u64 = st.integers(0, 2**64 - 1)
u32 = st.integers(0, 2**32 - 1)
i64 = st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
address = st.binary(min_size=20, max_size=20).map(checksummed)
checksum = st.binary(min_size=32, max_size=32).map(Checksum)
signature = st.binary(min_size=65, max_size=65).map(Signature)
tx_hash = st.binary(min_size=32, max_size=32).map(lambda raw: TxHash(raw.hex()))
params = st.builds(StorageParams, st.integers(1, 2**64 - 1), st.integers(1, 32), st.integers(0, 32), u64, u64)

BY_HINT: dict[object, st.SearchStrategy[Any]] = {
    str: texts,
    int: u64,
    bool: st.booleans(),
    Address: address,
    Checksum: checksum,
    Signature: signature,
    ObjectId: u64.map(ObjectId),
    TxHash: tx_hash,
    StorageParams: params,
}


def tuples(of: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(of, max_size=8).map(tuple)


def of_hint(hint: Any) -> st.SearchStrategy[Any]:
    if hint in BY_HINT:
        return BY_HINT[hint]
    if get_origin(hint) is tuple:
        return tuples(of_hint(get_args(hint)[0]))
    return st.sampled_from(hint)


def built(kind: type[Any], **given_fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any instance of a dataclass, by the types of its fields."""
    hints = get_type_hints(kind)
    inferred = {f.name: of_hint(hints[f.name]) for f in fields(kind) if f.name not in given_fields}
    return st.builds(kind, **inferred, **given_fields)


any_message = st.sampled_from(MESSAGE_TYPES).flatmap(built)
providers = built(StorageProvider, id=u32)
updates = built(ContentUpdate, updated_at=i64)
objects = built(ChainObject, create_at=i64, updated_at=i64, update=st.none() | updates)
buckets = built(Bucket, create_at=i64)
blocks = built(Block, time_s=i64, events=tuples(built(ChainEvent)))


@pytest.mark.parametrize("kind", MESSAGE_TYPES)
def test_a_message_has_the_fields_of_its_proto_in_the_same_order(kind: type[Any]) -> None:
    assert [f.name for f in fields(kind)] == [f.name for f in getattr(pb, kind.__name__).DESCRIPTOR.fields]


def test_every_message_of_the_proto_has_its_class() -> None:
    arms = pb.TxMessage.DESCRIPTOR.oneofs_by_name["message"].fields
    assert {arm.message_type.name for arm in arms if arm.message_type} == {kind.__name__ for kind in MESSAGE_TYPES}


@given(any_message)
def test_a_message_comes_back_from_the_wire_as_it_was(message: Any) -> None:
    assert tx_message(pb.TxMessage.FromString(tx_message_pb(message).SerializeToString())) == message


@given(any_message, address, u64, signature)
def test_a_transaction_comes_back_with_the_very_bytes_that_were_signed(
    message: Any, signer: Address, nonce: int, signed_with: Signature
) -> None:
    body = TxBody("greenfield_9000-121", signer, nonce, message)
    raw = tx_body_bytes(body)
    assert parse_signed_tx(signed_tx_bytes(SignedTx(raw, signed_with))) == SignedTx(raw, signed_with)
    assert parse_tx_body(raw) == body
    assert tx_body_bytes(parse_tx_body(raw)) == raw


@given(providers, buckets, objects, blocks)
def test_records_come_back_from_the_wire_as_they_were(
    provider: StorageProvider, bucket: Bucket, stored: ChainObject, block: Block
) -> None:
    assert wire.provider(wire.provider_pb(provider)) == provider
    assert wire.bucket(wire.bucket_pb(bucket)) == bucket
    assert wire.chain_object(wire.chain_object_pb(stored)) == stored
    assert wire.block(wire.block_pb(block)) == block


@given(address, u64, st.integers(0, 2**200), st.integers(0, 2**200))
def test_amounts_larger_than_64_bits_survive(owner: Address, nonce: int, balance: int, locked: int) -> None:
    account = ChainAccount(owner, nonce, balance, locked)
    assert wire.account(wire.account_pb(account)) == account


@given(tx_hash, u64, u32, texts, texts, st.none() | st.integers(1, 2**64 - 1).map(ObjectId))
def test_a_result_comes_back_with_its_object(
    asked: TxHash, height: int, code: int, codespace: str, log: str, object_id: ObjectId | None
) -> None:
    result = TxResult(asked, height, code, codespace, log, object_id)
    assert wire.tx_result(asked, wire.tx_result_pb(result, b"")) == result


def test_a_transaction_in_no_block_has_no_result() -> None:
    assert wire.tx_result(TxHash("0" * 64), pb.GetTxReply(pending=True)) is None


@pytest.mark.parametrize("allowed", [True, False])
def test_a_permission_comes_back(allowed: bool) -> None:
    assert wire.allowed(wire.permission_reply_pb(allowed)) is allowed
    asked = wire.permission_request_pb(None, "photos", None, Action.LIST_OBJECT)
    assert (asked.operator, asked.object_name) == ("", "")
    assert wire.operator("") is None


A = "0x" + "00" * 20
RIGHT = pb.Object(id=1, owner=A, creator=A, checksums=[bytes(32)], secondaries=[A])


@pytest.mark.parametrize(
    "wrong",
    [
        {"owner": "0x12"},
        {"creator": ""},
        {"visibility": 9},
        {"status": 7},
        {"redundancy": 2},
        {"checksums": [bytes(31)]},
        {"secondaries": ["nobody"]},
        {"update": pb.ContentUpdate(updated_by="")},
    ],
)
def test_what_is_no_object_is_refused(wrong: dict[str, Any]) -> None:
    wire.chain_object(RIGHT)
    message = pb.Object.FromString(RIGHT.SerializeToString())
    for name in wrong:
        message.ClearField(name)  # type: ignore[arg-type]  # the names of this very message
    message.MergeFrom(pb.Object(**wrong))
    with pytest.raises(InvalidRequest):
        wire.chain_object(message)


@pytest.mark.parametrize(
    "message",
    [
        pb.TxMessage(),
        pb.TxMessage(create_bucket=pb.MsgCreateBucket(creator="me", bucket="b", primary_sp=A)),
        pb.TxMessage(create_object=pb.MsgCreateObject(creator=A, expect_checksums=[b"short"])),
        pb.TxMessage(seal_object=pb.MsgSealObject(operator=A, secondary_signatures=[bytes(64)])),
        pb.TxMessage(put_policy=pb.MsgPutPolicy(operator=A, principal=A, actions=[98], effect=1)),
        pb.TxMessage(put_policy=pb.MsgPutPolicy(operator=A, principal=A, effect=3)),
        pb.TxMessage(update_storage_provider_status=pb.MsgUpdateStorageProviderStatus(operator=A, status=5)),
        pb.TxMessage(update_params=pb.MsgUpdateParams(authority=A)),
    ],
)
def test_what_is_no_message_is_refused(message: pb.TxMessage) -> None:
    with pytest.raises(InvalidRequest):
        tx_message(message)


@pytest.mark.parametrize("raw", [b"\xff", b"\x0a\x05ab"])
def test_what_is_no_transaction_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_signed_tx(raw)
    with pytest.raises(InvalidRequest):
        parse_tx_body(raw)


def test_what_cannot_be_written_down_is_refused_before_it_is_signed() -> None:
    owner = checksummed(bytes(20))
    for message in (
        messages.MsgDeleteBucket(owner, "\ud800"),
        messages.MsgUpdateObjectContent(owner, "b", "o", 2**64, "", ()),
        messages.MsgUpdateObjectContent(owner, "b", "o", -1, "", ()),
    ):
        with pytest.raises(InvalidRequest):
            tx_body_bytes(TxBody("c", owner, 0, message))


@pytest.mark.parametrize("text", ["", "-1", "1.5", "٣", "9" * 79])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        wire.amount(text)


@pytest.mark.parametrize("text", ["", "0x" + "0" * 62, "A" * 64, "0" * 63])
def test_what_is_no_transaction_hash_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        wire.tx_hash(text)


@pytest.mark.parametrize(
    ("kind", "mine"),
    [(pb.ObjectStatus, ObjectStatus), (pb.Visibility, Visibility)],
)
def test_enums_have_the_numbers_of_the_proto(kind: Any, mine: Any) -> None:
    assert {number for _, number in kind.items()} == {member.value for member in mine}


def test_the_numbers_of_enums_are_the_networks() -> None:
    assert [Action.CREATE_OBJECT, Action.GET_OBJECT, Action.UPDATE_OBJECT_CONTENT, Action.ALL] == [3, 6, 14, 99]
    assert [Effect.ALLOW, Effect.DENY, BucketStatus.MIGRATING, RedundancyType.EC] == [1, 2, 2, 0]
    assert [SpStatus.IN_SERVICE, SpStatus.FORCED_EXITING, EventType.SEAL_OBJECT] == [0, 4, 5]
