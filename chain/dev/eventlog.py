"""The events of the newest blocks, for all services of a process: so that they ask the node only for older ones."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from sp.domain.ledger import Block, ChainEvent

EVENTS_KEPT: Final = 10_000


class EventLog:
    """All events of the blocks above `floor`; nothing (None) after a gap, until the next block."""

    def __init__(self, limit: int = EVENTS_KEPT) -> None:
        self._limit = limit
        self._floor: int | None = None
        self._newest = 0
        self._blocks: list[Block] = []
        self._count = 0

    def hear(self, block: Block | None) -> None:
        """The next block, all before it were heard of or had no events; None: some may have been missed."""
        if block is None:
            self._floor, self._blocks, self._count = None, [], 0
            return
        if self._floor is None:
            self._floor = block.height - 1
        self._newest = block.height
        if block.events:
            self._blocks.append(block)
            self._count += len(block.events)
            self._tidy()

    def after(self, height: int, limit_blocks: int) -> tuple[int, list[ChainEvent]] | None:
        """As `Chain.events`; None when some of them are not here."""
        if self._floor is None or height < self._floor:
            return None
        start = bisect_right(self._blocks, height, key=lambda block: block.height)
        stop = start + max(1, limit_blocks)
        taken = self._blocks[start:stop]
        more = stop < len(self._blocks)
        return (taken[-1].height if more else max(self._newest, height)), [e for block in taken for e in block.events]

    def _tidy(self) -> None:
        """Never the newest block's: who follows closely is always answered from here."""
        dropped = 0
        while self._count > self._limit and dropped < len(self._blocks) - 1:
            self._count -= len(self._blocks[dropped].events)
            dropped += 1
        if dropped:
            self._floor = self._blocks[dropped - 1].height
            del self._blocks[:dropped]
