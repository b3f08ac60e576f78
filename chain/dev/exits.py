"""A provider leaves: its announcement, or the authority's; who takes over each column it keeps; and its end.

On the real network (greenfield x/virtualgroup/keeper/msg_server.go) a column is taken over for a whole group of
objects, and by a message of the successor. This chain has no groups: one message for each column of each object, from
the primary, as its seal was, with the successor's signature in it, as in a seal.
"""

from __future__ import annotations

from dataclasses import replace

from chain.dev.codes import Code
from chain.dev.sealing import check_sealer, receipt_digest, recovered
from chain.dev.state import State
from sp.domain.ids import Address
from sp.domain.ledger import Bucket, ChainEvent, ChainObject, EventType, ObjectStatus, SpStatus, StorageProvider
from sp.domain.messages import (
    MsgCompleteStorageProviderExit,
    MsgCompleteSwapIn,
    MsgStorageProviderExit,
    MsgStorageProviderForcedExit,
)


def storage_provider_exit(state: State, message: MsgStorageProviderExit) -> list[ChainEvent]:
    """GRACEFUL_EXITING: it serves what it keeps until others have taken it over."""
    provider = _registered(state, message.operator)
    if not provider.in_service:
        raise Code.SP_EXIT_FAILED.refusal(f"sp not in service, status: {provider.status.name}")
    return _leaves(state, provider, SpStatus.GRACEFUL_EXITING, EventType.STORAGE_PROVIDER_EXIT)


def storage_provider_forced_exit(state: State, message: MsgStorageProviderForcedExit) -> list[ChainEvent]:
    """FORCED_EXITING, whatever its status was: nothing is expected of it any more. The same again changes nothing."""
    if message.authority != state.genesis.authority:
        raise Code.NOT_AUTHORITY.refusal(message.authority)
    provider = _registered(state, message.storage_provider)
    if provider.status is SpStatus.FORCED_EXITING:
        return []
    return _leaves(state, provider, SpStatus.FORCED_EXITING, EventType.STORAGE_PROVIDER_FORCED_EXIT)


def complete_storage_provider_exit(state: State, message: MsgCompleteStorageProviderExit) -> list[ChainEvent]:
    """Struck off the register, once no bucket and no sealed object names it."""
    provider = _registered(state, message.operator)
    if not provider.exiting:
        raise Code.SP_EXIT_FAILED.refusal(f"not in the process of exiting, status: {provider.status.name}")
    buckets = sum(bucket.primary_sp == provider.operator for bucket in state.buckets.values())
    columns = sum(provider.operator in each.secondaries for each in state.objects.values())
    if buckets or columns:
        raise Code.SP_CANNOT_EXIT.refusal(f"primary of {buckets} buckets, secondary of {columns} objects")
    del state.providers[provider.operator]
    return _told(state, provider, EventType.COMPLETE_STORAGE_PROVIDER_EXIT)


def complete_swap_in(state: State, message: MsgCompleteSwapIn) -> list[ChainEvent]:
    """A column that a leaving provider kept is with another one. The same again changes nothing."""
    bucket = state.bucket_named(message.bucket)
    check_sealer(state, bucket, message.operator)
    current = state.object_named(bucket, message.object_name)
    _check_content(current, message)
    successor = _successor(state, bucket, message)
    digest = receipt_digest(successor.operator, current.id, current.checksums[1 + message.redundancy_index])
    if recovered(digest, message.signature) != successor.approval:
        raise Code.INVALID_APPROVAL.refusal(f"column {message.redundancy_index}: not signed by {successor.operator}")
    holder = current.secondaries[message.redundancy_index]
    if holder == successor.operator:
        return []
    _check_target(state, holder, message.target_sp)
    if successor.operator in current.secondaries:
        raise Code.SWAP_IN_FAILED.refusal(f"{successor.operator} keeps another column of this object")
    secondaries = list(current.secondaries)
    secondaries[message.redundancy_index] = successor.operator
    changed = replace(current, secondaries=tuple(secondaries))
    state.objects[current.id] = changed
    return [replace(state.object_event(EventType.COMPLETE_SWAP_IN, changed), provider=successor.operator)]


def _check_content(current: ChainObject, message: MsgCompleteSwapIn) -> None:
    """It is this content that is sealed; not one before it, or of another object that had the name."""
    if current.id != message.object_id:
        raise Code.NO_SUCH_OBJECT.refusal(f"{current.bucket}/{current.name} is object {current.id}")
    if current.status is not ObjectStatus.SEALED:
        raise Code.NOT_SEALED.refusal(current.status.name)
    if current.version != message.version:
        raise Code.SWAP_IN_FAILED.refusal(f"version {message.version} was replaced by {current.version}")
    if message.redundancy_index >= len(current.secondaries):
        raise Code.INVALID_GROUP.refusal(f"there is no column {message.redundancy_index}")


def _successor(state: State, bucket: Bucket, message: MsgCompleteSwapIn) -> StorageProvider:
    successor = _registered(state, message.successor_sp)
    if not successor.in_service:
        raise Code.SP_NOT_IN_SERVICE.refusal(f"{successor.operator}: {successor.status.name}")
    if successor.operator == bucket.primary_sp:
        raise Code.SWAP_IN_FAILED.refusal("the primary is no secondary")
    return successor


def _check_target(state: State, holder: Address, target: Address) -> None:
    if holder != target:
        raise Code.SWAP_IN_FAILED.refusal(f"the column is with {holder}")
    provider = state.providers.get(target)
    if provider is not None and not provider.exiting:
        raise Code.SWAP_IN_FAILED.refusal(f"{target} does not leave: {provider.status.name}")


def _leaves(state: State, provider: StorageProvider, status: SpStatus, type: EventType) -> list[ChainEvent]:
    state.providers[provider.operator] = replace(provider, status=status)
    return _told(state, provider, type)


def _told(state: State, provider: StorageProvider, type: EventType) -> list[ChainEvent]:
    changed = ChainEvent(state.height, EventType.PROVIDERS_CHANGED)
    return [changed, ChainEvent(state.height, type, provider=provider.operator)]


def _registered(state: State, operator: Address) -> StorageProvider:
    provider = state.providers.get(operator)
    if provider is None:
        raise Code.SP_NOT_FOUND.refusal(operator)
    return provider
