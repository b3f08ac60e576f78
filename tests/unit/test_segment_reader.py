"""Reading one segment: every byte verified, memory bounded by the budget, whichever way it is read."""

from __future__ import annotations

import hashlib
from contextlib import aclosing
from random import Random

import pytest

from downloader.reading import SegmentReader
from piecestore.faulty import FaultyStore
from piecestore.memory import MemoryStore
from piecestore.notes import BLOCK_BYTES
from piecestore.store import Absorb
from sp.domain.errors import PieceCorrupt, ShortPiece
from sp.domain.ids import Checksum, JobId, SegmentIndex
from sp.domain.pieces import PieceKey, SegmentKey
from sp.runtime.limits import ByteBudget

KEY = SegmentKey(JobId(7), SegmentIndex(0))
SIZE = 3 * BLOCK_BYTES + 5
PAYLOAD = Random(1).randbytes(SIZE)
CHECKSUM = Checksum(hashlib.sha256(PAYLOAD).digest())
ROOM, NO_ROOM = 4 * BLOCK_BYTES, BLOCK_BYTES

RANGES = [
    (0, SIZE),
    (0, 1),
    (SIZE - 1, SIZE),
    (BLOCK_BYTES, 2 * BLOCK_BYTES),
    (BLOCK_BYTES - 1, BLOCK_BYTES + 1),
    (7, SIZE - 7),
]


class RottingStore(MemoryStore):
    """Gives true bytes for the first `reads` reads of a block, damaged ones after that."""

    reads = 0

    async def get(self, key: PieceKey, start: int = 0, stop: int | None = None, absorb: Absorb | None = None) -> bytes:
        block = await super().get(key, start, stop)
        self.reads -= 1
        block = block if self.reads >= 0 else bytes([block[0] ^ 1]) + block[1:]
        if absorb is not None:
            absorb(block)
        return block


class CountingStore(MemoryStore):
    bytes_read = 0

    async def get(self, key: PieceKey, start: int = 0, stop: int | None = None, absorb: Absorb | None = None) -> bytes:
        block = await super().get(key, start, stop, absorb)
        self.bytes_read += len(block)
        return block


async def all_of(reader: SegmentReader, start: int, stop: int, got: bytearray | None = None) -> bytes:
    """got: has what came, also when the rest does not"""
    got = bytearray() if got is None else got
    async with aclosing(reader.read(KEY, SIZE, CHECKSUM, start, stop)) as blocks:
        async for block in blocks:
            got += block
    return bytes(got)


@pytest.mark.parametrize("memory", [ROOM, NO_ROOM], ids=["kept", "read again"])
@pytest.mark.parametrize(("start", "stop"), RANGES)
async def test_any_range_comes_out_as_it_was_put(memory: int, start: int, stop: int) -> None:
    store, budget = MemoryStore(), ByteBudget(memory)
    await store.put(KEY, PAYLOAD)
    assert await all_of(SegmentReader(store, budget), start, stop) == PAYLOAD[start:stop]
    assert budget.used_bytes == 0


@pytest.mark.parametrize("memory", [ROOM, NO_ROOM], ids=["kept", "read again"])
async def test_no_byte_of_a_damaged_segment_leaves(memory: int) -> None:
    store, budget = MemoryStore(), ByteBudget(memory)
    await store.put(KEY, PAYLOAD[:-1] + bytes([PAYLOAD[-1] ^ 1]))
    left = bytearray()
    with pytest.raises(PieceCorrupt):
        await all_of(SegmentReader(store, budget), 0, SIZE, left)
    assert not left
    assert budget.used_bytes == 0


async def test_a_segment_that_rots_between_the_passes_stops_before_the_bad_block() -> None:
    store = RottingStore()
    await store.put(KEY, PAYLOAD)
    store.reads = 4 + 2  # the first pass, and two blocks of the second
    got = bytearray()
    with pytest.raises(PieceCorrupt):
        await all_of(SegmentReader(store, ByteBudget(NO_ROOM)), 0, SIZE, got)
    assert got == PAYLOAD[: 2 * BLOCK_BYTES]


async def test_what_is_kept_is_read_once_and_let_go_of_block_by_block() -> None:
    store, budget = RottingStore(), ByteBudget(ROOM)
    await store.put(KEY, PAYLOAD)
    store.reads = 4  # a second reading would find it damaged
    async with aclosing(SegmentReader(store, budget).read(KEY, SIZE, CHECKSUM, 0, SIZE)) as blocks:
        held = [budget.used_bytes async for _ in blocks]
    assert held == [SIZE, SIZE - BLOCK_BYTES, SIZE - 2 * BLOCK_BYTES, SIZE - 3 * BLOCK_BYTES]
    assert budget.used_bytes == 0


async def test_a_reader_that_stops_in_the_middle_gives_its_share_back() -> None:
    store, budget = MemoryStore(), ByteBudget(ROOM)
    await store.put(KEY, PAYLOAD)
    async with aclosing(SegmentReader(store, budget).read(KEY, SIZE, CHECKSUM, 0, SIZE)) as blocks:
        await anext(blocks)
        assert budget.used_bytes == SIZE
    assert budget.used_bytes == 0


async def test_a_second_reader_finds_no_room_and_reads_all_the_same() -> None:
    store, budget = MemoryStore(), ByteBudget(ROOM)
    await store.put(KEY, PAYLOAD)
    reader = SegmentReader(store, budget)
    async with aclosing(reader.read(KEY, SIZE, CHECKSUM, 0, SIZE)) as slow:
        await anext(slow)
        assert await all_of(reader, 0, SIZE) == PAYLOAD
        assert budget.used_bytes == SIZE


@pytest.mark.parametrize("memory", [ROOM, NO_ROOM], ids=["kept", "read again"])
async def test_a_segment_that_is_too_short_is_refused(memory: int) -> None:
    store, budget = MemoryStore(), ByteBudget(memory)
    await store.put(KEY, PAYLOAD[:-1])
    with pytest.raises(ShortPiece):
        await all_of(SegmentReader(store, budget), 0, SIZE)
    assert budget.used_bytes == 0


@pytest.mark.parametrize("memory", [ROOM, NO_ROOM], ids=["kept", "read again"])
async def test_a_range_of_a_segment_that_was_verified_before_costs_its_own_blocks_alone(memory: int) -> None:
    store = CountingStore()
    await store.put(KEY, PAYLOAD)
    reader = SegmentReader(store, ByteBudget(memory))
    await all_of(reader, 0, 1)
    store.bytes_read = 0
    assert await all_of(reader, BLOCK_BYTES + 3, BLOCK_BYTES + 9) == PAYLOAD[BLOCK_BYTES + 3 : BLOCK_BYTES + 9]
    assert store.bytes_read == BLOCK_BYTES


async def test_a_segment_that_rots_after_it_was_verified_is_found_out_by_the_next_reader() -> None:
    store = FaultyStore(MemoryStore())
    await store.put(KEY, PAYLOAD)
    reader = SegmentReader(store, ByteBudget(ROOM))
    await all_of(reader, 0, SIZE)
    store.corrupt(KEY, BLOCK_BYTES + 5)
    got = bytearray()
    with pytest.raises(PieceCorrupt):
        await all_of(reader, 0, SIZE, got)
    assert got == PAYLOAD[:BLOCK_BYTES]


async def test_what_is_noted_of_one_content_says_nothing_of_another_under_the_same_key() -> None:
    store = MemoryStore()
    await store.put(KEY, PAYLOAD)
    reader = SegmentReader(store, ByteBudget(ROOM))
    await all_of(reader, 0, SIZE)
    with pytest.raises(PieceCorrupt):
        async with aclosing(reader.read(KEY, SIZE, Checksum(bytes(32)), 0, SIZE)) as blocks:
            await anext(blocks)
