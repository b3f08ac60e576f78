"""Everything the chain knows at one height, in plain dicts of frozen records, and how to look things up in it.

The rules that change it are one file per subject beside this one; `chain.dev.apply` runs them. A rule checks first and
writes last, so that a refused transaction has changed nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chain.dev.codes import Code
from chain.dev.genesis import Genesis
from sp.domain.ids import Address, ObjectId
from sp.domain.ledger import (
    Action,
    Bucket,
    ChainAccount,
    ChainEvent,
    ChainObject,
    Effect,
    EventType,
    StorageProvider,
)
from sp.domain.params import StorageParams


@dataclass(frozen=True, slots=True)
class Policy:
    """What one account may, or may not, do with one bucket or object."""

    actions: tuple[Action, ...]
    effect: Effect


@dataclass(frozen=True, slots=True)
class Fee:
    """amount: wei-BNB, locked on the payer's account until the object is sealed or given up"""

    payer: Address
    amount: int


@dataclass(frozen=True, slots=True)
class ParamsVersion:
    """valid_from: unix seconds of the first block that these hold for"""

    valid_from: int
    params: StorageParams


@dataclass(slots=True)
class State:
    """height, time_s: of the block that is being made, or was made last
    accounts:  those that signed or paid something; all others have the genesis balance
    names:     bucket name -> object name -> id; every bucket has an entry
    fees:      of objects that wait for a seal, of their creation or their update (an object has one at a time)
    policies:  bucket or object id -> principal -> policy; no entry without a policy
    params:    versions, the oldest first
    """

    genesis: Genesis
    height: int = 0
    time_s: int = 0
    accounts: dict[Address, ChainAccount] = field(default_factory=dict)
    providers: dict[Address, StorageProvider] = field(default_factory=dict)
    buckets: dict[str, Bucket] = field(default_factory=dict)
    objects: dict[ObjectId, ChainObject] = field(default_factory=dict)
    names: dict[str, dict[str, ObjectId]] = field(default_factory=dict)
    fees: dict[ObjectId, Fee] = field(default_factory=dict)
    bucket_policies: dict[int, dict[Address, Policy]] = field(default_factory=dict)
    object_policies: dict[ObjectId, dict[Address, Policy]] = field(default_factory=dict)
    params: list[ParamsVersion] = field(default_factory=list)
    next_bucket_id: int = 1
    next_object_id: int = 1

    # --- what queries ask: None where there is nothing -----------------------------------------------------------

    def account(self, address: Address) -> ChainAccount:
        found = self.accounts.get(address)
        if found is not None:
            return found
        balance = self.genesis.balances.get(address, self.genesis.initial_balance)
        return ChainAccount(address, 0, balance, 0)

    def find_object(self, bucket: str, name: str) -> ChainObject | None:
        object_id = self.names.get(bucket, {}).get(name)
        return None if object_id is None else self.objects[object_id]

    def params_at(self, time_s: int) -> StorageParams:
        """Those of the newest version that was valid then; the first ones for any time before."""
        for version in reversed(self.params):
            if version.valid_from <= time_s:
                return version.params
        return self.params[0].params

    @property
    def params_now(self) -> StorageParams:
        return self.params_at(self.time_s)

    @property
    def earliest_next_time(self) -> int:
        """Unix seconds before which the next block cannot be: time does not go back, and new parameters hold for
        every object of the next block and for none of this one."""
        return max(self.time_s, self.params[-1].valid_from)

    # --- what rules ask: refused where there is nothing ----------------------------------------------------------

    def bucket_named(self, name: str) -> Bucket:
        bucket = self.buckets.get(name)
        if bucket is None:
            raise Code.NO_SUCH_BUCKET.refusal(name)
        return bucket

    def object_named(self, bucket: Bucket, name: str) -> ChainObject:
        found = self.find_object(bucket.name, name)
        if found is None:
            raise Code.NO_SUCH_OBJECT.refusal(f"{bucket.name}/{name}")
        return found

    def provider_sealing_as(self, seal: Address) -> StorageProvider:
        for provider in self.providers.values():
            if provider.seal == seal:
                return provider
        raise Code.NO_SUCH_SP.refusal(f"no provider seals as {seal}")

    def in_service(self, operator: Address) -> StorageProvider:
        """The provider, which takes new buckets and objects now."""
        provider = self.providers.get(operator)
        if provider is None:
            raise Code.NO_SUCH_SP.refusal(operator)
        if not provider.in_service:
            raise Code.NO_SUCH_SP.refusal(f"{operator} is not in service: {provider.status.name}")
        return provider

    def object_event(self, type: EventType, of: ChainObject, version: int | None = None) -> ChainEvent:
        """version: the one concerned, by default the object's"""
        version = of.version if version is None else version
        return ChainEvent(self.height, type, of.bucket, of.name, of.id, version)

    def copy(self) -> State:
        """Another State with the same records: what is done to either leaves the other as it is."""
        return State(
            genesis=self.genesis,
            height=self.height,
            time_s=self.time_s,
            accounts=dict(self.accounts),
            providers=dict(self.providers),
            buckets=dict(self.buckets),
            objects=dict(self.objects),
            names={bucket: dict(names) for bucket, names in self.names.items()},
            fees=dict(self.fees),
            bucket_policies={resource: dict(held) for resource, held in self.bucket_policies.items()},
            object_policies={resource: dict(held) for resource, held in self.object_policies.items()},
            params=list(self.params),
            next_bucket_id=self.next_bucket_id,
            next_object_id=self.next_object_id,
        )


def initial_state(genesis: Genesis) -> State:
    return State(
        genesis,
        providers={provider.operator: provider for provider in genesis.providers},
        params=[ParamsVersion(0, genesis.params)],
    )
