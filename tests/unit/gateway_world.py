"""A gateway with neighbours in memory: as much of each as the gateway asks of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, cast

from chain.client import Chain
from downloader.client import Downloader
from gateway.access import Access
from gateway.auth.anonymous import Anonymous
from gateway.auth.gnfd1 import Gnfd1, KnownAccounts
from gateway.auth.gnfd2 import Gnfd2
from gateway.auth.personal import PersonalSign
from gateway.auth.s3 import s3_schemes
from gateway.auth.scheme import Authenticator
from gateway.auth.sigv2_text import signature as sigv2_signature
from gateway.auth.sigv4_text import Scope, signing_key
from gateway.auth.unsupported import KnownButUnsupported
from gateway.buckets import Buckets
from gateway.chain_view import ChainView
from gateway.config import GatewayConfig
from gateway.copying import Copies
from gateway.greenfield.assemble import greenfield_http
from gateway.http import HttpServer, serving_http
from gateway.http_buckets import BucketOperations
from gateway.http_details import details
from gateway.http_multipart import MultipartOperations
from gateway.http_objects import ObjectOperations
from gateway.multipart import MultipartUploads
from gateway.service import Gateway
from signer.client import Signer, SigV4Key
from sp.crypto.private import PrivateKey
from sp.domain import ledger
from sp.domain.errors import NoSuchAccount, NoSuchBucket, NoSuchObject, PreconditionFailed, SignatureMismatch, SpError
from sp.domain.ids import Address, Checksum, JobId, ObjectId, TxHash
from sp.domain.integrity import integrity_hash
from sp.domain.jobs import Job, Listing, ObjectEntry, PutOrder
from sp.domain.ledger import Action, Bucket, BucketStatus, ChainObject, Visibility
from sp.domain.lifecycle import JobState
from sp.domain.messages import (
    MsgCreateBucket,
    MsgDeleteBucket,
    MsgUpdateBucketInfo,
    MsgUpdateObjectInfo,
    TxMessage,
)
from sp.domain.params import StorageParams
from sp.runtime.chunks import Piece
from sp.runtime.clock import Clock, SystemClock
from sp.runtime.ids import RequestIds
from sp.runtime.limits import Slots
from sp.runtime.pool import CpuPool
from spdb.auth_keys import AuthKeys
from tasknode.client import JobDetail, TaskNode
from tests.unit.gateway_multipart import FakeMultipart
from uploader.client import PutReceipt, Trailing, Uploader

ACCESS_KEY, SECRET_KEY = "AKIATESTKEY", "secretkeysecretkey"
OTHER_ACCESS_KEY, OTHER_SECRET_KEY = "AKIAOTHERKEY", "othersecretothersecret"

USER_KEY = PrivateKey.from_hex("01" * 32)
"""A non-custodial account, the one of the GNFD1 vectors."""


def address(n: int) -> Address:
    return Address(PrivateKey.from_hex(f"{n:064x}").address)


ALICE, BOB, OPERATOR, ELSEWHERE = address(11), address(12), address(13), address(14)
USER = Address(USER_KEY.address)


def provider(operator: Address, endpoint: str) -> ledger.StorageProvider:
    keys = (operator,) * 5
    status = ledger.SpStatus.IN_SERVICE
    return ledger.StorageProvider(1, *keys, status, endpoint, "127.0.0.1:1", "127.0.0.1:2", "test")


@dataclass
class FakeChain:
    height: int = 10
    buckets: dict[str, Bucket] = field(default_factory=dict)
    objects: dict[tuple[str, str], ChainObject] = field(default_factory=dict)
    allowed: set[tuple[Address | None, str, str | None, Action]] = field(default_factory=set)
    providers: dict[Address, ledger.StorageProvider] = field(default_factory=dict)
    known: set[Address] = field(default_factory=set)
    params: StorageParams = field(default_factory=lambda: StorageParams(max_payload_size=64 * 1024**2))
    asked: list[str] = field(default_factory=list)

    async def latest_block(self) -> ledger.Block:
        return ledger.Block(self.height, 1_700_000_000 + self.height)

    async def next_block(self, after_height: int) -> ledger.Block:
        self.height = max(self.height, after_height + 1)
        return await self.latest_block()

    async def params_at(self, time_s: int) -> StorageParams:
        return self.params

    async def head_bucket(self, bucket: str) -> Bucket:
        self.asked.append(f"head {bucket}")
        if bucket not in self.buckets:
            raise NoSuchBucket(bucket)
        return self.buckets[bucket]

    async def list_buckets(self, owner: Address) -> list[Bucket]:
        return [bucket for _, bucket in sorted(self.buckets.items()) if bucket.owner == owner]

    async def head_object(self, bucket: str, object_name: str) -> ChainObject:
        if (bucket, object_name) not in self.objects:
            raise NoSuchObject(bucket, object_name)
        return self.objects[bucket, object_name]

    async def verify_permission(
        self, operator: Address | None, bucket: str, object_name: str | None, action: Action
    ) -> bool:
        self.asked.append(f"permission {action.name}")
        found = await self.head_bucket(bucket)
        if object_name is not None and (bucket, object_name) not in self.objects:
            raise NoSuchObject(bucket, object_name)
        reading = action in (Action.GET_OBJECT, Action.LIST_OBJECT)
        if reading and found.visibility is Visibility.PUBLIC_READ:
            return True
        if operator is not None and operator == found.owner:
            return True
        return (operator, bucket, object_name, action) in self.allowed

    async def storage_providers(self) -> dict[Address, ledger.StorageProvider]:
        return self.providers

    async def account(self, address: Address) -> ledger.ChainAccount:
        return ledger.ChainAccount(address, 1 if address in self.known else 0, 0, 0)

    async def wait_tx(self, tx_hash: TxHash, until_height: int) -> ledger.TxResult:
        self.height += 1
        return ledger.TxResult(tx_hash, self.height, 0)


@dataclass
class FakeSigner:
    chain: FakeChain
    submitted: list[TxMessage] = field(default_factory=list)
    refusals: list[SpError] = field(default_factory=list)
    derived: int = 0
    secrets: dict[str, tuple[Address, str]] = field(
        default_factory=lambda: {ACCESS_KEY: (ALICE, SECRET_KEY), OTHER_ACCESS_KEY: (BOB, OTHER_SECRET_KEY)}
    )

    async def sigv4_key(self, access_key_id: str, date: str, region: str, service: str) -> SigV4Key:
        self.derived += 1
        if access_key_id not in self.secrets:
            raise NoSuchAccount(access_key_id)
        account, secret = self.secrets[access_key_id]
        return SigV4Key(account, signing_key(secret, Scope(access_key_id, date, region, service)))

    async def verify_sigv2(self, access_key_id: str, string_to_sign: bytes, signature: bytes) -> Address:
        if access_key_id not in self.secrets:
            raise NoSuchAccount(access_key_id)
        account, secret = self.secrets[access_key_id]
        if sigv2_signature(secret, string_to_sign) != signature:
            raise SignatureMismatch("wrong")
        return account

    async def submit(self, message: TxMessage) -> TxHash:
        self.submitted.append(message)
        if self.refusals:
            raise self.refusals.pop(0)
        match message:
            case MsgCreateBucket():
                made = Bucket(
                    1,
                    message.bucket,
                    message.creator,
                    message.visibility,
                    message.primary_sp,
                    1700,
                    BucketStatus.CREATED,
                )
                self.chain.buckets[message.bucket] = made
            case MsgDeleteBucket():
                del self.chain.buckets[message.bucket]
            case MsgUpdateBucketInfo():
                before = self.chain.buckets[message.bucket]
                self.chain.buckets[message.bucket] = replace(before, visibility=message.visibility)
            case MsgUpdateObjectInfo():
                name = (message.bucket, message.object_name)
                self.chain.objects[name] = replace(self.chain.objects[name], visibility=message.visibility)
        return TxHash(f"{len(self.submitted):064x}")


@dataclass
class Store:
    """Uploader and Downloader over one dict: a name, its job and its bytes."""

    clock: Clock
    held: dict[tuple[str, str], tuple[Job, bytes]] = field(default_factory=dict)
    orders: list[PutOrder] = field(default_factory=list)
    refuse: SpError | None = None
    cut_at: int | None = None
    tags: dict[JobId, dict[str, str]] = field(default_factory=dict)
    held_back: asyncio.Event = field(default_factory=asyncio.Event)
    hold: bool = False
    waiting: int = 0
    given_up: int = 0
    refuse_at_end: SpError | None = None
    reads: int = 0

    async def put(self, order: PutOrder, body: AsyncIterator[Piece], trailing: Trailing = dict) -> PutReceipt:
        self.orders.append(order)
        if self.refuse is not None:
            raise self.refuse
        payload = b"".join([chunk async for chunk in body])
        if self.hold:
            self.waiting += 1
            try:
                await self.held_back.wait()
            except asyncio.CancelledError:
                self.given_up += 1
                raise
        if self.refuse_at_end is not None:
            raise self.refuse_at_end
        order = replace(order, headers={**order.headers, **trailing()})
        job = self._job(order, payload)
        if order.precondition is not None:
            held = self.held.get((order.bucket, order.object_name))
            order.precondition.check(None if held is None else ObjectEntry(held[0], 0).etag)
        self.tags[job.id] = order.tags
        self.held[order.bucket, order.object_name] = (job, payload)
        assert job.root is not None
        return PutReceipt(job.id, len(payload), job.root, job.updated_at_ms)

    def _job(self, order: PutOrder, payload: bytes) -> Job:
        step = order.params.max_segment_size
        checksums = tuple(
            Checksum(hashlib.sha256(payload[at : at + step]).digest()) for at in range(0, len(payload), step)
        )
        now_ms = self.clock.now_ms()
        return Job(
            JobId(len(self.orders)),
            JobState.UPLOAD_OBJECT_DONE,
            1,
            order.bucket,
            order.object_name,
            order.account,
            order.visibility,
            order.headers,
            order.params,
            order.delegated,
            order.object_id,
            order.version,
            len(payload),
            integrity_hash(checksums),
            checksums,
            0,
            None,
            False,
            "",
            0,
            None,
            "",
            order.request_id,
            now_ms,
            now_ms,
        )

    def mark(self, bucket: str, object_name: str, state: JobState) -> None:
        job, payload = self.held[bucket, object_name]
        self.held[bucket, object_name] = (replace(job, state=state), payload)

    async def head(self, bucket: str, object_name: str) -> ObjectEntry:
        if (bucket, object_name) not in self.held:
            raise NoSuchObject(bucket, object_name)
        job = self.held[bucket, object_name][0]
        return ObjectEntry(job, job.updated_at_ms, self.tags.get(job.id, {}))

    async def get(self, entry: ObjectEntry, start: int, stop: int) -> AsyncIterator[bytes]:
        self.reads += 1
        if self.refuse is not None:
            raise self.refuse
        payload = self.held[entry.job.bucket, entry.job.object_name][1]
        for at in range(start, stop, 1 << 20):
            if self.cut_at is not None and at >= self.cut_at:
                raise NoSuchObject(entry.job.bucket, entry.job.object_name)
            yield payload[at : min(stop, at + (1 << 20))]

    async def list(self, bucket: str, prefix: str, delimiter: str, marker: str, limit: int) -> Listing:
        found: dict[str, ObjectEntry | None] = {}
        for (held_bucket, name), (job, _) in sorted(self.held.items(), key=lambda item: item[0][1].encode()):
            if held_bucket != bucket or not name.startswith(prefix):
                continue
            rest = name[len(prefix) :]
            folder = prefix + rest[: rest.index(delimiter) + len(delimiter)] if delimiter and delimiter in rest else ""
            if (folder or name).encode() > marker.encode():
                found.setdefault(folder or name, None if folder else ObjectEntry(job, job.updated_at_ms))
        page = list(found.items())[:limit]
        entries = tuple(entry for _, entry in page if entry is not None)
        return Listing(
            entries, tuple(name for name, entry in page if entry is None), page[-1][0] if len(found) > limit else None
        )


@dataclass
class FakeTaskNode:
    store: Store
    creating: int = 0
    deleted: list[tuple[str, str, Address]] = field(default_factory=list)

    async def delete_object(
        self, bucket: str, object_name: str, account: Address, request_id: str, only: JobId | None = None
    ) -> None:
        held = self.store.held.get((bucket, object_name))
        if only is not None and (held is None or held[0].id != only):
            raise PreconditionFailed("If-Match")
        self.deleted.append((bucket, object_name, account))
        self.store.held.pop((bucket, object_name), None)

    async def set_tags(self, job_id: JobId, tags: dict[str, str]) -> None:
        self.store.tags[job_id] = tags

    async def set_visibility(self, job_id: JobId, visibility: Visibility) -> bool:
        if self.creating:
            self.creating -= 1
            return False
        for name, (job, payload) in self.store.held.items():
            if job.id == job_id:
                self.store.held[name] = (replace(job, visibility=visibility), payload)
        return True

    async def get_job_of(self, bucket: str, object_name: str) -> JobDetail:
        if (bucket, object_name) not in self.store.held:
            raise NoSuchObject(bucket, object_name)
        return JobDetail(self.store.held[bucket, object_name][0], (), ())


@dataclass
class FakeKeys:
    """AuthKeys that never expire."""

    held: set[tuple[Address, str, str]] = field(default_factory=set)

    async def add(self, account: Address, domain: str, public_key: str, expires_at_ms: int) -> None:
        self.held.add((account, domain, public_key))

    async def has(self, account: Address, domain: str, public_key: str) -> bool:
        return (account, domain, public_key) in self.held

    async def list(self, account: Address, domain: str) -> list[str]:
        return sorted(key for of, for_, key in self.held if (of, for_) == (account, domain))

    async def remove(self, account: Address, domain: str, public_keys: Sequence[str]) -> None:
        self.held -= {(account, domain, key) for key in public_keys}


@dataclass
class World:
    chain: FakeChain
    signer: FakeSigner
    store: Store
    tasknode: FakeTaskNode
    gateway: Gateway
    buckets: Buckets
    authenticator: Authenticator
    config: GatewayConfig
    pool: CpuPool
    clock: Clock
    keys: FakeKeys
    multipart: FakeMultipart = field(init=False)

    def __post_init__(self) -> None:
        self.multipart = FakeMultipart(self.store)

    def bucket(
        self,
        name: str,
        owner: Address = ALICE,
        visibility: Visibility = Visibility.PRIVATE,
        primary_sp: Address = OPERATOR,
        status: BucketStatus = BucketStatus.CREATED,
    ) -> Bucket:
        made = Bucket(1, name, owner, visibility, primary_sp, 1700, status)
        self.chain.buckets[name] = made
        return made

    def chain_object(self, bucket: str, name: str, payload: bytes, **more: Any) -> ChainObject:
        segment = self.chain.params.max_segment_size
        pieces = [Checksum(hashlib.sha256(payload[i : i + segment]).digest()) for i in range(0, len(payload), segment)]
        given = {
            "payload_size": len(payload),
            "status": ledger.ObjectStatus.CREATED,
            "checksums": (integrity_hash(tuple(pieces)),) * 7,
            **more,
        }
        made = ChainObject(
            id=ObjectId(7),
            bucket=bucket,
            name=name,
            owner=USER,
            creator=USER,
            visibility=Visibility.INHERIT,
            content_type="text/plain",
            create_at=1_600_000_000,
            redundancy=ledger.RedundancyType.EC,
            secondaries=(),
            **given,
        )
        self.chain.objects[bucket, name] = made
        return made

    @asynccontextmanager
    async def http(self) -> AsyncIterator[str]:
        """A listening gateway; yields host:port."""
        objects = ObjectOperations(self.gateway)
        server = HttpServer(
            objects,
            BucketOperations(self.buckets, self.pool, self.config.region),
            self.authenticator,
            self.config,
            self.clock,
            RequestIds(Random(1)),
            Slots("requests at once", self.config.max_requests),
            (
                *details(self.gateway, self.buckets, self.pool, self.config, self.clock),
                MultipartOperations(
                    MultipartUploads(self.gateway, self.multipart),
                    Copies(self.gateway),
                    self.pool,
                    self.config.blank_interval_s,
                ),
                greenfield_http(
                    self.gateway, objects, cast("Signer", self.signer), cast("AuthKeys", self.keys), self.clock
                ),
            ),
        )
        async with serving_http(server) as address:
            yield address


@asynccontextmanager
async def gateway_world(clock: Clock | None = None, **settings: Any) -> AsyncIterator[World]:
    """settings: of GatewayConfig, beside a free port."""
    clock = clock or SystemClock()
    chain = FakeChain(
        providers={OPERATOR: provider(OPERATOR, "http://me"), ELSEWHERE: provider(ELSEWHERE, "http://other")}
    )
    signer, store = FakeSigner(chain), Store(clock)
    tasknode = FakeTaskNode(store)
    config = GatewayConfig(http_address="127.0.0.1:0", **settings)
    access = Access(ChainView(cast("Chain", chain)), OPERATOR)
    async with CpuPool(2) as pool:
        gateway = Gateway(
            access,
            cast("Uploader", store),
            cast("Downloader", store),
            cast("TaskNode", tasknode),
            pool,
            config.etag_md5_max_bytes,
        )
        buckets = Buckets(access, cast("Downloader", store), cast("Signer", signer), wait_blocks=3, empties_s=0)
        keys = FakeKeys()
        authenticator = Authenticator(
            (
                *s3_schemes(cast("Signer", signer), config),
                Gnfd1(KnownAccounts(cast("Chain", chain))),
                Gnfd2(keys),
                PersonalSign(),
                KnownButUnsupported(),
                Anonymous(),
            )
        )
        yield World(chain, signer, store, tasknode, gateway, buckets, authenticator, config, pool, clock, keys)
