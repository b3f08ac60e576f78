"""Writing past the page cache (O_DIRECT): steadier, and a third of the CPU time, where the file system takes it.

Direct writes need memory, offset and length to be multiples of the device's block. The memory is page-aligned by
BlockPool; only a piece's last bytes can break the rest, and those go through the page cache of the same file.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from collections import deque
from typing import Final

from piecestore.notes import BLOCK_BYTES
from sp.runtime.mapped import HUGE_PAGE_BYTES, mapped

ALIGNMENT_BYTES: Final = 4096
MIN_DIRECT_BYTES: Final = 128 << 10
"""Pieces below it are written through the page cache. Measured (README.md): small pieces are seldom a multiple of 4096
bytes, and then buffered is some 8% quicker; large ones mostly are, and then direct is 7% to 100% quicker."""

_O_DIRECT: Final[int] = getattr(os, "O_DIRECT", 0)  # Linux only
_REFUSALS: Final = frozenset({errno.EINVAL, errno.EOPNOTSUPP})


class BlockPool:
    """Page-aligned buffers of BLOCK_BYTES for reuse, since the first touch of fresh memory is what costs. Two of them
    are one huge page: in small pages a direct write of 1 MiB reaches the device as 256 ranges, and takes five times as
    long.

    Keeps at most `idle` of them; more may be out at a time, then the surplus is freed when it comes back. A buffer
    that a thread may still be using is not given back, merely forgotten. Safe to use from several threads.
    """

    def __init__(self, idle: int = 8) -> None:
        self._idle: deque[memoryview] = deque(maxlen=idle)

    def take(self) -> memoryview:
        try:
            return self._idle.pop()
        except IndexError:
            page = mapped(HUGE_PAGE_BYTES)
            self._idle.append(page[BLOCK_BYTES:])
            return page[:BLOCK_BYTES]

    def give(self, block: memoryview) -> None:
        self._idle.append(block)


def set_direct(fd: int, direct: bool) -> None:
    """OSError EINVAL where the file system has no direct I/O."""
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags | _O_DIRECT if direct else flags & ~_O_DIRECT)


def takes_direct_writes(fd: int) -> bool:
    """Whether the file system of this empty, throw-away file accepts what `write_block` will do."""
    if not _O_DIRECT:
        return False
    try:
        set_direct(fd, True)
        os.pwrite(fd, mmap.mmap(-1, ALIGNMENT_BYTES), 0)
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        return False
    return True


def write_block(fd: int, block: memoryview, offset: int, *, direct: bool) -> None:
    """All of `block` at `offset`.

    direct: the file is in direct mode. It leaves that mode for an unaligned end, which only a piece's last block has,
    and when the kernel stopped short at an offset from which direct mode cannot go on.
    """
    written = 0
    while written < len(block):
        left = len(block) - written
        if direct and (left < ALIGNMENT_BYTES or written % ALIGNMENT_BYTES):
            set_direct(fd, False)
            direct = False
        end = written + (left - left % ALIGNMENT_BYTES if direct else left)
        written += os.pwrite(fd, block[written:end], offset + written)
