"""Small puts through the Uploader's service: one transaction, no file, and nothing but a record when they fail."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from piecestore.memory import MemoryStore
from piecestore.store import PieceStore
from sp.domain.errors import (
    ConfigError,
    IntegrityMismatch,
    ObjectNotCreated,
    ObjectTooLarge,
    PayloadSizeMismatch,
    PreconditionFailed,
    SpError,
)
from sp.domain.ids import Checksum, JobId, ObjectId
from sp.domain.integrity import integrity_hash, piece_checksum
from sp.domain.jobs import Job, JobFilter, Precondition, PutOrder
from sp.domain.lifecycle import JobState
from sp.domain.params import StorageParams
from spdb.resumables import Resumables
from tests.contracts.spdb_world import ACCOUNT, UP, World
from tests.sim.database import NoFaults, SimDatabase, memory_database
from uploader.backlog import Backlog
from uploader.config import UploaderConfig
from uploader.service import UploaderService

BODY = b"a small object" * 100
PARAMS = StorageParams(max_segment_size=16 * 1024, max_payload_size=64 * 1024)


class Told:
    """A task node that takes hints."""

    def __init__(self) -> None:
        self.jobs: list[JobId] = []

    def tell(self, job_id: JobId) -> None:
        self.jobs.append(job_id)


class Counted(SimDatabase):
    """writes: transactions"""

    writes = 0

    async def write(self, op: Any) -> Any:
        self.writes += 1
        return await super().write(op)


@dataclass
class Site:
    world: World
    db: Counted
    pieces: MemoryStore = field(default_factory=MemoryStore)
    told: Told = field(default_factory=Told)

    def uploader(self, **settings: int) -> UploaderService:
        config = UploaderConfig(**settings)
        jobs, clock = self.world.jobs, self.world.clock
        resumables = Resumables(self.db, clock, self.world.new_job_id, config.resumable_keep_ms)
        return UploaderService(
            cast("PieceStore", self.pieces), jobs, self.told.tell, cast("Any", clock), config,
            config.admission(), Backlog(jobs, config.max_queued_jobs), UP, resumables,
        )  # fmt: skip

    async def keys(self) -> list[str]:
        stored = self.pieces.keys()
        return [str(key) async for key in stored]

    async def jobs(self) -> list[Job]:
        return await self.world.jobs.list(JobFilter())


@pytest.fixture
def site() -> Iterator[Site]:
    connection = memory_database()
    db = Counted(connection, NoFaults())
    yield Site(World(db), db)
    connection.close()
    connection.engine.dispose()


def order(size: int | None = len(BODY), **more: Any) -> PutOrder:
    return PutOrder("photos", "k", ACCOUNT, size, PARAMS, **more)


async def body_of(*chunks: bytes, then: Exception | None = None) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if then is not None:
        raise then


async def test_a_small_put_is_one_transaction_and_no_piece(site: Site) -> None:
    receipt = await site.uploader().put(order(tags={"a": "b"}), body_of(BODY[:5], b"", BODY[5:]), lambda: {"x": "y"})
    assert site.db.writes == 1
    assert await site.keys() == []
    assert site.told.jobs == [receipt.job_id]
    assert (receipt.payload_size, receipt.root) == (len(BODY), integrity_hash([piece_checksum(BODY)]))
    entry = await site.world.objects.content("photos", "k")
    assert entry is not None
    assert (entry.job.id, entry.small, entry.tags, entry.job.headers) == (receipt.job_id, BODY, {"a": "b"}, {"x": "y"})
    assert entry.job.state is JobState.UPLOAD_OBJECT_DONE


async def test_an_empty_put_is_one_transaction(site: Site) -> None:
    receipt = await site.uploader().put(order(0), body_of())
    assert (site.db.writes, receipt.payload_size, receipt.root) == (1, 0, Checksum(hashlib.sha256().digest()))


@pytest.mark.parametrize(
    ("size", "limit"),
    [(None, 32_768), (len(BODY), 0), (len(BODY), len(BODY) - 1), (0, 0), (PARAMS.max_segment_size + 1, 32_768)],
    ids=["size not said", "switched off", "above the limit", "empty, switched off", "two segments"],
)
async def test_what_is_not_small_becomes_pieces(site: Site, size: int | None, limit: int) -> None:
    body = BODY if size is None else bytes(size)
    receipt = await site.uploader(small_object_bytes=limit).put(order(size), body_of(body))
    entry = await site.world.objects.content("photos", "k")
    assert entry is not None
    assert (entry.job.id, entry.small) == (receipt.job_id, None)
    assert len(await site.keys()) == -(-len(body) // PARAMS.max_segment_size)
    assert site.db.writes == 2


async def test_exactly_the_limit_and_exactly_one_segment_are_small(site: Site) -> None:
    await site.uploader(small_object_bytes=len(BODY)).put(order(), body_of(BODY))
    full = bytes(PARAMS.max_segment_size)
    await site.uploader().put(order(len(full)), body_of(full))
    assert (site.db.writes, await site.keys()) == (2, [])


class Gone(Exception):
    """The client went away."""


@pytest.mark.parametrize(
    ("chunks", "then", "failure"),
    [
        ((BODY[:7],), Gone("in the middle"), Gone),
        ((BODY,), Gone("its digest does not fit"), Gone),
        ((BODY[:7],), None, PayloadSizeMismatch),
        ((BODY, b"x"), None, PayloadSizeMismatch),
    ],
    ids=["broken off", "a wrong digest", "too short", "too long"],
)
async def test_a_small_put_that_fails_leaves_its_record_and_nothing_else(
    site: Site, chunks: tuple[bytes, ...], then: Exception | None, failure: type[Exception]
) -> None:
    before = await site.uploader().put(order(), body_of(BODY))
    with pytest.raises(failure) as failed:
        await site.uploader().put(order(), body_of(*chunks, then=then))
    await check_only_recorded(site, before.job_id, failed.value)


async def check_only_recorded(site: Site, before: JobId, failure: Exception) -> None:
    entry = await site.world.objects.content("photos", "k")
    assert entry is not None
    assert (entry.job.id, entry.small) == (before, BODY)
    assert await site.world.small.page(-1, 9) == [before]
    record, _ = await site.jobs()
    assert record.state is JobState.UPLOAD_OBJECT_ERROR
    assert record.error == (str(failure) if isinstance(failure, SpError) else f"{type(failure).__name__}: {failure}")
    assert [row.event for row in await site.world.jobs.history(record.id)][-1] == "upload failed"


async def test_other_bytes_than_the_chain_expects_are_refused(site: Site) -> None:
    expected = integrity_hash([piece_checksum(BODY)])
    promised = order(object_id=ObjectId(9), expected_root=expected)
    with pytest.raises(IntegrityMismatch):
        await site.uploader().put(promised, body_of(BODY[::-1]))
    receipt = await site.uploader().put(promised, body_of(BODY))
    assert receipt.root == expected
    with pytest.raises(ObjectNotCreated):
        await site.uploader().put(promised, body_of(BODY))
    assert [job.state for job in await site.jobs()] == [JobState.UPLOAD_OBJECT_DONE, JobState.UPLOAD_OBJECT_ERROR]


async def test_a_precondition_is_checked_with_the_acknowledgement(site: Site) -> None:
    first = replace(order(), precondition=Precondition(absent=True))
    before = await site.uploader().put(first, body_of(BODY))
    with pytest.raises(PreconditionFailed) as failed:
        await site.uploader().put(first, body_of(BODY))
    await check_only_recorded(site, before.job_id, failed.value)


async def test_more_than_the_chain_allows_is_refused_before_anything_is_recorded(site: Site) -> None:
    tiny = replace(order(), params=replace(PARAMS, max_payload_size=10))
    with pytest.raises(ObjectTooLarge):
        await site.uploader().put(tiny, body_of(BODY))
    assert await site.jobs() == []


async def test_a_put_that_is_cancelled_in_its_body_is_recorded(site: Site) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield BODY[:1]
        await asyncio.Event().wait()

    putting = asyncio.create_task(site.uploader().put(order(), endless()))
    for _ in range(5):
        await asyncio.sleep(0)
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    (record,) = await site.jobs()
    assert (record.state, record.error) == (JobState.UPLOAD_OBJECT_ERROR, "CancelledError")


@pytest.mark.parametrize("size", [-1, 128 * 1024 + 1])
def test_a_limit_that_is_not_small_is_refused(size: int) -> None:
    with pytest.raises(ConfigError):
        UploaderConfig(small_object_bytes=size)
