"""Making names durable, and telling what the operating system said."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sp.domain.errors import StoreFailed, StoreFull

PRIVATE_DIRECTORY: Final = 0o700
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def store_errors(store: str) -> Iterator[None]:
    """OSError leaves as StoreFull or StoreFailed, which carries the errno's name and never a path."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise StoreFull(store) from error
        raise StoreFailed(store, errno.errorcode.get(error.errno or 0, type(error).__name__)) from error


def sync_directory(directory: Path) -> None:
    """The names in it survive a power cut. A file system that cannot promise this raises: better than to pretend."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directories(directory: Path) -> None:
    """The directory and what is missing above it, each entry synced in its parent."""
    if not directory.is_dir():
        make_directories(directory.parent)
        directory.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
        sync_directory(directory.parent)


class ShardDirectories:
    """Makes shard directories when first used, and remembers which are known to be durable.

    A directory found present is synced all the same once per process: another process may have made it a moment ago
    and not have synced its entry yet, while our piece in it is about to be promised.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._durable: set[Path] = set()  # at most 16 + 4,096 paths

    def ensure(self, shard: Path) -> None:
        for directory in (shard.parent, shard):
            if directory not in self._durable:
                directory.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
                sync_directory(directory.parent)
                self._durable.add(directory)
