"""The seal: six other providers have signed that they hold the object. And its refusal.

As the chain of that time did it (greenfield v0.0.9 x/storage/keeper: MsgSealObject with one signature per secondary).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from chain.dev import payments
from chain.dev.codes import Code
from chain.dev.objects import remove, with_update
from chain.dev.state import State
from sp.crypto.hashing import keccak256
from sp.domain import addresses
from sp.domain.ids import Address, Checksum, ObjectId, Signature
from sp.domain.ledger import Bucket, ChainEvent, ChainObject, EventType, ObjectStatus
from sp.domain.messages import MsgRejectSealObject, MsgSealObject
from sp.domain.signdocs import secondary_sp_sign_bytes

recovered = lru_cache(maxsize=16_384)(addresses.signer_of)
"""(digest, signature) -> the address that signed. Remembered, so that a node can work it out in threads beforehand."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """The content of an object that waits for its seal. time_s: decides its parameters"""

    checksums: tuple[Checksum, ...]
    time_s: int


def seal_object(state: State, message: MsgSealObject) -> list[ChainEvent]:
    bucket = state.bucket_named(message.bucket)
    check_sealer(state, bucket, message.operator)
    current = state.object_named(bucket, message.object_name)
    waiting = _waiting(current)
    if waiting is None:
        raise Code.ALREADY_SEALED.refusal(f"{bucket.name}/{current.name}")
    count = state.params_at(waiting.time_s).secondaries
    checksums = _agreed(waiting.checksums, message.expect_checksums, 1 + count)
    _check_group(bucket, message, count)
    _check_receipts(state, message, current.id, checksums)
    payments.charge(state, current.id)
    if current.update is None:
        sealed = replace(current, status=ObjectStatus.SEALED, checksums=checksums, secondaries=message.secondary_sps)
        state.objects[current.id] = sealed
        return [state.object_event(EventType.SEAL_OBJECT, sealed)]
    replaced = with_update(current, checksums, message.secondary_sps)
    state.objects[current.id] = replaced
    return [
        state.object_event(EventType.UPDATE_OBJECT_CONTENT_SUCCESS, replaced),
        state.object_event(EventType.SEAL_OBJECT, replaced),
    ]


def reject_seal_object(state: State, message: MsgRejectSealObject) -> list[ChainEvent]:
    """A created object is deleted, an update dropped; either's fee is given back."""
    bucket = state.bucket_named(message.bucket)
    current = state.object_named(bucket, message.object_name)
    if _waiting(current) is None:
        raise Code.NOT_CREATED.refusal(current.status.name)
    check_sealer(state, bucket, message.operator)
    payments.refund(state, current.id)
    if current.update is None:
        remove(state, current)
        return [state.object_event(EventType.REJECT_SEAL_OBJECT, current)]
    state.objects[current.id] = replace(current, update=None)
    return [state.object_event(EventType.REJECT_SEAL_OBJECT, current, current.update.version)]


def receipts_of(state: State, message: MsgSealObject) -> list[tuple[bytes, Signature]]:
    """(digest, signature) of each receipt in a seal, as far as `state` knows its object: for working out who signed,
    ahead of `seal_object` and away from its thread."""
    current = state.find_object(message.bucket, message.object_name)
    waiting = _waiting(current) if current is not None else None
    if current is None or waiting is None:
        return []
    checksums = waiting.checksums or message.expect_checksums
    return [
        (receipt_digest(secondary, current.id, checksum), signature)
        for secondary, checksum, signature in zip(
            message.secondary_sps, checksums[1:], message.secondary_signatures, strict=False
        )
    ]


def _waiting(current: ChainObject) -> _Waiting | None:
    if current.update is not None:
        return _Waiting(current.update.checksums, current.update.updated_at)
    if current.status is ObjectStatus.CREATED:
        return _Waiting(current.checksums, current.create_at)
    return None


def check_sealer(state: State, bucket: Bucket, operator: Address) -> None:
    """Refuse whoever is not the seal address of the bucket's primary."""
    if state.provider_sealing_as(operator).operator != bucket.primary_sp:
        raise Code.ACCESS_DENIED.refusal("only the seal address of the bucket's primary SP says this")


def _agreed(on_chain: tuple[Checksum, ...], in_message: tuple[Checksum, ...], count: int) -> tuple[Checksum, ...]:
    if not on_chain and not in_message:
        raise Code.CHECKSUMS_MISSING.refusal()
    if in_message and len(in_message) != count:
        raise Code.INVALID_CHECKSUM.refusal(f"{len(in_message)} checksums where {count} belong")
    if on_chain and in_message and on_chain != in_message:
        raise Code.INVALID_CHECKSUM.refusal("the object was created with others")
    return on_chain or in_message


def _check_group(bucket: Bucket, message: MsgSealObject, count: int) -> None:
    if len(message.secondary_sps) != count or len(message.secondary_signatures) != count:
        raise Code.INVALID_GROUP.refusal(
            f"{len(message.secondary_sps)} secondaries with {len(message.secondary_signatures)} signatures "
            f"where {count} belong"
        )
    if len(set(message.secondary_sps)) != count:
        raise Code.INVALID_GROUP.refusal("a secondary stands twice")
    if bucket.primary_sp in message.secondary_sps:
        raise Code.INVALID_GROUP.refusal("the primary is no secondary")


def _check_receipts(state: State, message: MsgSealObject, object_id: ObjectId, checksums: tuple[Checksum, ...]) -> None:
    for column, operator in enumerate(message.secondary_sps):
        secondary = state.providers.get(operator)
        if secondary is None:
            raise Code.NO_SUCH_SP.refusal(operator)
        if not secondary.in_service:
            raise Code.SP_NOT_IN_SERVICE.refusal(f"{operator}: {secondary.status.name}")
        signature = message.secondary_signatures[column]
        if recovered(receipt_digest(operator, object_id, checksums[column + 1]), signature) != secondary.approval:
            raise Code.INVALID_APPROVAL.refusal(f"column {column}: not signed by {operator}")


def receipt_digest(secondary: Address, object_id: ObjectId, checksum: Checksum) -> bytes:
    """What a secondary has signed who keeps the column with this integrity hash."""
    return keccak256(secondary_sp_sign_bytes(secondary, object_id, checksum))
