"""A Receiver with its parts in a test's hand, and a primary that sends to it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from downloader.client import Downloader
from piecestore.faulty import FaultyStore
from piecestore.memory import MemoryStore
from receiver.checking import PieceChecker
from receiver.chores import ChainFollower, Collector
from receiver.claims import Claims
from receiver.client import Gatherer, GroupSender, Receipt, Receivers
from receiver.config import ReceiverConfig
from receiver.damage import DamagedPieces
from receiver.frames import ChunkFrame, EndFrame, Frame, Held, OfferFrame, PieceFrame
from receiver.inspecting import GroupInspector
from receiver.mending import Mender
from receiver.proofs import Prover
from receiver.recovering import GroupRecoverer
from receiver.service import ReceiverService
from sp.crypto.ec import best_kernel
from sp.domain.approvals import Approval, ObjectRef, Offer, PieceRequest, SignedApproval
from sp.domain.errors import PieceNotFound, ServiceUnavailable, SpError
from sp.domain.ids import Checksum, ObjectId, RedundancyIndex, SegmentIndex, Signature
from sp.domain.integrity import ObjectHasher
from sp.domain.jobs import ReceivedGroup
from sp.domain.params import StorageParams
from sp.runtime.clock import ManualClock
from sp.runtime.limits import ByteBudget, Slots, SlotsBySender
from sp.runtime.pool import CpuPool
from spdb.cursors import Cursors
from spdb.database import Database, open_database
from spdb.received import Received
from tests.unit.ledger_double import NOW_S, PARAMS, LedgerDouble
from tests.unit.providers import Provider, Providers, clock

OBJECT_ID = ObjectId(42)
COLUMN = RedundancyIndex(2)


@dataclass(frozen=True)
class Group:
    """One column of an object: its pieces and what their checksums must be."""

    ref: ObjectRef
    pieces: list[bytes]
    checksums: tuple[Checksum, ...]  # of the object: primary, column 0, ...
    piece_checksums: tuple[Checksum, ...]

    @property
    def root(self) -> Checksum:
        return self.checksums[1 + COLUMN]


def group_of(
    size: int, *, seed: int = 0, object_id: ObjectId = OBJECT_ID, version: int = 0, params: StorageParams = PARAMS
) -> Group:
    """Column 2 of an object of `size` random bytes."""
    payload = random.Random(seed).randbytes(size)
    hasher = ObjectHasher(params.data_chunks, params.parity_chunks, best_kernel())
    step = params.max_segment_size
    pieces = [bytes(hasher.add(payload[at : at + step])[COLUMN]) for at in range(0, size, step)]
    ref = ObjectRef(object_id, version, "photos", "cat.jpg", size, params)
    return Group(ref, pieces, hasher.checksums(), hasher.piece_checksums(COLUMN))


@dataclass
class World:
    ledger: LedgerDouble
    providers: Providers
    clock: ManualClock
    me: Provider
    primary: Provider
    store: FaultyStore
    database: Database
    records: Received
    receiver: ReceiverService
    follower: ChainFollower
    collector: Collector

    def on_chain(self, group: Group, *, delegated: bool = False) -> None:
        ref = group.ref
        self.ledger.add_bucket("photos", self.primary.operator)
        checksums = () if delegated else group.checksums
        self.ledger.add_object(ref.object_id, ref.bucket, ref.object_name, ref.payload_size, checksums, ref.version)

    async def approval(self, ref: ObjectRef, asker: Provider | None = None) -> SignedApproval:
        asker = asker or self.primary
        approval = Approval(ref, asker.operator, self.me.operator, NOW_S + 3600, 910)
        return SignedApproval(approval, await self.me.signer.sign(approval))

    async def offer(self, ref: ObjectRef, index: RedundancyIndex = COLUMN) -> Offer:
        return Offer(await self.approval(ref), index, self.clock.now_ms() // 1000)

    async def opening(self, offer: Offer, sender: Provider | None = None) -> OfferFrame:
        return OfferFrame(offer, await (sender or self.primary).signer.sign(offer))

    async def send(
        self, group: Group, *, only: Iterable[int] | None = None, end: bool = True, chunk_bytes: int = 100
    ) -> tuple[Held, Receipt | None]:
        """Offer the group, then send these pieces of it (default: those that are not held)."""
        frames = piece_frames(group, only, chunk_bytes)
        return await self.exchange(await self.opening(await self.offer(group.ref)), frames, end=end)

    async def exchange(
        self, opening: Frame, frames: Iterable[Frame], *, end: bool = True
    ) -> tuple[Held, Receipt | None]:
        held: Held | None = None

        async def stream() -> AsyncIterator[Frame]:
            yield opening
            for frame in frames:
                yield frame
            if end:
                yield EndFrame()

        async with aclosing(self.receiver.replicate(stream())) as replies:
            async for reply in replies:
                if isinstance(reply, Receipt):
                    assert held is not None
                    return held, reply
                held = reply
        raise AssertionError("no receipt")

    async def groups(self) -> list[ReceivedGroup]:
        return await self.records.list(100)

    async def keys(self) -> set[str]:
        return {str(key) async for key in self.store.keys()}  # noqa: SIM118 - not a dict

    async def request(self, group: Group, segment: int, asker: Provider | None = None) -> tuple[PieceRequest, bytes]:
        asker = asker or self.primary
        request = PieceRequest(
            group.ref.object_id,
            group.ref.version,
            segment,
            COLUMN,
            asker.operator,
            self.me.operator,
            self.clock.now_ms() // 1000,
        )
        return request, await asker.signer.sign(request)

    async def get(self, request: PieceRequest, signature: bytes) -> bytes:
        return b"".join([chunk async for chunk in self.receiver.get_piece(request, signature)])


def piece_frames(group: Group, only: Iterable[int] | None = None, chunk_bytes: int = 100) -> list[Frame]:
    frames: list[Frame] = []
    for segment in range(len(group.pieces)) if only is None else only:
        piece = group.pieces[segment]
        frames.append(PieceFrame(SegmentIndex(segment), len(piece)))
        frames += [ChunkFrame(piece[at : at + chunk_bytes]) for at in range(0, len(piece), chunk_bytes)]
    return frames


@asynccontextmanager
async def open_world(dir: Path, config: ReceiverConfig | None = None) -> AsyncIterator[World]:
    ledger, now = LedgerDouble(), clock()
    async with CpuPool(1) as pool, open_database(f"sqlite:///{dir}/spdb.sqlite") as database:
        providers = Providers(ledger, now, pool, dir)
        me, primary = providers.add("me"), providers.add("primary")
        store, records = FaultyStore(MemoryStore()), Received(database, now)
        config = config or ReceiverConfig(chain_lag_s=0.05)
        receiver = service(ledger, store, records, me, now, pool, config)
        follower = ChainFollower(receiver, ledger, records, Cursors(database))
        collector = Collector(receiver, records, now, config.unsealed_ttl_s)
        yield World(ledger, providers, now, me, primary, store, database, records, receiver, follower, collector)


def service(
    ledger: LedgerDouble,
    store: FaultyStore,
    records: Received,
    me: Provider,
    now: ManualClock,
    pool: CpuPool,
    config: ReceiverConfig,
    receivers: Receivers | None = None,
    own_segments: Downloader | None = None,
) -> ReceiverService:
    """receivers: of the other providers; own_segments: of this one as a primary. Without them none answers."""
    claims = Claims(config.takeover_timeout_s)
    gatherer = Gatherer(me.signer, receivers or NobodyElse(), pool, now, piece_timeout_s=5.0)
    mender = Mender(ledger, store, records, claims, gatherer, best_kernel(), ByteBudget(1 << 20))
    checker = PieceChecker(store, mender, me.signer, pool)
    prover = Prover(gatherer, best_kernel())
    recoverer = GroupRecoverer(ledger, store, records, me.signer, claims, prover, ByteBudget(1 << 20))
    return ReceiverService(
        chain=ledger,
        store=store,
        records=records,
        signer=me.signer,
        clock=now,
        pool=pool,
        config=config,
        claims=claims,
        openings=Slots("openings", config.max_openings),
        streams=Slots("streams", config.max_streams),
        reads=Slots("reads", config.max_reads),
        streams_each=SlotsBySender("streams", config.max_streams_per_sp),
        segments=own_segments or cast("Downloader", NoSegments()),
        damaged=DamagedPieces(now),
        inspector=GroupInspector(ledger, records, checker, now, Slots("orders", 2), 4, recoverer),
    )


class NobodyElse:
    """The Receivers of providers none of which is there."""

    def replicate(
        self, endpoint: str, offer: Offer, signature: Signature, timeout_s: float
    ) -> AbstractAsyncContextManager[GroupSender]:
        raise ServiceUnavailable(endpoint, "not there")

    async def replicate_small(
        self, endpoint: str, offer: Offer, signature: Signature, piece: bytes | bytearray | memoryview, timeout_s: float
    ) -> Receipt:
        raise ServiceUnavailable(endpoint, "not there")

    def get_piece(
        self, endpoint: str, request: PieceRequest, signature: Signature, timeout_s: float
    ) -> AsyncIterator[bytes]:
        return _failing(ServiceUnavailable(endpoint, "not there"))

    async def get_checksums(
        self, endpoint: str, request: PieceRequest, signature: Signature, timeout_s: float
    ) -> tuple[Checksum, ...]:
        raise ServiceUnavailable(endpoint, "not there")


class NoSegments:
    """The Downloader of a provider that is primary of nothing."""

    def segment(self, object_id: ObjectId, version: int, index: SegmentIndex) -> AsyncIterator[bytes]:
        return _failing(PieceNotFound(f"segment {index} of object {object_id}"))


async def _failing(error: SpError) -> AsyncIterator[bytes]:
    nothing: tuple[bytes, ...] = ()
    for chunk in nothing:
        yield chunk
    raise error


def reconfigured(world: World, config: ReceiverConfig) -> World:
    """The same database and pieces under a Receiver that has just started."""
    receiver = service(world.ledger, world.store, world.records, world.me, world.clock, world.receiver.pool, config)
    return replace(
        world,
        receiver=receiver,
        follower=replace(world.follower, receiver=receiver),
        collector=Collector(receiver, world.records, world.clock, config.unsealed_ttl_s),
    )
