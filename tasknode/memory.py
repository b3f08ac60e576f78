"""Memory for whole segments and their parity, used again: the first touch of fresh pages costs more than the coding."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sp.runtime.mapped import mapped

IDLE_REGIONS: Final = 2
"""Kept between two segments: 48 MiB for segments of 16 MiB."""

KEPT_S: Final = 10.0
"""For so long after the last work, too: objects that come one by one would have it cleared anew for each."""

MIN_MAPPED_BYTES: Final = 5 << 20
"""Below it memory comes from the heap, which does not give it back to the kernel each time (sp.runtime.malloc)."""


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    segment: memoryview
    parity: memoryview

    @property
    def sizes(self) -> tuple[int, int]:
        return len(self.segment), len(self.parity)


class SegmentMemory:
    """How much is out at a time is its users' matter: each takes what it has reserved. Idle regions, of one size at a
    time, are kept while someone is inside `in_use`, and for `kept_s` after the last one has left."""

    def __init__(self, kept_s: float = KEPT_S) -> None:
        self._kept_s = kept_s
        self._idle: list[Region] = []
        self._users = 0
        self._letting_go: asyncio.TimerHandle | None = None

    @contextmanager
    def in_use(self) -> Iterator[None]:
        self._users += 1
        if self._letting_go is not None:
            self._letting_go.cancel()
            self._letting_go = None
        try:
            yield
        finally:
            self._users -= 1
            if not self._users and self._idle:
                self._letting_go = asyncio.get_running_loop().call_later(self._kept_s, self._idle.clear)

    def take(self, segment_bytes: int, parity_bytes: int) -> Region:
        """Its bytes may be anything."""
        if self._idle and self._idle[0].sizes == (segment_bytes, parity_bytes):
            return self._idle.pop()
        size_bytes = segment_bytes + parity_bytes
        if size_bytes >= MIN_MAPPED_BYTES:
            self._idle.clear()  # so that what is kept and what is out are together no more than was out before
        whole = mapped(size_bytes) if size_bytes >= MIN_MAPPED_BYTES else memoryview(bytearray(size_bytes))
        return Region(whole[:segment_bytes], whole[segment_bytes:])

    def give(self, region: Region) -> None:
        """Nobody looks at its bytes any more."""
        if self._users and sum(region.sizes) >= MIN_MAPPED_BYTES:
            if self._idle and self._idle[0].sizes != region.sizes:
                self._idle.clear()
            if len(self._idle) < IDLE_REGIONS:
                self._idle.append(region)
