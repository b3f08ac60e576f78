"""The `[chain_node]` section of a development chain's own configuration file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from sp.domain.errors import ConfigError


class Production(Enum):
    INTERVAL = "interval"  # a block every block_interval_ms, with or without transactions
    WHEN_PENDING = "when_pending"  # a block as soon as a transaction waits, and on demand: tests need no waiting


@dataclass(frozen=True, slots=True)
class ChainNodeConfig:
    """listen:  "host:port" or "unix:path"
    dir:      the node's own folder
    genesis:  JSON file; only the first start may find an empty folder, and a later one must find the same genesis
    max_txs_per_block: answers that list one block's transactions stay within one message up to 500
    max_pool_txs: more are refused as Overloaded
    history_txs: results and events of so many transactions are remembered
    snapshot_every: so many transactions and blocks may have to be executed again at a start (or, with very many
        objects, a tenth of their number)
    faults:   whether SetFaults is allowed: for tests
    """

    listen: str = "127.0.0.1:9090"
    dir: Path = Path("chain")
    genesis: Path = Path("genesis.json")
    block_interval_ms: int = 1000
    production: Production = Production.INTERVAL
    max_txs_per_block: int = 500
    max_pool_txs: int = 10_000
    history_txs: int = 500_000
    snapshot_every: int = 2000
    faults: bool = False

    def __post_init__(self) -> None:
        for name in ("block_interval_ms", "max_pool_txs", "history_txs", "snapshot_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"[chain_node] {name}", "must be at least 1")
        if not 1 <= self.max_txs_per_block <= 500:
            raise ConfigError("[chain_node] max_txs_per_block", "must be 1..500")
