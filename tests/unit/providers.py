"""Providers with real keys and a real Signer each, known to one LedgerDouble."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from signer.accounts import AccountBook
from signer.keystore import ROLES, Keystore
from signer.nonces import Nonces
from signer.service import SignerService
from sp.crypto.private import PrivateKey
from sp.domain.ids import Address
from sp.domain.ledger import SpStatus, StorageProvider
from sp.runtime.clock import Clock, ManualClock
from sp.runtime.pool import CpuPool
from tests.unit.ledger_double import NOW_S, LedgerDouble


def counting_bytes(seed: str) -> Callable[[int], bytes]:
    """A source of bytes that is the same in every run, and never the same twice in one."""
    count = 0

    def draw(size: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_256(f"{seed} {count}".encode()).digest(size)

    return draw


@dataclass(frozen=True)
class Provider:
    record: StorageProvider
    signer: SignerService

    @property
    def operator(self) -> Address:
        return self.record.operator


@dataclass
class Providers:
    """Makes providers and registers them."""

    ledger: LedgerDouble
    clock: Clock
    pool: CpuPool
    dir: Path

    def add(self, name: str, endpoint: str = "", status: SpStatus = SpStatus.IN_SERVICE) -> Provider:
        draw = counting_bytes(name)
        keys = {role: PrivateKey.generate(draw) for role in ROLES}
        number = len(self.ledger.providers) + 1
        operator, funding, seal, approval, gc = (Address(keys[role].address) for role in ROLES)
        p2p, receiver = endpoint or f"{name}:9733", endpoint or f"{name}:9533"
        record = StorageProvider(
            number, operator, funding, seal, approval, gc, status, f"http://{name}", p2p, receiver, name
        )
        self.ledger.providers[record.operator] = record
        keystore = Keystore(keys, draw(32))
        accounts = AccountBook(self.dir / name, keystore.account_key, draw)
        nonces = Nonces(self.ledger, tries=3, block_timeout_s=5.0)
        return Provider(record, SignerService(keystore, accounts, self.ledger, nonces, self.clock, self.pool, draw))


def clock() -> ManualClock:
    """Stands at the ledger's present."""
    return ManualClock(NOW_S * 1000)
