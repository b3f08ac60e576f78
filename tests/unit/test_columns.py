from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import cast

import pytest

from piecestore.memory import MemoryStore
from receiver.client import Receipt
from sp.crypto.ec import kernel
from sp.domain.erasure import encode_segment
from sp.domain.errors import PieceCorrupt, PieceNotFound, SpError
from sp.domain.ids import Checksum, JobId, RedundancyIndex, SegmentIndex, Signature
from sp.domain.integrity import piece_checksum
from sp.domain.jobs import Job
from sp.domain.params import StorageParams
from sp.domain.pieces import SegmentKey
from sp.runtime.limits import ByteBudget
from sp.runtime.pool import CpuPool
from tasknode.columns import Column, ColumnFeeder
from tasknode.memory import IDLE_REGIONS, MIN_MAPPED_BYTES, SegmentMemory

SEGMENT_BYTES = 6 << 20
JOB = JobId(1)
PARAMS = StorageParams(max_segment_size=SEGMENT_BYTES)


@dataclass
class _FakeJob:
    payload: bytes
    segment_checksums: list[Checksum] = field(default_factory=list)
    id: JobId = JOB
    params: StorageParams = PARAMS

    @property
    def payload_size(self) -> int:
        return len(self.payload)

    @property
    def segments(self) -> int:
        return -(-len(self.payload) // SEGMENT_BYTES)

    def segment(self, index: int) -> bytes:
        return self.payload[index * SEGMENT_BYTES : (index + 1) * SEGMENT_BYTES]


@dataclass
class _Secondary:
    """Keeps what it was sent; the one that is slow looks at a piece only a while after it was handed over."""

    got: dict[int, bytes] = field(default_factory=dict)
    held: dict[SegmentIndex, Checksum] = field(default_factory=dict)
    slow: bool = False

    async def send_piece(self, segment: SegmentIndex, piece: bytes | bytearray | memoryview) -> None:
        for _ in range(50 if self.slow else 0):
            await asyncio.sleep(0)
        self.got[segment] = bytes(piece)

    async def finish(self) -> Receipt:
        return Receipt(Checksum(bytes(32)), Signature(b""))


async def _stored(store: MemoryStore, size: int) -> _FakeJob:
    job = _FakeJob(os.urandom(size))
    for index in range(job.segments):
        job.segment_checksums.append(await store.put(SegmentKey(job.id, SegmentIndex(index)), job.segment(index)))
    return job


async def _accepted(_: Column) -> SpError | None:
    return None


def _columns(secondaries: list[_Secondary]) -> list[Column]:
    return [Column(RedundancyIndex(i), s, 10.0, _accepted) for i, s in enumerate(secondaries)]


@pytest.mark.parametrize("size", [1, 70_001, SEGMENT_BYTES, 5 * SEGMENT_BYTES + 12_345])
async def test_every_secondary_gets_its_column_whatever_memory_was_used_before(size: int) -> None:
    """The memory of a segment is used again for a later one, while slow columns still send from theirs."""
    store, ec = MemoryStore(), kernel("isal")
    job = await _stored(store, size)
    budget = ByteBudget(2 * SEGMENT_BYTES * 3 // 2)
    async with CpuPool(2) as pool:
        feeder = ColumnFeeder(store, pool, ec, budget)
        secondaries = [_Secondary(slow=number % 2 == 1) for number in range(6)]
        columns = _columns(secondaries)
        await feeder.feed(cast(Job, job), columns)
    for index in range(job.segments):
        pieces = encode_segment(job.segment(index), 4, 2, ec)
        for number, (column, secondary) in enumerate(zip(columns, secondaries, strict=True)):
            assert column.error is None
            assert secondary.got[index] == pieces[number]
            assert column.checksums[index] == piece_checksum(pieces[number])
    assert budget.used_bytes == 0


async def test_a_segment_that_cannot_be_read_gives_its_budget_back() -> None:
    store = MemoryStore()
    job = await _stored(store, 2 * SEGMENT_BYTES)
    await store.delete(SegmentKey(job.id, SegmentIndex(1)))
    budget = ByteBudget(64 << 20)
    async with CpuPool(2) as pool:
        feeder = ColumnFeeder(store, pool, kernel("isal"), budget)
        with pytest.raises(PieceNotFound):
            await feeder.feed(cast(Job, job), _columns([_Secondary() for _ in range(6)]))
    assert budget.used_bytes == 0


async def test_a_segment_that_has_rotted_is_not_sent() -> None:
    store = MemoryStore()
    job = await _stored(store, SEGMENT_BYTES)
    job.segment_checksums[0] = Checksum(bytes(32))
    secondaries = [_Secondary() for _ in range(6)]
    async with CpuPool(2) as pool:
        feeder = ColumnFeeder(store, pool, kernel("isal"), ByteBudget(64 << 20))
        with pytest.raises(PieceCorrupt):
            await feeder.feed(cast(Job, job), _columns(secondaries))
    assert not any(secondary.got for secondary in secondaries)


async def test_memory_is_used_again_while_there_is_work() -> None:
    memory = SegmentMemory()
    with memory.in_use():
        first, second = memory.take(MIN_MAPPED_BYTES, 100), memory.take(MIN_MAPPED_BYTES, 100)
        assert first.segment is not second.segment
        memory.give(first)
        assert memory.take(MIN_MAPPED_BYTES, 100) is first
        memory.give(first)
        other = memory.take(MIN_MAPPED_BYTES + 1, 100)
        assert (len(other.segment), len(other.parity)) == (MIN_MAPPED_BYTES + 1, 100)
        assert memory.take(MIN_MAPPED_BYTES, 100) is not first  # regions of one size only are kept
        memory.give(other)
        assert memory.take(MIN_MAPPED_BYTES + 1, 100) is other
        for region in (kept := [memory.take(MIN_MAPPED_BYTES, 0) for _ in range(IDLE_REGIONS + 1)]):
            memory.give(region)
        again = [memory.take(MIN_MAPPED_BYTES, 0) for _ in kept]
        assert sum(any(region is each for each in kept) for region in again) == IDLE_REGIONS


async def test_memory_is_kept_after_the_last_work() -> None:
    memory = SegmentMemory()
    with memory.in_use():
        region = memory.take(MIN_MAPPED_BYTES, 0)
        memory.give(region)
    await _turns()
    with memory.in_use():
        assert memory.take(MIN_MAPPED_BYTES, 0) is region


async def test_memory_is_let_go_of_when_nobody_has_come_back_for_it() -> None:
    memory = SegmentMemory(kept_s=0.0)
    with memory.in_use():
        region = memory.take(MIN_MAPPED_BYTES, 0)
        with memory.in_use():
            memory.give(region)
        await _turns()
        assert memory.take(MIN_MAPPED_BYTES, 0) is region  # one was still at work
        memory.give(region)
    with memory.in_use():  # back in time
        await _turns()
        assert memory.take(MIN_MAPPED_BYTES, 0) is region
        memory.give(region)
    await _turns()
    with memory.in_use():
        assert memory.take(MIN_MAPPED_BYTES, 0) is not region


async def _turns() -> None:
    """Of the event loop: what is due is done."""
    for _ in range(3):
        await asyncio.sleep(0)


def test_small_segments_leave_no_memory_behind() -> None:
    memory = SegmentMemory()
    with memory.in_use():
        small = memory.take(4096, 2048)
        memory.give(small)
        assert memory.take(4096, 2048) is not small
