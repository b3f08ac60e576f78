"""Memory of megabytes in huge pages, where the kernel has them."""

from __future__ import annotations

import ctypes
import mmap
from typing import Final

HUGE_PAGE_BYTES: Final = 2 << 20


def mapped(size_bytes: int) -> memoryview:
    """Zeros, from the beginning of a huge page on: one fault for each of them instead of 512, and a device is told of
    one range of memory instead of 512. The kernel has it back once no view of it is left."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # a shared mapping, which is the default, has no huge pages
    region = mmap.mmap(-1, size_bytes + HUGE_PAGE_BYTES, flags=flags)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        region.madvise(mmap.MADV_HUGEPAGE)
    start = -ctypes.addressof(ctypes.c_char.from_buffer(region)) % HUGE_PAGE_BYTES
    return memoryview(region)[start : start + size_bytes]
