"""Accounts, providers and messages for tests of the development chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from chain.dev.apply import Executed, execute, read_tx
from chain.dev.genesis import Genesis
from chain.dev.state import State, initial_state
from chain.tx import sign_tx, signer_of
from sp.crypto.hashing import keccak256, sha256
from sp.crypto.private import PrivateKey
from sp.domain.ids import Address, Checksum, ObjectId, Signature
from sp.domain.ledger import ChainEvent, ChainObject, SpStatus, StorageProvider, TxResult, Visibility
from sp.domain.messages import (
    MsgCompleteSwapIn,
    MsgCreateBucket,
    MsgCreateObject,
    MsgDelegateCreateObject,
    MsgSealObject,
    TxMessage,
)
from sp.domain.params import StorageParams
from sp.domain.signdocs import secondary_sp_sign_bytes

T = TypeVar("T")

KEYS: dict[Address, PrivateKey] = {}


def key(name: str) -> PrivateKey:
    """The same name has the same key."""
    made = PrivateKey.from_bytes(sha256(name.encode()))
    return KEYS.setdefault(Address(made.address), made)


def account(name: str) -> Address:
    return Address(key(name).address)


@dataclass(frozen=True)
class Provider:
    number: int

    def address(self, role: str) -> Address:
        return account(f"sp{self.number} {role}")

    @property
    def operator(self) -> Address:
        return self.address("operator")

    @property
    def seal(self) -> Address:
        return self.address("seal")

    @property
    def record(self) -> StorageProvider:
        keys = {role: self.address(role) for role in ("operator", "funding", "seal", "approval", "gc")}
        return StorageProvider(
            id=self.number + 1,
            status=SpStatus.IN_SERVICE,
            endpoint=f"http://127.0.0.1:{9033 + self.number}",
            p2p_endpoint=f"127.0.0.1:{9733 + self.number}",
            receiver_endpoint=f"127.0.0.1:{9533 + self.number}",
            moniker=f"sp{self.number}",
            **keys,
        )

    def receipt(self, object_id: int, checksum: Checksum) -> Signature:
        digest = keccak256(secondary_sp_sign_bytes(self.operator, ObjectId(object_id), checksum))
        return Signature(KEYS[self.address("approval")].sign(digest))


SPS = [Provider(number) for number in range(8)]
PRIMARY, SECONDARIES, SPARE = SPS[0], SPS[1:7], SPS[7]
ALICE, BOB, CAROL, AUTHORITY = account("alice"), account("bob"), account("carol"), account("authority")

PARAMS = StorageParams(max_segment_size=1024, max_payload_size=10_000, min_charge_size=100)
PRICE = 7
BALANCE = 1_000_000
GENESIS = Genesis(
    authority=AUTHORITY,
    params=PARAMS,
    providers=tuple(sp.record for sp in SPS),
    initial_balance=BALANCE,
    store_price=PRICE,
)
EMPTY = Checksum(sha256(b""))
T0 = 1_700_000_000


def checksums(label: str = "content", count: int = 7) -> tuple[Checksum, ...]:
    return tuple(Checksum(sha256(f"{label} {column}".encode())) for column in range(count))


def create_bucket(
    name: str = "photos",
    owner: Address = ALICE,
    visibility: Visibility = Visibility.PRIVATE,
    primary: Provider = PRIMARY,
) -> MsgCreateBucket:
    return MsgCreateBucket(owner, name, visibility, primary.operator)


def create_object(
    name: str = "a.jpg",
    size: int = 5000,
    creator: Address = ALICE,
    bucket: str = "photos",
    expect: tuple[Checksum, ...] | None = None,
    visibility: Visibility = Visibility.INHERIT,
) -> MsgCreateObject:
    if expect is None:
        expect = checksums() if size else (EMPTY,) * 7
    return MsgCreateObject(creator, bucket, name, size, visibility, "image/jpeg", expect)


def delegate_create(
    name: str = "a.jpg",
    size: int = 5000,
    creator: Address = ALICE,
    operator: Address = PRIMARY.operator,
    bucket: str = "photos",
) -> MsgDelegateCreateObject:
    return MsgDelegateCreateObject(operator, creator, bucket, name, size, "image/jpeg", Visibility.INHERIT)


def seal(
    object_id: int = 1,
    name: str = "a.jpg",
    over: Sequence[Checksum] | None = None,
    secondaries: Sequence[Provider] = SECONDARIES,
    sealer: Provider = PRIMARY,
    bucket: str = "photos",
    expect: tuple[Checksum, ...] = (),
) -> MsgSealObject:
    """A right one, for a content with these checksums, of an object in Alice's bucket."""
    over = over or expect or checksums()
    signatures = tuple(sp.receipt(object_id, over[column + 1]) for column, sp in enumerate(secondaries))
    return MsgSealObject(
        sealer.seal, bucket, name, tuple(sp.operator for sp in secondaries), signatures, expect_checksums=expect
    )


def swap_in(
    object_id: int = 1,
    column: int = 2,
    target: Provider | None = None,
    successor: Provider = SPARE,
    over: Sequence[Checksum] | None = None,
    name: str = "a.jpg",
    bucket: str = "photos",
    version: int = 0,
) -> MsgCompleteSwapIn:
    """A right one, for an object as `seal` makes it. target: by default who has the column there"""
    return MsgCompleteSwapIn(
        operator=PRIMARY.seal,
        bucket=bucket,
        object_name=name,
        object_id=ObjectId(object_id),
        version=version,
        redundancy_index=column,
        target_sp=(target or SECONDARIES[column]).operator,
        successor_sp=successor.operator,
        signature=successor.receipt(object_id, (over or checksums())[column + 1]),
    )


def signed(message: TxMessage, nonce: int, chain_id: str = GENESIS.chain_id, by: Address | None = None) -> bytes:
    """A transaction as it is broadcast. by: whose key signs, by default the right one"""
    return sign_tx(message, KEYS[by or signer_of(message)].sign, nonce, chain_id)[0]


@dataclass
class Ledger:
    """A state, moved by signed transactions, each in a block of its own."""

    state: State = field(default_factory=lambda: initial_state(GENESIS))
    events: list[ChainEvent] = field(default_factory=list)
    time_s: int = T0

    def do(self, message: TxMessage) -> TxResult:
        return self.do_raw(signed(message, self.state.account(signer_of(message)).nonce))

    def do_raw(self, raw: bytes) -> TxResult:
        executed = self.block(raw)
        self.events += executed.block.events
        return executed.results[0]

    def block(self, *raws: bytes) -> Executed:
        self.time_s = max(self.time_s, self.state.earliest_next_time)
        return execute(self.state, self.state.height + 1, self.time_s, [read_tx(raw) for raw in raws])

    def ok(self, *messages: TxMessage) -> Ledger:
        for message in messages:
            result = self.do(message)
            assert result.code == 0, result
        return self

    def refusal(self, message: TxMessage) -> tuple[str, int]:
        """(codespace, code) with which it is refused; nothing but the nonce may change."""
        before = self.state.copy()
        result = self.do(message)
        nonce = {**before.accounts, signer_of(message): self.state.account(signer_of(message))}
        assert nonce[signer_of(message)].nonce == before.account(signer_of(message)).nonce + 1
        before.height, before.time_s, before.accounts = self.state.height, self.state.time_s, nonce
        assert self.state == before, "a refused transaction changed more than the nonce"
        return result.codespace, result.code

    def object(self, name: str = "a.jpg", bucket: str = "photos") -> ChainObject:
        found = self.state.find_object(bucket, name)
        assert found is not None
        return found


def with_object(name: str = "a.jpg", size: int = 5000) -> Ledger:
    """Alice has a bucket on the primary, and in it an object that waits for its seal."""
    return Ledger().ok(create_bucket(), create_object(name, size))


def with_sealed_object() -> Ledger:
    return with_object().ok(seal())


def swapped(items: tuple[T, ...], i: int, j: int) -> tuple[T, ...]:
    """The same items with two places changed."""
    changed = list(items)
    changed[i], changed[j] = changed[j], changed[i]
    return tuple(changed)
