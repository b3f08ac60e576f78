"""A piece between its first byte and its name.

Every temporary file is locked (flock) while its writer lives, so that any process sharing the root can tell at once,
without clocks or process ids, which ones a crash has left behind.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import uuid
from pathlib import Path
from typing import Final

from piecestore.disk.direct_io import MIN_DIRECT_BYTES, set_direct, write_block
from piecestore.disk.sync import ShardDirectories, store_errors, sync_directory
from piecestore.notes import BLOCK_BYTES
from sp.domain.errors import PieceExists, StoreFailed

_PUBLISH_ATTEMPTS: Final = 8
"""A name that is taken when we link and gone when we compare means a delete ran in between; so often, it is no race."""


def create_locked(directory: Path) -> tuple[int, Path]:
    """A new empty file, open for writing and locked. The caller owns both."""
    while True:
        path = directory / f"{os.getpid()}-{uuid.uuid4().hex}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if _lock(fd) and os.fstat(fd).st_nlink:
                return fd, path
        except OSError:
            discard(fd, path)
            raise
        discard(fd, path)  # a sweep saw it in the instant before the lock: take another name


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def discard(fd: int, path: Path) -> None:
    """Unlinked before it is unlocked, so that no sweep meets it."""
    try:
        path.unlink(missing_ok=True)
    finally:
        os.close(fd)


def sweep(directory: Path) -> int:
    """Remove the temporary files whose writer is gone; how many. Those of live writers, in any process, stay."""
    return sum(_remove_abandoned(path) for path in directory.iterdir())


def _remove_abandoned(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:  # published or discarded since the listing
        return False
    try:
        abandoned = _lock(fd)
        if abandoned:
            path.unlink(missing_ok=True)
    finally:
        os.close(fd)
    return abandoned


class TemporaryPiece:
    """The file side of one writer. Methods block, belong in an executor, and may meet in several threads: a writer
    that is cancelled abandons the piece while its last write may still be running. The file opens at the first write.
    """

    def __init__(self, store: str, directory: Path, *, direct_io: bool) -> None:
        self._store = store
        self._directory = directory
        self._direct_io = direct_io
        self._direct = False
        self._lock = threading.Lock()
        self._file: tuple[int, Path] | None = None
        self._size = 0
        self._ended = False

    def write(self, block: memoryview) -> None:
        """Append; every block but the last is BLOCK_BYTES long. StoreFull, StoreFailed."""
        with self._lock, store_errors(self._store):
            if not self._ended:
                self._append(block)

    def publish(self, target: Path, checksum: bytes, shards: ShardDirectories) -> None:
        """Durable, and visible at `target`. checksum: sha256 of all that was written. PieceExists, StoreFailed.

        After an error that is not PieceExists the piece may be visible (the last step, the directory's sync, failed);
        it is whole then, and putting it again settles it.
        """
        with self._lock, store_errors(self._store):
            if self._ended:
                raise StoreFailed(self._store, "the write was abandoned")
            fd, path = self._opened()
            os.fdatasync(fd)
            shards.ensure(target.parent)
            self._link(path, target, checksum)
            self._end()
            sync_directory(target.parent)

    def abandon(self) -> None:
        """Remove the file, after a write that is under way; later calls do nothing. Nothing to do once published."""
        with self._lock, store_errors(self._store):
            self._end()

    def _end(self) -> None:
        self._ended = True
        if self._file is not None:
            file, self._file = self._file, None
            discard(*file)

    def _opened(self) -> tuple[int, Path]:
        if self._file is None:
            self._file = create_locked(self._directory)
        return self._file

    def _append(self, block: memoryview) -> None:
        fd, _ = self._opened()
        if self._size == 0 and self._direct_io and len(block) >= MIN_DIRECT_BYTES:
            set_direct(fd, True)
            self._direct = True
        assert self._size % BLOCK_BYTES == 0
        write_block(fd, block, self._size, direct=self._direct)
        self._size += len(block)

    def _link(self, path: Path, target: Path, checksum: bytes) -> None:
        """Give the file its name, or find the same bytes there. Never replaces: link(2) refuses a taken name."""
        for _ in range(_PUBLISH_ATTEMPTS):
            try:
                target.hardlink_to(path)
            except FileExistsError:
                try:
                    same = _holds(target, self._size, checksum)
                except FileNotFoundError:
                    continue
                if not same:
                    raise PieceExists(target.name) from None
            return
        raise StoreFailed(self._store, "the piece is put and deleted at the same time, over and over")


def _holds(target: Path, size_bytes: int, checksum: bytes) -> bool:
    with target.open("rb", buffering=0) as stored:
        return (
            os.fstat(stored.fileno()).st_size == size_bytes
            and hashlib.file_digest(stored, "sha256").digest() == checksum
        )
