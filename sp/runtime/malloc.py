"""glibc's allocator, set for buffers of megabytes that come and go."""

from __future__ import annotations

import ctypes
import platform
from typing import Final

# mallopt(3) parameters, from glibc's malloc.h.
M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8

MIB: Final = 1024 * 1024

SETTINGS: Final = (
    # By default every buffer above 128 KiB (later: above the largest one freed) is mapped and unmapped by the kernel,
    # and each first touch of its pages costs more than hashing them. Chunks of 1 MiB, which every byte passes through,
    # and pieces of 4 MiB, which coding makes anew, stay in the heap; whole segments are mapped, so that they are given
    # back at once.
    (M_MMAP_THRESHOLD, 5 * MIB),
    (M_TRIM_THRESHOLD, 16 * MIB),
    # One arena per thread keeps freed megabytes where no other thread can use them. With eight uploads of 300 MB at
    # once (tests/e2e/test_memory.py) an SP of all seven services peaks at 219 MB with these three settings; 8 MiB and
    # 32 MiB for the first two cost it some 25 MB more.
    (M_ARENA_MAX, 2),
)


def tune_malloc() -> bool:
    """Apply SETTINGS, before the first threads start. False, and nothing done, where libc is not glibc."""
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return all(libc.mallopt(name, amount) == 1 for name, amount in SETTINGS)
