"""What the chain knows: its enums and records, with the network's numbers (GREENFIELD.md 6, REAL-NETWORK 4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from sp.domain.ids import Address, Checksum, ObjectId, TxHash


class ObjectStatus(IntEnum):
    CREATED = 0  # on chain, not sealed: only the primary has the bytes
    SEALED = 1  # six secondaries have signed
    DISCONTINUED = 2


class Visibility(IntEnum):
    UNSPECIFIED = 0
    PUBLIC_READ = 1
    PRIVATE = 2
    INHERIT = 3  # of an object: as its bucket


class BucketStatus(IntEnum):
    CREATED = 0
    DISCONTINUED = 1
    MIGRATING = 2


class RedundancyType(IntEnum):
    EC = 0
    REPLICA = 1


class Action(IntEnum):
    UNSPECIFIED = 0
    UPDATE_BUCKET_INFO = 1
    DELETE_BUCKET = 2
    CREATE_OBJECT = 3
    DELETE_OBJECT = 4
    COPY_OBJECT = 5
    GET_OBJECT = 6
    EXECUTE_OBJECT = 7
    LIST_OBJECT = 8
    UPDATE_OBJECT_INFO = 11
    UPDATE_OBJECT_CONTENT = 14
    ALL = 99


class Effect(IntEnum):
    UNSPECIFIED = 0
    ALLOW = 1
    DENY = 2


class SpStatus(IntEnum):
    IN_SERVICE = 0
    IN_JAILED = 1
    GRACEFUL_EXITING = 2
    IN_MAINTENANCE = 3
    FORCED_EXITING = 4


@dataclass(frozen=True, slots=True)
class StorageProvider:
    """One provider as registered. Operator address = identity; the others are the keys it signs with.

    endpoint: base URL of its gateway
    p2p_endpoint, receiver_endpoint: `host:port` where other providers reach these two services
    """

    id: int
    operator: Address
    funding: Address
    seal: Address
    approval: Address
    gc: Address
    status: SpStatus
    endpoint: str
    p2p_endpoint: str
    receiver_endpoint: str
    moniker: str

    @property
    def in_service(self) -> bool:
        return self.status is SpStatus.IN_SERVICE

    @property
    def exiting(self) -> bool:
        """It leaves, or has been made to: others take its columns over."""
        return self.status in (SpStatus.GRACEFUL_EXITING, SpStatus.FORCED_EXITING)

    @property
    def serving(self) -> bool:
        """It answers for what it keeps, though it may take nothing new: in service, or leaving of its own will."""
        return self.status in (SpStatus.IN_SERVICE, SpStatus.GRACEFUL_EXITING)


@dataclass(frozen=True, slots=True)
class Bucket:
    """primary_sp: operator address of the SP that serves it; create_at: unix seconds of the block"""

    id: int
    name: str
    owner: Address
    visibility: Visibility
    primary_sp: Address
    create_at: int
    status: BucketStatus
    delegation_disabled: bool = False


@dataclass(frozen=True, slots=True)
class ContentUpdate:
    """The shadow of an object whose content is being replaced: becomes the object's when it is sealed."""

    payload_size: int
    content_type: str
    checksums: tuple[Checksum, ...]
    version: int
    updated_at: int
    updated_by: Address


@dataclass(frozen=True, slots=True)
class ChainObject:
    """One object as the chain has it.

    checksums: 1 + k + m integrity hashes [primary, column 0, ...], or empty until the seal of a delegated object
    create_at, updated_at: unix seconds of the block (updated_at 0: never); the later decides the StorageParams
    creator: who created it (the chain leaves it empty for the owner; here it is always set)
    secondaries: operator addresses in column order once sealed
    """

    id: ObjectId
    bucket: str
    name: str
    owner: Address
    creator: Address
    payload_size: int
    visibility: Visibility
    content_type: str
    create_at: int
    status: ObjectStatus
    redundancy: RedundancyType
    checksums: tuple[Checksum, ...]
    secondaries: tuple[Address, ...]
    version: int = 0
    updated_at: int = 0
    update: ContentUpdate | None = None

    @property
    def params_time(self) -> int:
        """Unix seconds at which the StorageParams of the sealed content were valid."""
        return self.updated_at or self.create_at


@dataclass(frozen=True, slots=True)
class TxResult:
    """A transaction in a block. code 0 is success, others GREENFIELD.md 6.4; object_id where one was created."""

    tx_hash: TxHash
    height: int
    code: int
    codespace: str = ""
    log: str = ""
    object_id: ObjectId | None = None


class EventType(IntEnum):
    UNSPECIFIED = 0
    CREATE_BUCKET = 1
    DELETE_BUCKET = 2
    CREATE_OBJECT = 3
    CANCEL_CREATE_OBJECT = 4
    SEAL_OBJECT = 5
    REJECT_SEAL_OBJECT = 6
    DELETE_OBJECT = 7
    UPDATE_OBJECT_CONTENT = 8
    UPDATE_OBJECT_CONTENT_SUCCESS = 9
    PROVIDERS_CHANGED = 10
    PARAMS_CHANGED = 11
    DISCONTINUE_OBJECT = 12
    UPDATE_BUCKET_INFO = 13
    UPDATE_OBJECT_INFO = 14
    STORAGE_PROVIDER_EXIT = 15
    STORAGE_PROVIDER_FORCED_EXIT = 16
    COMPLETE_STORAGE_PROVIDER_EXIT = 17
    COMPLETE_SWAP_IN = 18  # one column of one object has another holder
    PUT_POLICY = 19
    DELETE_POLICY = 20


NO_OBJECT: Final = ObjectId(0)
NO_TX: Final = TxHash("")
NOBODY: Final = Address("")


@dataclass(frozen=True, slots=True)
class ChainEvent:
    """One typed event of one block, in the order of the chain. provider: who leaves, or has taken a column over"""

    height: int
    type: EventType
    bucket: str = ""
    object_name: str = ""
    object_id: ObjectId = NO_OBJECT
    version: int = 0
    tx_hash: TxHash = NO_TX
    provider: Address = NOBODY


@dataclass(frozen=True, slots=True)
class Block:
    """One finished block: time is unix seconds, tx_hashes those of the transactions in it, failed ones too."""

    height: int
    time_s: int
    tx_hashes: tuple[TxHash, ...] = ()
    events: tuple[ChainEvent, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class ChainAccount:
    """nonce: number of transactions executed for this account, = the nonce of its next one; amounts in wei-BNB"""

    address: Address
    nonce: int
    balance: int
    locked: int
