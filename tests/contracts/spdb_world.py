"""One SPDB with a clock that stands still, and short ways to bring jobs where a test wants them."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import Connection

from sp.domain.approvals import Approval, ObjectRef, SignedApproval
from sp.domain.ids import Address, Checksum, JobId, ObjectId, RedundancyIndex
from sp.domain.integrity import integrity_hash, piece_checksum
from sp.domain.jobs import Job, Move, PutOrder, Secondary, SecondaryState, StoredPayload
from sp.domain.lifecycle import TABLE, JobEvent, JobState
from sp.domain.params import StorageParams
from sp.runtime.clock import ManualClock
from spdb.cursors import Cursors
from spdb.database import Database
from spdb.deletions import Deletions
from spdb.jobs import Jobs
from spdb.objects import Objects
from spdb.peers import Peers
from spdb.received import Received
from spdb.small_segments import SmallSegments
from spdb.statements import uploads

LEASE_MS = 30_000
UP = "uploader"
TN = "tasknode-a"
OTHER_TN = "tasknode-b"
ACCOUNT = Address("0x" + "a" * 40)
ME = Address("0x" + "1" * 40)
PAYLOAD = StoredPayload(3, Checksum(b"r" * 32), (Checksum(b"s" * 32),))


def provider(number: int) -> Address:
    return Address(f"0x{number:040x}")


def order(name: str = "photo", *, bucket: str = "bucket", object_id: int | None = None, version: int = 0) -> PutOrder:
    known = None if object_id is None else ObjectId(object_id)
    return PutOrder(
        bucket,
        name,
        ACCOUNT,
        3,
        StorageParams(),
        headers={"content-type": "image/png"},
        object_id=known,
        version=version,
        request_id="req",
    )


def approval(subject: ObjectRef, number: int) -> SignedApproval:
    return SignedApproval(Approval(subject, ME, provider(number), 1_900_000_000, 1000 + number), bytes([number]) * 65)


def secondary(job: Job, index: int, number: int) -> Secondary:
    signed = approval(job.object_ref(), number)
    return Secondary(job.id, RedundancyIndex(index), provider(number), signed, SecondaryState.CHOSEN)


def stored_of(payload: bytes, **headers: str) -> StoredPayload:
    checksums = (piece_checksum(payload),) if payload else ()
    return StoredPayload(len(payload), integrity_hash(checksums), checksums, headers)


def paths() -> dict[JobState, tuple[JobEvent, ...]]:
    """The shortest way from UPLOAD_OBJECT_DONE to every state behind it."""
    found: dict[JobState, tuple[JobEvent, ...]] = {JobState.UPLOAD_OBJECT_DONE: ()}
    waiting = deque([JobState.UPLOAD_OBJECT_DONE])
    while waiting:
        state = waiting.popleft()
        for (source, event), target in TABLE.items():
            if source is state and target not in found:
                found[target] = (*found[state], event)
                waiting.append(target)
    return found


PATHS = paths()


def job_ids() -> Iterator[int]:
    return itertools.count(2**61)


@dataclass
class World:
    db: Database
    clock: ManualClock = field(default_factory=ManualClock)
    ids: Iterator[int] = field(default_factory=job_ids)

    def __post_init__(self) -> None:
        self.jobs = Jobs(self.db, self.clock, self.new_job_id)
        self.objects = Objects(self.db, self.clock)
        self.deletions = Deletions(self.db, self.clock)
        self.received = Received(self.db, self.clock)
        self.peers = Peers(self.db, self.clock)
        self.cursors = Cursors(self.db)
        self.small = SmallSegments(self.db)

    def new_job_id(self) -> JobId:
        return JobId(next(self.ids))

    def now(self) -> int:
        return self.clock.now_ms()

    async def begin(self, name: str = "photo", **how: object) -> Job:
        return await self.jobs.begin_upload(order(name, **how), UP, LEASE_MS)  # type: ignore[arg-type]  # passed through

    async def put(self, name: str = "photo", **how: object) -> Job:
        """An acknowledged put: UPLOAD_OBJECT_DONE."""
        return await self.jobs.finish_upload(await self.begin(name, **how), PAYLOAD, UP)

    async def put_small(self, name: str = "photo", payload: bytes = b"abc", **how: object) -> Job:
        """An acknowledged put, with its payload beside its row."""
        return await self.jobs.put_small(order(name, **how), stored_of(payload), payload, UP)  # type: ignore[arg-type]  # passed through

    async def put_many(self, names: list[str], bucket: str) -> None:
        """Many at once, in one transaction."""
        now = self.now()
        ids = [self.new_job_id() for _ in names]

        def put_all(connection: Connection) -> None:
            for job_id, name in zip(ids, names, strict=True):
                job = uploads.begin(connection, job_id, order(name, bucket=bucket), UP, LEASE_MS, now)
                assert job is not None
                uploads.finish(connection, job, PAYLOAD, UP, now)

        await self.db.write(put_all)

    async def take_one(self, owner: str = TN) -> Job:
        (job,) = await self.jobs.take(owner, LEASE_MS, 1)
        return job

    async def lead(self, job: Job, state: JobState) -> Job:
        """By the shortest legal way from UPLOAD_OBJECT_DONE."""
        for event in PATHS[state]:
            job = await self.jobs.move(job, Move(event, TN))
        return job

    async def allocating(self, name: str = "photo", object_id: int = 77) -> Job:
        """Taken by TN, in ALLOC_SECONDARY_DOING, with its object on chain."""
        await self.put(name)
        job = await self.take_one()
        return await self.jobs.move(
            job, Move(JobEvent.ALLOCATION_STARTED, TN, object_id=ObjectId(object_id), version=0)
        )

    async def replicating(self, spares: int = 2) -> Job:
        """Taken by TN, six secondaries chosen: providers 1..6 in columns 0..5; spares are 7, 8, ..."""
        job = await self.allocating()
        subject = job.object_ref()
        return await self.jobs.choose_secondaries(
            job,
            [secondary(job, i, i + 1) for i in range(6)],
            [approval(subject, 7 + i) for i in range(spares)],
            Move(JobEvent.SECONDARIES_CHOSEN, TN),
            Move(JobEvent.REPLICATION_STARTED, TN),
        )
