"""Switches for tests: what goes wrong on purpose."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Faults:
    """pause_blocks:           no new block, except on demand
    drop_next_txs:          accept this many transactions and forget them
    fail_next_broadcasts:   take this many transactions into the pool and answer that it failed
    block_delay_ms:         added to the time before each block
    """

    pause_blocks: bool = False
    drop_next_txs: int = 0
    fail_next_broadcasts: int = 0
    block_delay_ms: int = 0

    def drop(self) -> bool:
        """Whether to forget this one; counts it."""
        self.drop_next_txs -= (due := self.drop_next_txs > 0)
        return due

    def fail(self) -> bool:
        self.fail_next_broadcasts -= (due := self.fail_next_broadcasts > 0)
        return due
