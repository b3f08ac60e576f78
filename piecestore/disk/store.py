"""DiskStore: pieces as files below one directory, which several processes of one SP may share."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar, TypeVarTuple

import structlog

from piecestore.disk.direct_io import BlockPool, takes_direct_writes
from piecestore.disk.layout import Layout, key_at
from piecestore.disk.sync import ShardDirectories, make_directories, store_errors, sync_directory
from piecestore.disk.temporary import TemporaryPiece, create_locked, discard, sweep
from piecestore.disk.writer import DiskWriter
from piecestore.notes import BlockNotes
from piecestore.ranges import exact_stop
from piecestore.store import Absorb, Buffer
from sp.domain.errors import PieceNotFound, ShortPiece
from sp.domain.ids import Checksum
from sp.domain.pieces import PieceKey

Ts = TypeVarTuple("Ts")
T = TypeVar("T")

STORE: Final = "disk"
_MAX_READ_BYTES: Final = 1 << 30  # one pread(2) gives 2 GiB - 4 KiB at most
_KEYS_PER_BATCH: Final = 1000
_READS_AHEAD: Final = hasattr(os, "posix_fadvise")

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_disk_store(
    root: Path, executor: Executor | None = None, *, direct_io: bool = True, notes: BlockNotes | None = None
) -> AsyncIterator[DiskStore]:
    """Make the directories, remove what crashed writers left, find out about direct I/O. StoreFull, StoreFailed.

    executor: runs all blocking work, and belongs to the caller; None: the event loop's own, bounded one
    notes: gets what is written
    """
    loop = asyncio.get_running_loop()
    layout, direct, swept = await loop.run_in_executor(executor, _prepare, root, direct_io)
    log.info("piece_store_open", root=str(layout.root), direct_io=direct, abandoned_writes_removed=swept)
    yield DiskStore(layout, executor, direct_io=direct, notes=notes)


def _prepare(root: Path, direct_io: bool) -> tuple[Layout, bool, int]:
    layout = Layout(root.absolute())
    with store_errors(STORE):
        make_directories(layout.temporary)
        swept = sweep(layout.temporary)
        fd, path = create_locked(layout.temporary)
        try:
            return layout, direct_io and takes_direct_writes(fd), swept
        finally:
            discard(fd, path)


class DiskStore:
    """See PieceStore for the contract. `open_disk_store` prepares what this takes for granted: the directories, and
    whether the file system takes direct writes. Holds no file open between calls."""

    def __init__(
        self, layout: Layout, executor: Executor | None = None, *, direct_io: bool, notes: BlockNotes | None = None
    ) -> None:
        self._layout = layout
        self._executor = executor
        self._direct_io = direct_io
        self._shards = ShardDirectories(layout.root)
        self._blocks = BlockPool()
        self._notes = notes or BlockNotes()

    @asynccontextmanager
    async def writer(self, key: PieceKey) -> AsyncIterator[DiskWriter]:
        temporary = TemporaryPiece(STORE, self._layout.temporary, direct_io=self._direct_io)
        target = self._layout.path(key)
        writer = DiskWriter(key, temporary, target, self._shards, self._blocks, self._executor, self._notes)
        try:
            yield writer
        finally:
            await writer.close()

    async def put(self, key: PieceKey, payload: Buffer) -> Checksum:
        async with self.writer(key) as writer:
            await writer.write(payload)
            return await writer.commit()

    async def get(self, key: PieceKey, start: int = 0, stop: int | None = None, absorb: Absorb | None = None) -> bytes:
        return await self._run(_read, self._layout.path(key), key, start, stop, absorb)

    async def get_into(
        self, key: PieceKey, buffer: memoryview, absorb: Callable[[memoryview], object] | None = None
    ) -> None:
        reading = self._start(_read_into, self._layout.path(key), key, buffer, absorb)
        with store_errors(STORE):
            await _settled(reading)

    async def size(self, key: PieceKey) -> int:
        return await self._run(_size, self._layout.path(key), key)

    async def delete(self, key: PieceKey) -> None:
        await self._run(_delete, self._layout.path(key))

    async def keys(self) -> AsyncIterator[PieceKey]:
        """Shard by shard: holds the names of one of the 4,096 directories and up to 1,000 more. Files that the store
        did not put where they are get passed over."""
        shards = self._layout.shards()
        while batch := await self._run(_list, shards):
            for key in batch:
                yield key

    async def free_bytes(self) -> int:
        return await self._run(_free_bytes, self._layout.root)

    async def _run(self, call: Callable[[*Ts], T], *args: *Ts) -> T:
        with store_errors(STORE):
            return await self._start(call, *args)

    def _start(self, call: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._executor, call, *args)


async def _settled(reading: asyncio.Future[None]) -> None:
    """Its end, which a cancelled caller waits for as well: the thread writes into memory that will be used again."""
    try:
        await asyncio.shield(reading)
    except asyncio.CancelledError:
        while not reading.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([reading])
        if not reading.cancelled():
            reading.exception()  # retrieved: nobody is left to hear it
        raise


def _read(path: Path, key: PieceKey, start: int, stop: int | None, absorb: Absorb | None) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise PieceNotFound(str(key)) from None
    try:
        size_bytes = os.fstat(fd).st_size
        until = exact_stop(key, size_bytes, start, stop)
        if _READS_AHEAD and start == 0 and until < size_bytes:  # whoever begins at the beginning will want the rest
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED)
        piece = _read_exactly(fd, key, start, until)
    finally:
        os.close(fd)
    if absorb is not None:
        absorb(piece)
    return piece


def _read_into(path: Path, key: PieceKey, buffer: memoryview, absorb: Callable[[memoryview], object] | None) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise PieceNotFound(str(key)) from None
    try:
        exact_stop(key, os.fstat(fd).st_size, 0, len(buffer))
        done = 0
        while done < len(buffer):
            read = os.preadv(fd, [buffer[done : done + _MAX_READ_BYTES]], done)
            if not read:
                raise ShortPiece(str(key), done, len(buffer))
            done += read
    finally:
        os.close(fd)
    if absorb is not None:
        absorb(buffer)


def _read_exactly(fd: int, key: PieceKey, start: int, stop: int) -> bytes:
    """One read and no copy, but for a piece that is too large for one, or that someone cuts meanwhile."""
    parts = []
    while start < stop:
        part = os.pread(fd, min(stop - start, _MAX_READ_BYTES), start)
        if not part:
            raise ShortPiece(str(key), start, stop)
        parts.append(part)
        start += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _size(path: Path, key: PieceKey) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        raise PieceNotFound(str(key)) from None


def _delete(path: Path) -> None:
    """Each delete syncs its directory, also when the name is gone already: an earlier delete may have stopped between
    the two steps, and a piece that returns after a power cut would be found by nobody but the collector."""
    path.unlink(missing_ok=True)
    if path.parent.is_dir():
        sync_directory(path.parent)


def _list(shards: Iterator[Path]) -> list[PieceKey]:
    """The keys of the next shards, about a thousand; none only when no shard is left."""
    keys: list[PieceKey] = []
    for shard in shards:
        if shard.is_dir():
            keys.extend(key for path in shard.iterdir() if (key := key_at(path)) is not None)
        if len(keys) >= _KEYS_PER_BATCH:
            break
    return keys


def _free_bytes(root: Path) -> int:
    space = os.statvfs(root)
    return space.f_bavail * space.f_frsize
