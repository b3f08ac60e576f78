"""Rules for buckets."""

from __future__ import annotations

from dataclasses import replace

from chain.dev import policies
from chain.dev.codes import Code
from chain.dev.state import State
from chain.names import bucket_name_fault
from sp.domain.ledger import Action, Bucket, BucketStatus, ChainEvent, EventType, Visibility
from sp.domain.messages import MsgCreateBucket, MsgDeleteBucket, MsgUpdateBucketInfo


def create_bucket(state: State, message: MsgCreateBucket) -> list[ChainEvent]:
    if fault := bucket_name_fault(message.bucket):
        raise Code.INVALID_BUCKET_NAME.refusal(fault)
    _check_visibility(message.visibility)
    if message.bucket in state.buckets:
        raise Code.BUCKET_EXISTS.refusal(message.bucket)
    primary = state.in_service(message.primary_sp)
    bucket = Bucket(
        id=state.next_bucket_id,
        name=message.bucket,
        owner=message.creator,
        visibility=message.visibility,
        primary_sp=primary.operator,
        create_at=state.time_s,
        status=BucketStatus.CREATED,
    )
    state.next_bucket_id += 1
    state.buckets[bucket.name] = bucket
    state.names[bucket.name] = {}
    return [ChainEvent(state.height, EventType.CREATE_BUCKET, bucket.name)]


def delete_bucket(state: State, message: MsgDeleteBucket) -> list[ChainEvent]:
    bucket = state.bucket_named(message.bucket)
    policies.require_bucket(state, bucket, message.operator, Action.DELETE_BUCKET)
    if state.names[bucket.name]:
        raise Code.BUCKET_NOT_EMPTY.refusal(bucket.name)
    del state.buckets[bucket.name], state.names[bucket.name]
    policies.forget_bucket(state, bucket)
    return [ChainEvent(state.height, EventType.DELETE_BUCKET, bucket.name)]


def update_bucket_info(state: State, message: MsgUpdateBucketInfo) -> list[ChainEvent]:
    _check_visibility(message.visibility)
    bucket = state.bucket_named(message.bucket)
    policies.require_bucket(state, bucket, message.operator, Action.UPDATE_BUCKET_INFO)
    state.buckets[bucket.name] = replace(bucket, visibility=message.visibility)
    return [ChainEvent(state.height, EventType.UPDATE_BUCKET_INFO, bucket.name)]


def _check_visibility(visibility: Visibility) -> None:
    if visibility not in (Visibility.PUBLIC_READ, Visibility.PRIVATE):
        raise Code.INVALID_VISIBILITY.refusal(f"a bucket is public or private, not {visibility.name}")
