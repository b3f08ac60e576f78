"""What a simulated network is made of, the same for every seed: keys, genesis, configuration. Made once a process."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

from chain.dev.genesis import Genesis
from signer.accounts import AccountBook
from signer.client import CustodialAccount, SpKeys
from signer.keystore import create_keystore, open_keystore
from signer.sealing import Stretching
from sp.crypto.private import PrivateKey
from sp.domain.ids import Address
from sp.domain.ledger import SpStatus, StorageProvider
from sp.domain.params import StorageParams

PROVIDERS: Final = 8
PASSWORD: Final = "a password for simulations"
SEGMENT_BYTES: Final = 64
PARAMS: Final = StorageParams(max_segment_size=SEGMENT_BYTES, max_payload_size=4096, min_charge_size=1)
ACCOUNT_NAME: Final = "alice"

BLOCK_INTERVAL_MS: Final = 3000
GIVE_UP_AFTER_S: Final = 3 * 3600
UNSEALED_TTL_S: Final = 6 * 3600.0

SCRUBBING: Final[dict[str, object]] = {"scrub_bytes_per_s": 20_000, "scrub_pause_s": 100.0}

Sections = dict[str, dict[str, object]]


@dataclass(frozen=True, slots=True)
class Site:
    """One provider to be. dir: its keystore and its accounts, which no simulation changes"""

    number: int
    name: str
    dir: Path
    keys: SpKeys
    sections: Sections

    @property
    def p2p_endpoint(self) -> str:
        return f"{self.name}:7001"

    @property
    def receiver_endpoint(self) -> str:
        return f"{self.name}:7002"

    def record(self) -> StorageProvider:
        keys = self.keys
        return StorageProvider(
            id=self.number + 1,
            operator=keys.operator,
            funding=keys.funding,
            seal=keys.seal,
            approval=keys.approval,
            gc=keys.gc,
            status=SpStatus.IN_SERVICE,
            endpoint=f"http://{self.name}:7000",
            p2p_endpoint=self.p2p_endpoint,
            receiver_endpoint=self.receiver_endpoint,
            moniker=self.name,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """account: custodial at every provider; user: keeps its own key, and creates its objects on chain itself"""

    sites: tuple[Site, ...]
    account: PrivateKey
    user: PrivateKey
    genesis: Genesis


@cache
def plan() -> Plan:
    root = Path(tempfile.mkdtemp(prefix="sp-sim-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    chance = Random(0)
    account, user = PrivateKey.generate(chance.randbytes), PrivateKey.generate(chance.randbytes)
    sites = tuple(_site(root, number, chance, account) for number in range(PROVIDERS))
    genesis = Genesis(
        authority=Address(account.address), params=PARAMS, providers=tuple(site.record() for site in sites)
    )
    return Plan(sites, account, user, genesis)


def _site(root: Path, number: int, chance: Random, account: PrivateKey) -> Site:
    dir = root / f"sp{number}"
    (dir / "signer" / "accounts").mkdir(parents=True)
    (dir / "password").write_text(PASSWORD)
    keystore = dir / "signer" / "keystore.json"
    weak = Stretching(chance.randbytes(16), log2_n=2, r=1, p=1)
    keys = create_keystore(keystore, PASSWORD, chance.randbytes, stretching=weak)
    book = AccountBook(dir / "signer" / "accounts", open_keystore(keystore, PASSWORD).account_key, chance.randbytes)
    custodial = CustodialAccount(ACCOUNT_NAME, Address(account.address), "GNFDSIMULATED", 1_700_000_000)
    book.add(custodial, account, "secret/" + "s" * 33)
    return Site(number, f"sp{number}", dir, keys, _sections(f"sp{number}", keys))


def _sections(name: str, keys: SpKeys) -> Sections:
    """Times as in production, or longer where a poll would only cost simulated hours of idle turns."""
    return {
        "sp": {"name": name, "operator_address": keys.operator},
        "signer": {"password_file": "password"},
        "p2p": {
            "peer_listen": f"{name}:7001",
            "reserve_bytes": 0,
            "ping_interval_s": 600.0,
            "freeze_first_s": 10.0,
            "freeze_max_s": 60.0,
        },
        "receiver": {"listen": f"{name}:7002", "unsealed_ttl_s": UNSEALED_TTL_S, **SCRUBBING},
        "downloader": SCRUBBING,
        "tasknode": {
            "poll_interval_s": 30.0,
            "retry_max_delay_ms": 60_000,
            "retry_max_attempts": 1000,
            "give_up_after_ms": GIVE_UP_AFTER_S * 1000,
        },
        "uploader": {"keep_replaced_ms": 60_000, "keep_failed_ms": 3_600_000},
    }
