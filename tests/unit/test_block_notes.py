"""What is noted when a piece is hashed, and that what was read again is held against it."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from downloader.reading import SegmentReader
from piecestore.disk import DiskStore, open_disk_store
from piecestore.disk.layout import Layout
from piecestore.notes import BLOCK_BYTES, NOTED_PIECES, BlockNotes
from piecestore.verified import read_verified_into
from sp.crypto.checksums import crc64
from sp.domain.errors import PieceCorrupt
from sp.domain.ids import Checksum, JobId, SegmentIndex, UploadId
from sp.domain.multipart import Part, PartState
from sp.domain.pieces import SegmentKey
from sp.runtime.limits import ByteBudget
from sp.runtime.pool import CpuPool
from uploader.multipart.assembly import payload_of

KEY = SegmentKey(JobId(7), SegmentIndex(0))
SIZES = [BLOCK_BYTES + 1, 2 * BLOCK_BYTES, 3 * BLOCK_BYTES + 5]
PAYLOAD = Random(1).randbytes(max(SIZES))


def checksum_of(payload: bytes) -> Checksum:
    return Checksum(hashlib.sha256(payload).digest())


def crcs_of(payload: bytes) -> list[int]:
    return [crc64(payload[start : start + BLOCK_BYTES]) for start in range(0, len(payload), BLOCK_BYTES)]


@pytest.fixture
def notes() -> BlockNotes:
    return BlockNotes()


@pytest.fixture
async def store(tmp_path: Path, notes: BlockNotes) -> AsyncIterator[DiskStore]:
    async with open_disk_store(tmp_path, notes=notes) as opened:
        yield opened


async def read_all(reader: SegmentReader, checksum: Checksum, got: bytearray) -> None:
    """All but the first three bytes; `got` has what came, also when the rest does not."""
    async with aclosing(reader.read(KEY, len(PAYLOAD), checksum, 3, len(PAYLOAD))) as blocks:
        async for block in blocks:
            got += block


def damage(root: Path, offset: int) -> None:
    with Layout(root).path(KEY).open("r+b") as piece:
        piece.seek(offset)
        piece.write(bytes([PAYLOAD[offset] ^ 1]))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("chunk_bytes", [BLOCK_BYTES, 100_003], ids=["blocks", "odd chunks"])
async def test_a_put_notes_the_crc_of_each_block(
    store: DiskStore, notes: BlockNotes, size: int, chunk_bytes: int
) -> None:
    async with store.writer(KEY) as writer:
        for start in range(0, size, chunk_bytes):
            await writer.write(PAYLOAD[start : min(start + chunk_bytes, size)])
        assert notes.of(KEY, checksum_of(PAYLOAD[:size])) is None  # it is not there yet
        await writer.commit()
    noted = notes.of(KEY, checksum_of(PAYLOAD[:size]))
    assert noted is not None
    assert list(noted) == crcs_of(PAYLOAD[:size])


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES])
async def test_nothing_is_noted_of_one_block(store: DiskStore, notes: BlockNotes, size: int) -> None:
    assert notes.of(KEY, await store.put(KEY, PAYLOAD[:size])) is None


async def test_a_put_that_is_given_up_notes_nothing(store: DiskStore, notes: BlockNotes) -> None:
    async with store.writer(KEY) as writer:
        await writer.write(PAYLOAD)
    assert notes.of(KEY, checksum_of(PAYLOAD)) is None


@pytest.mark.parametrize("size", SIZES)
async def test_who_codes_a_new_segment_compares_and_finds_out_what_has_rotted(
    tmp_path: Path, store: DiskStore, notes: BlockNotes, size: int
) -> None:
    checksum, buffer = await store.put(KEY, PAYLOAD[:size]), memoryview(bytearray(size))
    await read_verified_into(store, KEY, checksum, buffer, notes)
    assert buffer == PAYLOAD[:size]
    damage(tmp_path, size - 1)
    with pytest.raises(PieceCorrupt, match="when read again"):
        await read_verified_into(store, KEY, checksum, buffer, notes)


async def test_in_another_process_the_first_reading_hashes_and_the_next_compares(
    tmp_path: Path, store: DiskStore
) -> None:
    checksum, buffer, elsewhere = await store.put(KEY, PAYLOAD), memoryview(bytearray(len(PAYLOAD))), BlockNotes()
    await read_verified_into(store, KEY, checksum, buffer, elsewhere)
    noted = elsewhere.of(KEY, checksum)
    assert noted is not None
    assert list(noted) == crcs_of(PAYLOAD)
    damage(tmp_path, 5)
    with pytest.raises(PieceCorrupt, match="when read again"):
        await read_verified_into(store, KEY, checksum, buffer, elsewhere)
    with pytest.raises(PieceCorrupt) as hashed:
        await read_verified_into(store, KEY, checksum, buffer, BlockNotes())
    assert "crc64" not in str(hashed.value)


async def test_a_reading_that_fails_notes_nothing(tmp_path: Path, store: DiskStore) -> None:
    checksum, elsewhere = await store.put(KEY, PAYLOAD), BlockNotes()
    damage(tmp_path, 5)
    with pytest.raises(PieceCorrupt):
        await read_verified_into(store, KEY, checksum, memoryview(bytearray(len(PAYLOAD))), elsewhere)
    assert elsewhere.of(KEY, checksum) is None


async def test_the_first_reader_of_a_new_object_gets_no_byte_of_a_block_that_has_rotted(
    tmp_path: Path, store: DiskStore, notes: BlockNotes
) -> None:
    checksum = await store.put(KEY, PAYLOAD)
    reader = SegmentReader(store, ByteBudget(8 * BLOCK_BYTES), notes)
    got = bytearray()
    await read_all(reader, checksum, got)
    assert got == PAYLOAD[3:]
    damage(tmp_path, BLOCK_BYTES)
    got.clear()
    with pytest.raises(PieceCorrupt):
        await read_all(reader, checksum, got)
    assert got == PAYLOAD[3:BLOCK_BYTES]


async def test_a_part_that_has_rotted_since_it_was_put_does_not_come_through(
    tmp_path: Path, store: DiskStore, notes: BlockNotes
) -> None:
    part = Part(UploadId(7), 1, 1, PartState.STORED, len(PAYLOAD), size=len(PAYLOAD))
    part = replace(part, piece_checksums=(await store.put(part.key(0), PAYLOAD),))
    async with CpuPool(1) as pool:
        assert b"".join([block async for block in payload_of([part], store, pool, notes)]) == PAYLOAD
        path = Layout(tmp_path).path(part.key(0))
        path.write_bytes(PAYLOAD[:-1] + bytes([PAYLOAD[-1] ^ 1]))
        with pytest.raises(PieceCorrupt, match="when read again"):
            async for _ in payload_of([part], store, pool, notes):
                pass


def test_the_pieces_used_last_stay_noted(notes: BlockNotes) -> None:
    checksum = Checksum(bytes(32))
    first, second = SegmentKey(JobId(1), SegmentIndex(0)), SegmentKey(JobId(2), SegmentIndex(0))
    for number in range(1, NOTED_PIECES + 1):
        notes.note(SegmentKey(JobId(number), SegmentIndex(0)), checksum, array("Q", [number, number]))
    assert notes.of(first, checksum) is not None  # used again
    notes.note(SegmentKey(JobId(0), SegmentIndex(0)), checksum, array("Q", [0, 0]))
    assert notes.of(first, checksum) is not None
    assert notes.of(second, checksum) is None
