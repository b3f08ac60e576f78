"""Transactions of the chain: one dataclass per message, names and meanings as Greenfield's (REAL-NETWORK 4).

`TxMessage` is the closed union of them. A transaction carries one message, signed by the account that its first
field names.
"""

from __future__ import annotations

from dataclasses import dataclass

from sp.domain.ids import Address, Checksum, ObjectId, Signature
from sp.domain.ledger import Action, Effect, RedundancyType, SpStatus, Visibility
from sp.domain.params import StorageParams


@dataclass(frozen=True, slots=True)
class MsgCreateBucket:
    creator: Address
    bucket: str
    visibility: Visibility
    primary_sp: Address


@dataclass(frozen=True, slots=True)
class MsgDeleteBucket:
    operator: Address
    bucket: str


@dataclass(frozen=True, slots=True)
class MsgUpdateBucketInfo:
    operator: Address
    bucket: str
    visibility: Visibility


@dataclass(frozen=True, slots=True)
class MsgCreateObject:
    """By the user. expect_checksums: exactly 1 + k + m, 32 bytes each. Payload size 0 is sealed at once."""

    creator: Address
    bucket: str
    object_name: str
    payload_size: int
    visibility: Visibility
    content_type: str
    expect_checksums: tuple[Checksum, ...]
    redundancy: RedundancyType = RedundancyType.EC


@dataclass(frozen=True, slots=True)
class MsgDelegateCreateObject:
    """By the primary SP's operator, for `creator`. expect_checksums may be empty: then they come with the seal."""

    operator: Address
    creator: Address
    bucket: str
    object_name: str
    payload_size: int
    content_type: str
    visibility: Visibility
    expect_checksums: tuple[Checksum, ...] = ()
    redundancy: RedundancyType = RedundancyType.EC


@dataclass(frozen=True, slots=True)
class MsgUpdateObjectContent:
    operator: Address
    bucket: str
    object_name: str
    payload_size: int
    content_type: str
    expect_checksums: tuple[Checksum, ...]


@dataclass(frozen=True, slots=True)
class MsgDelegateUpdateObjectContent:
    operator: Address
    updater: Address
    bucket: str
    object_name: str
    payload_size: int
    content_type: str
    expect_checksums: tuple[Checksum, ...] = ()


@dataclass(frozen=True, slots=True)
class MsgUpdateObjectInfo:
    operator: Address
    bucket: str
    object_name: str
    visibility: Visibility


@dataclass(frozen=True, slots=True)
class MsgCancelCreateObject:
    operator: Address
    bucket: str
    object_name: str


@dataclass(frozen=True, slots=True)
class MsgDeleteObject:
    operator: Address
    bucket: str
    object_name: str


@dataclass(frozen=True, slots=True)
class MsgSealObject:
    """operator: the primary SP's *seal* address. The i-th address and signature are column i's.

    expect_checksums: needed when the object was created without (MsgSealObjectV2), else empty
    """

    operator: Address
    bucket: str
    object_name: str
    secondary_sps: tuple[Address, ...]
    secondary_signatures: tuple[Signature, ...]
    expect_checksums: tuple[Checksum, ...] = ()


@dataclass(frozen=True, slots=True)
class MsgRejectSealObject:
    """operator: the primary SP's seal address. Deletes a CREATED object and unlocks its fee, or drops an update."""

    operator: Address
    bucket: str
    object_name: str


@dataclass(frozen=True, slots=True)
class MsgPutPolicy:
    """Allow or deny an account an action on a bucket (object_name "") or one object. Replaces the same pair's."""

    operator: Address
    bucket: str
    object_name: str
    principal: Address
    actions: tuple[Action, ...]
    effect: Effect


@dataclass(frozen=True, slots=True)
class MsgDeletePolicy:
    operator: Address
    bucket: str
    object_name: str
    principal: Address


@dataclass(frozen=True, slots=True)
class MsgCreateStorageProvider:
    """On the dev chain by the operator itself (the real network asks governance)."""

    operator: Address
    funding: Address
    seal: Address
    approval: Address
    gc: Address
    endpoint: str
    p2p_endpoint: str
    receiver_endpoint: str
    moniker: str


@dataclass(frozen=True, slots=True)
class MsgEditStorageProvider:
    operator: Address
    endpoint: str
    p2p_endpoint: str
    receiver_endpoint: str
    moniker: str


@dataclass(frozen=True, slots=True)
class MsgUpdateStorageProviderStatus:
    operator: Address
    status: SpStatus


@dataclass(frozen=True, slots=True)
class MsgUpdateParams:
    """By the authority named at genesis."""

    authority: Address
    params: StorageParams


@dataclass(frozen=True, slots=True)
class MsgStorageProviderExit:
    """I leave: nothing new comes to me, and others take over what I keep."""

    operator: Address


@dataclass(frozen=True, slots=True)
class MsgStorageProviderForcedExit:
    """By the authority named at genesis: this provider is gone, or is to go."""

    authority: Address
    storage_provider: Address


@dataclass(frozen=True, slots=True)
class MsgCompleteStorageProviderExit:
    """Nothing on chain names me any more: forget me."""

    operator: Address


@dataclass(frozen=True, slots=True)
class MsgCompleteSwapIn:
    """operator: the primary SP's seal address. Column `redundancy_index` of this content is with `successor_sp` now, in
    the place of `target_sp`, which leaves. (On the real network the successor sends it, for a whole group.)

    signature: the successor's, over the integrity hash that the object was sealed with
    """

    operator: Address
    bucket: str
    object_name: str
    object_id: ObjectId
    version: int
    redundancy_index: int
    target_sp: Address
    successor_sp: Address
    signature: Signature


TxMessage = (
    MsgCreateBucket
    | MsgDeleteBucket
    | MsgUpdateBucketInfo
    | MsgCreateObject
    | MsgDelegateCreateObject
    | MsgUpdateObjectContent
    | MsgDelegateUpdateObjectContent
    | MsgUpdateObjectInfo
    | MsgCancelCreateObject
    | MsgDeleteObject
    | MsgSealObject
    | MsgRejectSealObject
    | MsgPutPolicy
    | MsgDeletePolicy
    | MsgCreateStorageProvider
    | MsgEditStorageProvider
    | MsgUpdateStorageProviderStatus
    | MsgUpdateParams
    | MsgStorageProviderExit
    | MsgStorageProviderForcedExit
    | MsgCompleteStorageProviderExit
    | MsgCompleteSwapIn
)
