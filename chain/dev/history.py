"""What happened: blocks with transactions, their events and results, for as long as the node remembers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from chain.dev.apply import Executed, Tx
from sp.domain.errors import EventsPruned
from sp.domain.ids import TxHash
from sp.domain.ledger import Block, ChainEvent, TxResult

BODIES_KEPT: Final = 10_000
BLOCKS_PER_ANSWER: Final = 1000
EVENTS_PER_ANSWER: Final = 1000
"""An answer ends with the block that reaches this: with the longest names, it then still fits into one message."""


@dataclass(slots=True)
class History:
    """limit:   transactions remembered; a few more until the next tidying
    blocks:  those with transactions, in order
    results: by hash, in order
    bodies:  the serialised TxBody of the newest transactions
    forgotten: height of the newest block that is no longer here, 0 for none
    """

    limit: int
    blocks: list[Block] = field(default_factory=list)
    results: dict[TxHash, TxResult] = field(default_factory=dict)
    bodies: dict[TxHash, bytes] = field(default_factory=dict)
    forgotten: int = 0

    def add(self, executed: Executed, txs: Sequence[Tx]) -> None:
        if not txs:
            return
        self.blocks.append(executed.block)
        self.results.update((result.tx_hash, result) for result in executed.results)
        self.bodies.update((tx.hash, tx.body) for tx in txs)
        _drop_oldest(self.bodies, len(self.bodies) - BODIES_KEPT)
        if len(self.results) > self.limit * 1.1 + 1:
            self._tidy()

    def blocks_after(self, height: int, limit: int) -> list[Block]:
        """The first ones above `height`, at most `limit`."""
        start = bisect_right(self.blocks, height, key=lambda block: block.height)
        return self.blocks[start : start + limit]

    def events_after(self, height: int, limit_blocks: int, newest: int) -> tuple[int, list[ChainEvent]]:
        """Events of at most `limit_blocks` blocks above `height`, and the height up to which these are all.

        newest: height of the newest block, which may be without transactions. EventsPruned when some of the events
        that were asked for are no longer here.
        """
        if height < self.forgotten:
            raise EventsPruned(height, self.forgotten)
        events: list[ChainEvent] = []
        covered = height
        for block in self.blocks_after(height, min(max(1, limit_blocks), BLOCKS_PER_ANSWER)):
            if events and len(events) + len(block.events) > EVENTS_PER_ANSWER:
                return covered, events
            events += block.events
            covered = block.height
        more = self.blocks_after(covered, 1)
        return (covered if more else max(newest, height)), events

    def copy(self) -> History:
        return History(self.limit, list(self.blocks), dict(self.results), dict(self.bodies), self.forgotten)

    def _tidy(self) -> None:
        surplus, count, dropped = len(self.results) - self.limit, 0, 0
        for block in self.blocks:
            if count >= surplus:
                break
            count += len(block.tx_hashes)
            dropped += 1
        self.forgotten = self.blocks[dropped - 1].height
        del self.blocks[:dropped]
        _drop_oldest(self.results, count)


def _drop_oldest(mapping: dict[TxHash, bytes] | dict[TxHash, TxResult], count: int) -> None:
    for key in list(islice(mapping, max(0, count))):
        del mapping[key]
