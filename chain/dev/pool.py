"""Transactions that wait for a block, in the order they came."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from chain.dev.apply import Tx
from sp.domain.errors import Overloaded
from sp.domain.ids import Address, TxHash


class Pool:
    """filled: set while anything waits"""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._txs: dict[TxHash, Tx] = {}
        self._per_signer: Counter[Address] = Counter()
        self.filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._txs)

    def __contains__(self, tx_hash: TxHash) -> bool:
        return tx_hash in self._txs

    def waiting(self, signer: Address) -> int:
        """How many transactions of this account are here."""
        return self._per_signer[signer]

    def add(self, tx: Tx) -> None:
        """A checked one. Overloaded when the pool is full."""
        if len(self._txs) >= self._limit:
            raise Overloaded(f"{self._limit} transactions in the chain's pool")
        self._txs[tx.hash] = tx
        self._per_signer[tx.signer] += 1
        self.filled.set()

    def oldest(self, limit: int) -> list[Tx]:
        """Those for the next block. They stay until `settle`: their nonces are taken."""
        return [tx for _, tx in zip(range(limit), self._txs.values(), strict=False)]

    def settle(self, txs: Sequence[Tx]) -> None:
        """They are in a block now."""
        for tx in txs:
            del self._txs[tx.hash]
            self._per_signer[tx.signer] -= 1
            if not self._per_signer[tx.signer]:
                del self._per_signer[tx.signer]
        if not self._txs:
            self.filled.clear()
