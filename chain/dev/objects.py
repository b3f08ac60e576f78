"""Rules for objects: creation by the user or by the primary SP for the user, new content, and removal."""

from __future__ import annotations

from dataclasses import replace

from chain.dev import payments, policies
from chain.dev.codes import Code
from chain.dev.contents import check_content_type, check_size, declared_checksums
from chain.dev.state import State
from chain.names import object_name_fault
from sp.domain.ids import Address, Checksum, ObjectId
from sp.domain.ledger import (
    Action,
    Bucket,
    ChainEvent,
    ChainObject,
    ContentUpdate,
    EventType,
    ObjectStatus,
    RedundancyType,
    Visibility,
)
from sp.domain.messages import (
    MsgCancelCreateObject,
    MsgCreateObject,
    MsgDelegateCreateObject,
    MsgDelegateUpdateObjectContent,
    MsgDeleteObject,
    MsgUpdateObjectContent,
    MsgUpdateObjectInfo,
)


def create_object(state: State, message: MsgCreateObject) -> list[ChainEvent]:
    checksums = _check_form(state, message, delegated=False)
    check_size(state, message.payload_size)
    bucket = state.bucket_named(message.bucket)
    return _create(state, bucket, message, message.creator, checksums)


def delegate_create_object(state: State, message: MsgDelegateCreateObject) -> list[ChainEvent]:
    checksums = _check_form(state, message, delegated=True)
    check_size(state, message.payload_size)
    bucket = state.bucket_named(message.bucket)
    _check_agent(bucket, message.operator)
    return _create(state, bucket, message, message.creator, checksums)


def _check_form(
    state: State, message: MsgCreateObject | MsgDelegateCreateObject, *, delegated: bool
) -> tuple[Checksum, ...]:
    if fault := object_name_fault(message.object_name):
        raise Code.INVALID_OBJECT_NAME.refusal(fault)
    check_content_type(message.content_type)
    _check_visibility(message.visibility)
    if message.redundancy is not RedundancyType.EC:
        raise Code.INVALID_PARAMETER.refusal("objects are erasure-coded")
    return declared_checksums(state, message.expect_checksums, message.payload_size, delegated=delegated)


def _create(
    state: State,
    bucket: Bucket,
    message: MsgCreateObject | MsgDelegateCreateObject,
    creator: Address,
    checksums: tuple[Checksum, ...],
) -> list[ChainEvent]:
    policies.require_bucket(state, bucket, creator, Action.CREATE_OBJECT)
    state.in_service(bucket.primary_sp)
    if message.object_name in state.names[bucket.name]:
        raise Code.OBJECT_EXISTS.refusal(f"{bucket.name}/{message.object_name}")
    payments.check_funds(state, bucket.owner, message.payload_size)
    created = ChainObject(
        id=ObjectId(state.next_object_id),
        bucket=bucket.name,
        name=message.object_name,
        owner=bucket.owner,
        creator=creator,
        payload_size=message.payload_size,
        visibility=message.visibility,
        content_type=message.content_type,
        create_at=state.time_s,
        status=ObjectStatus.CREATED if message.payload_size else ObjectStatus.SEALED,
        redundancy=message.redundancy,
        checksums=checksums,
        secondaries=(),
    )
    state.next_object_id += 1
    state.objects[created.id] = created
    state.names[bucket.name][created.name] = created.id
    _pay(state, created.id, bucket, message.payload_size)
    return [state.object_event(EventType.CREATE_OBJECT, created)]


def _pay(state: State, object_id: ObjectId, bucket: Bucket, payload_size: int) -> None:
    if payload_size:
        payments.lock(state, object_id, bucket.owner, payload_size)
    else:
        payments.charge_at_once(state, bucket.owner, payload_size)


def _check_agent(bucket: Bucket, operator: Address) -> None:
    if bucket.delegation_disabled:
        raise Code.ACCESS_DENIED.refusal(f"the owner of {bucket.name} does not let its provider act for users")
    if operator != bucket.primary_sp:
        raise Code.ACCESS_DENIED.refusal("only the bucket's primary SP acts for users")


def _check_visibility(visibility: Visibility) -> None:
    if visibility is Visibility.UNSPECIFIED:
        raise Code.INVALID_VISIBILITY.refusal("an object's visibility is specified")


# --- new content --------------------------------------------------------------------------------------------------


def update_object_content(state: State, message: MsgUpdateObjectContent) -> list[ChainEvent]:
    return _update_content(state, message, message.operator, delegated=False)


def delegate_update_object_content(state: State, message: MsgDelegateUpdateObjectContent) -> list[ChainEvent]:
    return _update_content(state, message, message.updater, delegated=True)


def _update_content(
    state: State,
    message: MsgUpdateObjectContent | MsgDelegateUpdateObjectContent,
    updater: Address,
    *,
    delegated: bool,
) -> list[ChainEvent]:
    check_content_type(message.content_type)
    checksums = declared_checksums(state, message.expect_checksums, message.payload_size, delegated=delegated)
    bucket = state.bucket_named(message.bucket)
    current = state.object_named(bucket, message.object_name)
    if current.status is not ObjectStatus.SEALED:
        raise Code.NOT_SEALED.refusal(current.status.name)
    if current.update is not None:
        raise Code.IS_UPDATING.refusal(f"to version {current.update.version}")
    policies.require_object(state, bucket, current, updater, Action.UPDATE_OBJECT_CONTENT)
    check_size(state, message.payload_size)
    state.in_service(bucket.primary_sp)
    if delegated:
        _check_agent(bucket, message.operator)
    payments.check_funds(state, bucket.owner, message.payload_size)
    update = ContentUpdate(
        payload_size=message.payload_size,
        content_type=message.content_type,
        checksums=checksums,
        version=current.version + 1,
        updated_at=state.time_s,
        updated_by=updater,
    )
    _pay(state, current.id, bucket, message.payload_size)
    begun = state.object_event(EventType.UPDATE_OBJECT_CONTENT, current, update.version)
    if message.payload_size:
        state.objects[current.id] = replace(current, update=update)
        return [begun]
    replaced = with_update(replace(current, update=update), checksums, secondaries=())
    state.objects[current.id] = replaced
    return [begun, state.object_event(EventType.UPDATE_OBJECT_CONTENT_SUCCESS, replaced)]


def with_update(current: ChainObject, checksums: tuple[Checksum, ...], secondaries: tuple[Address, ...]) -> ChainObject:
    """The object once its update has taken the place of its content."""
    assert current.update is not None
    return replace(
        current,
        payload_size=current.update.payload_size,
        content_type=current.update.content_type,
        checksums=checksums,
        secondaries=secondaries,
        version=current.update.version,
        updated_at=current.update.updated_at,
        update=None,
    )


def update_object_info(state: State, message: MsgUpdateObjectInfo) -> list[ChainEvent]:
    _check_visibility(message.visibility)
    bucket = state.bucket_named(message.bucket)
    current = state.object_named(bucket, message.object_name)
    policies.require_object(state, bucket, current, message.operator, Action.UPDATE_OBJECT_INFO)
    changed = replace(current, visibility=message.visibility)
    state.objects[current.id] = changed
    return [state.object_event(EventType.UPDATE_OBJECT_INFO, changed)]


# --- removal ------------------------------------------------------------------------------------------------------


def cancel_create_object(state: State, message: MsgCancelCreateObject) -> list[ChainEvent]:
    bucket = state.bucket_named(message.bucket)
    current = state.object_named(bucket, message.object_name)
    if current.status is not ObjectStatus.CREATED:
        raise Code.NOT_CREATED.refusal(current.status.name)
    return _cancel(state, bucket, current, message.operator)


def delete_object(state: State, message: MsgDeleteObject) -> list[ChainEvent]:
    """An object that is not sealed yet is cancelled instead (event CANCEL_CREATE_OBJECT). One that is being updated is
    deleted with its update, whose fee is given back. So the real chain does both."""
    bucket = state.bucket_named(message.bucket)
    current = state.object_named(bucket, message.object_name)
    if current.status is ObjectStatus.CREATED:
        return _cancel(state, bucket, current, message.operator)
    policies.require_object(state, bucket, current, message.operator, Action.DELETE_OBJECT)
    if current.update is not None:
        payments.refund(state, current.id)
    remove(state, current)
    return [state.object_event(EventType.DELETE_OBJECT, current)]


def _cancel(state: State, bucket: Bucket, current: ChainObject, operator: Address) -> list[ChainEvent]:
    if operator != current.creator:
        policies.require_object(state, bucket, current, operator, Action.DELETE_OBJECT)
    payments.refund(state, current.id)
    remove(state, current)
    return [state.object_event(EventType.CANCEL_CREATE_OBJECT, current)]


def remove(state: State, of: ChainObject) -> None:
    """The record, its name and its policies; the fee is the caller's business."""
    del state.objects[of.id], state.names[of.bucket][of.name]
    policies.forget_object(state, of)
