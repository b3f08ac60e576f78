"""Who may do what (GREENFIELD.md 6.2; greenfield x/storage/keeper/permission.go). There are no groups here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chain.dev.codes import Code
from chain.dev.state import Policy, State
from sp.domain.ids import Address
from sp.domain.ledger import Action, Bucket, ChainEvent, ChainObject, Effect, EventType, Visibility
from sp.domain.messages import MsgDeletePolicy, MsgPutPolicy

PUBLIC_OBJECT_ACTIONS: Final = frozenset({Action.GET_OBJECT, Action.COPY_OBJECT, Action.EXECUTE_OBJECT})
PUBLIC_BUCKET_ACTIONS: Final = PUBLIC_OBJECT_ACTIONS | {Action.LIST_OBJECT}
BUCKET_ONLY_ACTIONS: Final = frozenset({Action.UPDATE_BUCKET_INFO, Action.DELETE_BUCKET, Action.CREATE_OBJECT})


def may_bucket(state: State, bucket: Bucket, operator: Address | None, action: Action) -> bool:
    """operator None: nobody in particular"""
    if bucket.visibility is Visibility.PUBLIC_READ and action in PUBLIC_BUCKET_ACTIONS:
        return True
    if operator is None:
        return False
    if operator == bucket.owner:
        return True
    return _effect(state.bucket_policies.get(bucket.id), operator, action) is Effect.ALLOW


def may_object(state: State, bucket: Bucket, of: ChainObject, operator: Address | None, action: Action) -> bool:
    """A DENY of the bucket or the object outweighs any ALLOW; nothing outweighs the owner or public reading."""
    if is_public(bucket, of) and action in PUBLIC_OBJECT_ACTIONS:
        return True
    if operator is None:
        return False
    if operator == of.owner:
        return True
    effects = (
        _effect(state.bucket_policies.get(bucket.id), operator, action),
        _effect(state.object_policies.get(of.id), operator, action),
    )
    return Effect.DENY not in effects and Effect.ALLOW in effects


def is_public(bucket: Bucket, of: ChainObject) -> bool:
    if of.visibility is Visibility.INHERIT:
        return bucket.visibility is Visibility.PUBLIC_READ
    return of.visibility is Visibility.PUBLIC_READ


def require_bucket(state: State, bucket: Bucket, operator: Address, action: Action) -> None:
    if not may_bucket(state, bucket, operator, action):
        raise Code.ACCESS_DENIED.refusal(f"{operator} has no {action.name} on bucket {bucket.name}")


def require_object(state: State, bucket: Bucket, of: ChainObject, operator: Address, action: Action) -> None:
    if not may_object(state, bucket, of, operator, action):
        raise Code.ACCESS_DENIED.refusal(f"{operator} has no {action.name} on object {of.bucket}/{of.name}")


def _effect(held: Mapping[Address, Policy] | None, operator: Address, action: Action) -> Effect:
    policy = held.get(operator) if held else None
    if policy is None or not (action in policy.actions or Action.ALL in policy.actions):
        return Effect.UNSPECIFIED
    return policy.effect


# --- rules --------------------------------------------------------------------------------------------------------


def put_policy(state: State, message: MsgPutPolicy) -> list[ChainEvent]:
    bucket, of = _owned(state, message)
    if message.principal == bucket.owner:
        raise Code.INVALID_PRINCIPAL.refusal("the owner needs no policy")
    if not message.actions or Action.UNSPECIFIED in message.actions:
        raise Code.INVALID_ACTION.refusal("a policy names its actions")
    if of is not None and BUCKET_ONLY_ACTIONS & set(message.actions):
        raise Code.INVALID_ACTION.refusal("an object has no such action")
    if message.effect is Effect.UNSPECIFIED:
        raise Code.INVALID_PARAMETER.refusal("a policy allows or denies")
    policy = Policy(message.actions, message.effect)
    if of is None:
        state.bucket_policies.setdefault(bucket.id, {})[message.principal] = policy
    else:
        state.object_policies.setdefault(of.id, {})[message.principal] = policy
    return [_told(state, EventType.PUT_POLICY, message)]


def delete_policy(state: State, message: MsgDeletePolicy) -> list[ChainEvent]:
    bucket, of = _owned(state, message)
    held = state.bucket_policies.get(bucket.id) if of is None else state.object_policies.get(of.id)
    if not held or message.principal not in held:
        raise Code.NO_SUCH_POLICY.refusal(message.principal)
    del held[message.principal]
    if not held:
        forget_bucket(state, bucket) if of is None else forget_object(state, of)
    return [_told(state, EventType.DELETE_POLICY, message)]


def forget_bucket(state: State, bucket: Bucket) -> None:
    state.bucket_policies.pop(bucket.id, None)


def forget_object(state: State, of: ChainObject) -> None:
    state.object_policies.pop(of.id, None)


def _told(state: State, type: EventType, message: MsgPutPolicy | MsgDeletePolicy) -> ChainEvent:
    """By names alone: what it is about has not changed itself."""
    return ChainEvent(state.height, type, message.bucket, message.object_name)


def _owned(state: State, message: MsgPutPolicy | MsgDeletePolicy) -> tuple[Bucket, ChainObject | None]:
    bucket = state.bucket_named(message.bucket)
    of = state.object_named(bucket, message.object_name) if message.object_name else None
    if message.operator != bucket.owner:
        raise Code.ACCESS_DENIED.refusal("only the owner changes policies")
    return bucket, of
