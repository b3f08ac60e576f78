"""Questions about a state, with the errors that a user of the chain knows. Pure."""

from __future__ import annotations

from heapq import nsmallest

from chain.dev import policies
from chain.dev.state import State
from sp.domain.errors import NoSuchBucket, NoSuchObject, NoSuchObjectId
from sp.domain.ids import Address, ObjectId
from sp.domain.ledger import Action, Bucket, ChainObject


def head_bucket(state: State, bucket: str) -> Bucket:
    found = state.buckets.get(bucket)
    if found is None:
        raise NoSuchBucket(bucket)
    return found


def list_buckets(state: State, owner: Address) -> list[Bucket]:
    return sorted((b for b in state.buckets.values() if b.owner == owner), key=lambda bucket: bucket.name)


def head_object(state: State, bucket: str, object_name: str) -> ChainObject:
    head_bucket(state, bucket)
    found = state.find_object(bucket, object_name)
    if found is None:
        raise NoSuchObject(bucket, object_name)
    return found


def head_object_by_id(state: State, object_id: ObjectId) -> ChainObject:
    found = state.objects.get(object_id)
    if found is None:
        raise NoSuchObjectId(object_id)
    return found


def list_objects(
    state: State, bucket: str, secondary: Address | None, after: ObjectId, limit: int
) -> list[ChainObject]:
    """The first `limit` with ids above `after`. bucket: only of this one, "" of any; secondary: only sealed with it"""
    candidates = state.names.get(bucket, {}).values() if bucket else state.objects
    found = (state.objects[object_id] for object_id in candidates if object_id > after)
    wanted = (each for each in found if secondary is None or secondary in each.secondaries)
    return nsmallest(limit, wanted, key=lambda each: each.id)


def verify_permission(
    state: State, operator: Address | None, bucket: str, object_name: str | None, action: Action
) -> bool:
    """object_name None: on the bucket itself"""
    held = head_bucket(state, bucket)
    if object_name is None:
        return policies.may_bucket(state, held, operator, action)
    return policies.may_object(state, held, head_object(state, bucket, object_name), operator, action)
