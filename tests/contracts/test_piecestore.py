"""Every PieceStore backend, and the wrapper, held to the docstrings of piecestore/store.py."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from piecestore.disk import open_disk_store
from piecestore.disk.writer import DiskWriter
from piecestore.faulty import FaultyStore
from piecestore.memory import MemoryStore, MemoryWriter
from piecestore.notes import BlockNotes
from piecestore.small import WithSmallSegments
from piecestore.store import Buffer, PieceStore, PieceWriter
from piecestore.verified import read_verified, read_verified_into
from sp.domain.errors import InvalidRequest, PieceCorrupt, PieceExists, PieceNotFound, ShortPiece
from sp.domain.ids import Checksum, JobId, ObjectId, RedundancyIndex, SegmentIndex
from sp.domain.pieces import EcPieceKey, PieceKey, SegmentKey
from spdb.database import Database, open_database
from spdb.small_segments import SmallSegments
from spdb.statements import small_segments, uploads
from tests.contracts.spdb_world import LEASE_MS, UP, World, order
from tests.sim.database import NoFaults, SimDatabase, memory_database
from tests.sim.disk import Disk, SimStore

MIB = 1 << 20
KEY = SegmentKey(JobId(7), SegmentIndex(0))
OTHER = EcPieceKey(ObjectId(9), 2, SegmentIndex(3), RedundancyIndex(5))
EDGES = (0, 1, 4095, 4096, 4097, 65536, 128 << 10, MIB - 1, MIB, MIB + 1, 2 * MIB + 4096 + 5)

Backend = Callable[[Path], AbstractAsyncContextManager[PieceStore]]


@asynccontextmanager
async def _disk(root: Path) -> AsyncIterator[PieceStore]:
    async with open_disk_store(root) as store:
        yield store


@asynccontextmanager
async def _disk_through_the_page_cache(root: Path) -> AsyncIterator[PieceStore]:
    async with open_disk_store(root, direct_io=False) as store:
        yield store


@asynccontextmanager
async def _memory(_: Path) -> AsyncIterator[PieceStore]:
    yield MemoryStore()


@asynccontextmanager
async def _faulty(_: Path) -> AsyncIterator[PieceStore]:
    yield FaultyStore(MemoryStore())


@asynccontextmanager
async def _simulated(_: Path) -> AsyncIterator[PieceStore]:
    yield SimStore(Disk())


@dataclass(frozen=True, slots=True)
class _FirstSegmentsAreRows(WithSmallSegments):
    """What is put under the key of a first segment becomes a row beside its job's, whatever its size."""

    db: Database

    @asynccontextmanager
    async def writer(self, key: PieceKey) -> AsyncIterator[PieceWriter]:
        async with super(_FirstSegmentsAreRows, self).writer(key) as writer:
            first = isinstance(key, SegmentKey) and key.segment == 0 and isinstance(writer, MemoryWriter | DiskWriter)
            yield _RowWriter(self.db, key, bytearray()) if first else writer  # type: ignore[arg-type]  # it is a SegmentKey


@dataclass(frozen=True, slots=True)
class _RowWriter:
    db: Database
    key: SegmentKey
    piece: bytearray

    @property
    def size(self) -> int:
        return len(self.piece)

    async def write(self, chunk: Buffer) -> None:
        self.piece.extend(memoryview(chunk))

    async def commit(self) -> Checksum:
        await self.db.write(self._insert)
        return _checksum(bytes(self.piece))

    def _insert(self, connection: Connection) -> None:
        held = small_segments.get(connection, self.key.job_id)
        if held is None:
            uploads.begin(connection, self.key.job_id, order(), UP, LEASE_MS, 0)
            small_segments.put(connection, self.key.job_id, bytes(self.piece))
        elif held != self.piece:
            raise PieceExists(str(self.key))


@asynccontextmanager
async def _small_ones_beside_a_disk(root: Path) -> AsyncIterator[PieceStore]:
    async with open_disk_store(root) as store, open_database(f"sqlite:///{root}.sqlite") as db:
        yield WithSmallSegments(store, SmallSegments(db))


@asynccontextmanager
async def _rows_beside_a_disk(root: Path) -> AsyncIterator[PieceStore]:
    async with open_disk_store(root) as store, open_database(f"sqlite:///{root}.sqlite") as db:
        yield _FirstSegmentsAreRows(store, SmallSegments(db), db)


@asynccontextmanager
async def _rows_beside_memory(_: Path) -> AsyncIterator[PieceStore]:
    connection = memory_database()
    db = SimDatabase(connection, NoFaults())
    yield _FirstSegmentsAreRows(MemoryStore(), SmallSegments(db), db)
    connection.close()
    connection.engine.dispose()


BACKENDS: dict[str, Backend] = {
    "memory": _memory,
    "disk": _disk,
    "disk without O_DIRECT": _disk_through_the_page_cache,
    "faulty over memory": _faulty,
    "the simulation's": _simulated,
    "disk, with small segments in SQLite": _small_ones_beside_a_disk,
    "rows in SQLite beside a disk": _rows_beside_a_disk,
    "rows in SQLite beside memory": _rows_beside_memory,
}


@pytest.fixture(params=BACKENDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[PieceStore]:
    async with BACKENDS[request.param](tmp_path / "pieces") as opened:
        yield opened


def _checksum(piece: bytes) -> Checksum:
    return Checksum(hashlib.sha256(piece).digest())


async def _keys(store: PieceStore) -> list[PieceKey]:
    return [key async for key in store.keys()]  # noqa: SIM118 - a store is no dict


@pytest.mark.parametrize("size", EDGES)
async def test_a_piece_reads_back_as_written_with_the_sha256_of_its_bytes(store: PieceStore, size: int) -> None:
    piece = os.urandom(size)
    assert await store.put(KEY, piece) == _checksum(piece)
    assert await store.get(KEY) == piece
    assert await store.size(KEY) == size


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_any_buffer_is_taken_and_may_be_reused_after_write(
    store: PieceStore, kind: Callable[[bytearray], bytes | bytearray | memoryview]
) -> None:
    source = bytearray(b"a" * 100_000)
    async with store.writer(KEY) as writer:
        await writer.write(kind(source))
        source[:] = b"b" * 100_000
        await writer.write(kind(source))
        assert writer.size == 200_000
        await writer.commit()
    assert await store.get(KEY) == b"a" * 100_000 + b"b" * 100_000


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=25)
@given(sizes=st.lists(st.sampled_from(EDGES), max_size=5), seed=st.binary(min_size=1, max_size=8))
def test_how_a_piece_is_cut_into_chunks_changes_nothing(backend: str, sizes: list[int], seed: bytes) -> None:
    whole = hashlib.shake_128(seed).digest(sum(sizes))

    async def put_in_chunks(root: Path) -> None:
        async with BACKENDS[backend](root) as store:
            async with store.writer(KEY) as writer:
                for start, size in zip(_starts(sizes), sizes, strict=True):
                    await writer.write(memoryview(whole)[start : start + size])
                assert writer.size == len(whole)
                assert await writer.commit() == _checksum(whole)
            assert await store.get(KEY) == whole

    with tempfile.TemporaryDirectory() as root:
        asyncio.run(put_in_chunks(Path(root)))


def _starts(sizes: list[int]) -> list[int]:
    return [sum(sizes[:i]) for i in range(len(sizes))]


async def test_a_range_is_exact(store: PieceStore) -> None:
    piece = os.urandom(300_000)
    await store.put(KEY, piece)
    assert await store.get(KEY, 4097, 200_001) == piece[4097:200_001]
    assert await store.get(KEY, 299_999) == piece[-1:]
    assert await store.get(KEY, 0, 0) == b""
    assert await store.get(KEY, 300_000) == b""


async def test_a_range_past_the_end_is_refused_not_shortened(store: PieceStore) -> None:
    await store.put(KEY, b"abc")
    assert await store.get(KEY, 1, 3) == b"bc"
    with pytest.raises(ShortPiece) as refused:
        await store.get(KEY, 1, 4)
    assert (refused.value.size, refused.value.stop) == (3, 4)
    with pytest.raises(ShortPiece):
        await store.get(KEY, 4)


async def test_an_absent_piece_is_not_found_by_get_or_size(store: PieceStore) -> None:
    await store.put(OTHER, b"x")
    with pytest.raises(PieceNotFound):
        await store.get(KEY)
    with pytest.raises(PieceNotFound):
        await store.size(KEY)


async def test_a_piece_is_invisible_until_it_is_committed(store: PieceStore) -> None:
    async with store.writer(KEY) as writer:
        await writer.write(os.urandom(3 * MIB))
        assert await _keys(store) == []
        with pytest.raises(PieceNotFound):
            await store.get(KEY)
        await writer.commit()
        assert await store.size(KEY) == 3 * MIB


@pytest.mark.parametrize("size", [10, 3 * MIB])
async def test_leaving_without_commit_leaves_nothing_under_the_key(store: PieceStore, size: int) -> None:
    async with store.writer(KEY) as writer:
        await writer.write(os.urandom(size))
    with pytest.raises(PieceNotFound):
        await store.size(KEY)
    assert await _keys(store) == []


async def test_an_error_in_the_body_passes_through_and_leaves_nothing(store: PieceStore) -> None:
    async def fail_half_way() -> None:
        async with store.writer(KEY) as writer:
            await writer.write(os.urandom(2 * MIB))
            raise LookupError

    with pytest.raises(LookupError):
        await fail_half_way()
    assert await _keys(store) == []


async def test_the_same_bytes_again_are_no_change(store: PieceStore) -> None:
    piece = os.urandom(2 * MIB + 7)
    first = await store.put(KEY, piece)
    assert await store.put(KEY, piece) == first
    assert await store.get(KEY) == piece
    assert await _keys(store) == [KEY]


@pytest.mark.parametrize("other", [b"old piecE", b"old piece and more", b""])
async def test_other_bytes_under_a_taken_key_are_refused_and_the_old_ones_stay(store: PieceStore, other: bytes) -> None:
    await store.put(KEY, b"old piece")
    with pytest.raises(PieceExists):
        await store.put(KEY, other)
    assert await store.get(KEY) == b"old piece"


async def test_of_concurrent_puts_of_one_key_the_first_to_commit_stays_and_the_others_are_told(
    store: PieceStore,
) -> None:
    pieces = [bytes([n % 4]) * (MIB + n % 4) for n in range(12)]
    outcomes = await asyncio.gather(*(store.put(KEY, piece) for piece in pieces), return_exceptions=True)
    stored = await store.get(KEY)
    for piece, outcome in zip(pieces, outcomes, strict=True):
        if piece == stored:
            assert outcome == _checksum(piece)
        else:
            assert isinstance(outcome, PieceExists)


async def test_a_deleted_piece_is_gone_and_its_key_is_free_for_other_bytes(store: PieceStore) -> None:
    await store.put(KEY, b"old")
    await store.delete(KEY)
    with pytest.raises(PieceNotFound):
        await store.get(KEY)
    await store.put(KEY, b"new")
    assert await store.get(KEY) == b"new"


async def test_deleting_an_absent_piece_succeeds(store: PieceStore) -> None:
    await store.delete(KEY)
    await store.put(KEY, b"x")
    await store.delete(KEY)
    await store.delete(KEY)
    assert await _keys(store) == []


async def test_keys_names_every_piece_of_both_kinds_once(store: PieceStore) -> None:
    segments: list[PieceKey] = [SegmentKey(JobId(2**63 - 1 - n), SegmentIndex(n)) for n in range(40)]
    columns: list[PieceKey] = [
        EcPieceKey(ObjectId(n + 1), n % 3, SegmentIndex(n), RedundancyIndex(n % 6)) for n in range(40)
    ]
    await asyncio.gather(*(store.put(key, str(key).encode()) for key in (*segments, *columns)))
    assert sorted(map(str, await _keys(store))) == sorted(map(str, (*segments, *columns)))


async def test_a_listing_may_be_left_early_and_begun_again(store: PieceStore) -> None:
    for n in range(5):
        await store.put(SegmentKey(JobId(n), SegmentIndex(0)), b"x")
    async for _ in store.keys():
        break
    assert len(await _keys(store)) == 5


async def test_a_store_tells_the_space_it_has_left(store: PieceStore) -> None:
    assert await store.free_bytes() > 0


async def test_two_pieces_may_be_written_at_once_without_mixing(store: PieceStore) -> None:
    one, two = os.urandom(3 * MIB), os.urandom(3 * MIB)
    async with store.writer(KEY) as first, store.writer(OTHER) as second:
        for start in range(0, 3 * MIB, 100_000):
            await first.write(one[start : start + 100_000])
            await second.write(two[start : start + 100_000])
        await second.commit()
        await first.commit()
    assert (await store.get(KEY), await store.get(OTHER)) == (one, two)


async def test_who_reads_may_absorb_what_is_read_on_its_way(store: PieceStore) -> None:
    await store.put(KEY, b"0123456789")
    absorbed: list[bytes] = []
    assert await store.get(KEY, 2, 5, absorbed.append) == b"234"
    assert await store.get(KEY, absorb=absorbed.append) == b"0123456789"
    with pytest.raises(ShortPiece):
        await store.get(KEY, 8, 11, absorbed.append)
    assert absorbed == [b"234", b"0123456789"]


async def test_a_piece_is_read_into_memory_that_the_caller_has(store: PieceStore) -> None:
    checksum = await store.put(KEY, b"0123456789")
    room = bytearray(12)
    absorbed: list[bytes] = []
    await store.get_into(KEY, memoryview(room)[1:6], lambda read: absorbed.append(bytes(read)))
    assert (bytes(room), absorbed) == (b"\x0001234\0\0\0\0\0\0", [b"01234"])
    await read_verified_into(store, KEY, checksum, memoryview(room)[:10], BlockNotes())
    assert room[:10] == b"0123456789"
    with pytest.raises(PieceCorrupt):
        await read_verified_into(store, KEY, _checksum(b"another"), memoryview(room)[:10], BlockNotes())
    with pytest.raises(ShortPiece):
        await store.get_into(KEY, memoryview(room)[:11])
    with pytest.raises(PieceNotFound):
        await store.get_into(OTHER, memoryview(room)[:1])


async def test_a_verified_read_gives_the_piece_or_says_what_is_wrong(store: PieceStore) -> None:
    checksum = await store.put(KEY, b"piece")
    assert await read_verified(store, KEY, checksum) == b"piece"
    with pytest.raises(PieceCorrupt) as found:
        await read_verified(store, KEY, _checksum(b"another"))
    assert (found.value.expected, found.value.actual) == (_checksum(b"another").hex(), checksum.hex())


async def test_a_key_that_spells_a_path_is_refused_by_the_disk(tmp_path: Path) -> None:
    evil = SegmentKey("../../../etc/passwd", SegmentIndex(0))  # type: ignore[arg-type]  # what a type checker forbids
    async with open_disk_store(tmp_path / "pieces") as store:
        with pytest.raises(InvalidRequest):
            await store.put(evil, b"x")
        with pytest.raises(InvalidRequest):
            await store.get(evil)


# --- what is put in SPDB, and read here


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_database(f"sqlite:///{tmp_path}/spdb.sqlite") as db:
        yield World(db)


async def test_a_small_put_is_a_piece_until_it_is_deleted_and_put_again_below(world: World) -> None:
    below = MemoryStore()
    store = WithSmallSegments(below, world.small)
    job = await world.put_small(payload=b"0123456789")
    key, second = SegmentKey(job.id, SegmentIndex(0)), SegmentKey(job.id, SegmentIndex(1))
    assert await store.get(key, 2, 5) == b"234"
    assert (await store.size(key), await _keys(store), await _keys(below)) == (10, [key], [])
    for absent in (second, SegmentKey(JobId(job.id + 1), SegmentIndex(0)), OTHER):
        with pytest.raises(PieceNotFound):
            await store.get(absent)
    assert await store.put(key, b"0123456789") == _checksum(b"0123456789")
    with pytest.raises(PieceExists):
        await store.put(key, b"other")
    assert await _keys(below) == []
    await store.delete(second)
    assert await store.get(key) == b"0123456789"
    await store.delete(key)
    assert await _keys(store) == []
    await store.put(key, b"repaired")
    assert (await store.get(key), await below.get(key)) == (b"repaired", b"repaired")


class _NoWrites:
    """A database that is read, and must not be written to."""

    def __init__(self, db: Database) -> None:
        self.read = db.read

    async def write(self, op: object) -> None:
        raise AssertionError("a transaction that writes, for nothing")


async def test_deleting_what_is_not_small_costs_no_transaction_that_writes(world: World) -> None:
    store = WithSmallSegments(MemoryStore(), SmallSegments(_NoWrites(world.db)))  # type: ignore[arg-type]  # a part of one
    for key in (KEY, SegmentKey(JobId(7), SegmentIndex(3)), OTHER):
        await store.put(key, b"x")
        await store.delete(key)
        with pytest.raises(PieceNotFound):
            await store.size(key)


async def test_keys_of_many_small_segments_come_in_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("piecestore.small.KEYS_PER_PAGE", 3)
    jobs = [await world.put_small(f"n{n}") for n in range(7)]
    store = WithSmallSegments(MemoryStore(), world.small)
    await store.put(OTHER, b"x")
    assert await _keys(store) == [OTHER, *(SegmentKey(job.id, SegmentIndex(0)) for job in jobs)]
