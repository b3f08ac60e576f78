"""The chain's records and answers. Transactions are in sp.wire.transactions.

Decoders raise InvalidRequest for what is no record of the chain: a number outside its enum, an address or checksum of
the wrong form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import IntEnum
from typing import Final, TypeVar

from proto import chain_pb2 as pb
from sp.domain.addresses import parse_address as address
from sp.domain.errors import InvalidRequest
from sp.domain.ids import Address, Checksum, ObjectId, TxHash
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
from sp.wire.common import checksum

E = TypeVar("E", bound=IntEnum)

_TX_HASH: Final = re.compile(r"[0-9a-f]{64}")


def enum_member(kind: type[E], number: int) -> E:
    try:
        return kind(number)
    except ValueError as wrong:
        raise InvalidRequest(f"{number} is no {kind.__name__}") from wrong


def addresses(texts: Iterable[str]) -> tuple[Address, ...]:
    return tuple(address(text) for text in texts)


def checksums(raw: Iterable[bytes]) -> tuple[Checksum, ...]:
    return tuple(checksum(one) for one in raw)


def operator(text: str) -> Address | None:
    """Who asks for a permission; "" is nobody in particular."""
    return address(text) if text else None


def tx_hash(text: str) -> TxHash:
    if _TX_HASH.fullmatch(text) is None:
        raise InvalidRequest("a transaction's hash is 64 lower-case hex digits")
    return TxHash(text)


# --- records ------------------------------------------------------------------------------------------------------


def provider(message: pb.StorageProvider) -> StorageProvider:
    return StorageProvider(
        id=message.id,
        operator=address(message.operator),
        funding=address(message.funding),
        seal=address(message.seal),
        approval=address(message.approval),
        gc=address(message.gc),
        status=enum_member(SpStatus, message.status),
        endpoint=message.endpoint,
        p2p_endpoint=message.p2p_endpoint,
        receiver_endpoint=message.receiver_endpoint,
        moniker=message.moniker,
    )


def provider_pb(value: StorageProvider) -> pb.StorageProvider:
    return pb.StorageProvider(
        id=value.id,
        operator=value.operator,
        funding=value.funding,
        seal=value.seal,
        approval=value.approval,
        gc=value.gc,
        status=value.status,
        endpoint=value.endpoint,
        p2p_endpoint=value.p2p_endpoint,
        receiver_endpoint=value.receiver_endpoint,
        moniker=value.moniker,
    )


def bucket(message: pb.Bucket) -> Bucket:
    return Bucket(
        id=message.id,
        name=message.name,
        owner=address(message.owner),
        visibility=enum_member(Visibility, message.visibility),
        primary_sp=address(message.primary_sp),
        create_at=message.create_at_s,
        status=enum_member(BucketStatus, message.status),
        delegation_disabled=message.delegation_disabled,
    )


def bucket_pb(value: Bucket) -> pb.Bucket:
    return pb.Bucket(
        id=value.id,
        name=value.name,
        owner=value.owner,
        visibility=pb.Visibility.ValueType(value.visibility),
        primary_sp=value.primary_sp,
        create_at_s=value.create_at,
        status=value.status,
        delegation_disabled=value.delegation_disabled,
    )


def content_update(message: pb.ContentUpdate) -> ContentUpdate:
    return ContentUpdate(
        payload_size=message.payload_size,
        content_type=message.content_type,
        checksums=checksums(message.checksums),
        version=message.version,
        updated_at=message.updated_at_s,
        updated_by=address(message.updated_by),
    )


def content_update_pb(value: ContentUpdate) -> pb.ContentUpdate:
    return pb.ContentUpdate(
        payload_size=value.payload_size,
        content_type=value.content_type,
        checksums=value.checksums,
        version=value.version,
        updated_at_s=value.updated_at,
        updated_by=value.updated_by,
    )


def chain_object(message: pb.Object) -> ChainObject:
    return ChainObject(
        id=ObjectId(message.id),
        bucket=message.bucket,
        name=message.name,
        owner=address(message.owner),
        creator=address(message.creator),
        payload_size=message.payload_size,
        visibility=enum_member(Visibility, message.visibility),
        content_type=message.content_type,
        create_at=message.create_at_s,
        status=enum_member(ObjectStatus, message.status),
        redundancy=enum_member(RedundancyType, message.redundancy),
        checksums=checksums(message.checksums),
        secondaries=addresses(message.secondaries),
        version=message.version,
        updated_at=message.updated_at_s,
        update=content_update(message.update) if message.HasField("update") else None,
    )


def chain_object_pb(value: ChainObject) -> pb.Object:
    return pb.Object(
        id=value.id,
        bucket=value.bucket,
        name=value.name,
        owner=value.owner,
        creator=value.creator,
        payload_size=value.payload_size,
        visibility=pb.Visibility.ValueType(value.visibility),
        content_type=value.content_type,
        create_at_s=value.create_at,
        status=pb.ObjectStatus.ValueType(value.status),
        redundancy=value.redundancy,
        checksums=value.checksums,
        secondaries=value.secondaries,
        version=value.version,
        updated_at_s=value.updated_at,
        update=content_update_pb(value.update) if value.update is not None else None,
    )


def account(message: pb.GetAccountReply) -> ChainAccount:
    return ChainAccount(address(message.address), message.nonce, amount(message.balance), amount(message.locked))


def account_pb(value: ChainAccount) -> pb.GetAccountReply:
    return pb.GetAccountReply(
        address=value.address, nonce=value.nonce, balance=str(value.balance), locked=str(value.locked)
    )


def amount(text: str) -> int:
    """wei-BNB, decimal digits; an amount may be larger than 64 bits."""
    if not (text.isascii() and text.isdigit() and len(text) <= 78):
        raise InvalidRequest(f"not an amount: {text[:80]!r}")
    return int(text)


# --- blocks -------------------------------------------------------------------------------------------------------


def event(message: pb.Event) -> ChainEvent:
    return ChainEvent(
        height=message.height,
        type=enum_member(EventType, message.type),
        bucket=message.bucket,
        object_name=message.object_name,
        object_id=ObjectId(message.object_id),
        version=message.version,
        tx_hash=TxHash(message.tx_hash),
        provider=Address(message.provider),
    )


def event_pb(value: ChainEvent) -> pb.Event:
    return pb.Event(
        height=value.height,
        type=value.type,
        bucket=value.bucket,
        object_name=value.object_name,
        object_id=value.object_id,
        version=value.version,
        tx_hash=value.tx_hash,
        provider=value.provider,
    )


def block(message: pb.Block) -> Block:
    return Block(
        message.height,
        message.time_s,
        tuple(TxHash(one) for one in message.tx_hashes),
        tuple(event(one) for one in message.events),
    )


def block_pb(value: Block) -> pb.Block:
    return pb.Block(
        height=value.height,
        time_s=value.time_s,
        tx_hashes=value.tx_hashes,
        events=[event_pb(one) for one in value.events],
    )


def tx_result(asked: TxHash, message: pb.GetTxReply) -> TxResult | None:
    """None while the transaction is in no block."""
    if not message.found:
        return None
    return TxResult(
        asked,
        message.height,
        message.code,
        message.codespace,
        message.log,
        ObjectId(message.object_id) if message.object_id else None,
    )


def tx_result_pb(value: TxResult, body: bytes | None) -> pb.GetTxReply:
    """body: the serialised TxBody of the transaction, where it is still known"""
    return pb.GetTxReply(
        found=True,
        height=value.height,
        code=value.code,
        codespace=value.codespace,
        log=value.log,
        object_id=value.object_id or 0,
        body=pb.TxBody.FromString(body) if body is not None else None,
    )


def outcome(height: int, message: pb.TxOutcome) -> TxResult:
    """height: of its block"""
    created = ObjectId(message.object_id) if message.object_id else None
    return TxResult(tx_hash(message.tx_hash), height, message.code, message.codespace, message.log, created)


def outcome_pb(value: TxResult) -> pb.TxOutcome:
    return pb.TxOutcome(
        tx_hash=value.tx_hash,
        code=value.code,
        codespace=value.codespace,
        log=value.log,
        object_id=value.object_id or 0,
    )


# --- permissions --------------------------------------------------------------------------------------------------


def permission_request_pb(
    operator: Address | None, bucket_name: str, object_name: str | None, action: Action
) -> pb.VerifyPermissionRequest:
    return pb.VerifyPermissionRequest(
        operator=operator or "", bucket=bucket_name, object_name=object_name or "", action=action
    )


def permission_reply_pb(allowed: bool) -> pb.VerifyPermissionReply:
    return pb.VerifyPermissionReply(effect=Effect.ALLOW if allowed else Effect.DENY)


def allowed(message: pb.VerifyPermissionReply) -> bool:
    return enum_member(Effect, message.effect) is Effect.ALLOW
