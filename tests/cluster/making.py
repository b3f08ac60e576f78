"""What a network of tests is made of before it runs: accounts, ports, keys, configuration, genesis."""

from __future__ import annotations

import atexit
import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chain.dev.genesis import Genesis
from cli.testnet.ports import claimed_ports
from signer.client import SpKeys
from signer.keystore import create_keystore
from signer.sealing import Stretching
from sp.crypto.private import PrivateKey
from sp.domain.ids import Address
from sp.domain.ledger import SpStatus, StorageProvider
from sp.domain.params import StorageParams

REGION = "us-east-1"
PASSWORD = "a password for tests"
PORTS = ("gateway", "p2p", "receiver")

Sections = dict[str, dict[str, object]]

QUICK: Sections = {
    "tasknode": {"poll_interval_s": 0.2, "retry_first_delay_ms": 50, "retry_max_delay_ms": 400, "lease_ms": 2000},
    "uploader": {"collect_interval_s": 0.2, "keep_failed_ms": 0, "keep_replaced_ms": 0, "lease_ms": 2000},
}
"""Shorter waits than in production, so that tests of retries and collection are quick."""

_CLAIMS = ExitStack()
atexit.register(_CLAIMS.close)


@dataclass(frozen=True, slots=True)
class Account:
    """A custodial account: its chain key, and the S3 access key that stands for it."""

    key: PrivateKey
    access_key_id: str
    secret_access_key: str

    @classmethod
    def new(cls, number: int) -> Account:
        return cls(PrivateKey.generate(secrets.token_bytes), f"GNFDTESTACCESSKEY{number:03}", "secret/" + "s" * 33)

    @property
    def address(self) -> Address:
        return Address(self.key.address)


@dataclass(frozen=True, slots=True)
class Plan:
    """One provider to be: its directory (with its keys in it), its ports by service, its configuration.

    manual_chores: its chores run when a test calls `settle`, and only then
    """

    name: str
    dir: Path
    keys: SpKeys
    ports: Mapping[str, int]
    sections: Sections
    manual_chores: bool = False


def plans(dir: Path, count: int, changes: Mapping[str, Any], manual_chores: bool) -> tuple[int, list[Plan]]:
    """The chain's port, and that many providers below `dir`. changes: to every one's configuration, by section"""
    chain_port, *ports = free_ports(1 + count * len(PORTS))
    step = len(PORTS)
    made = [
        _plan(dir, n, dict(zip(PORTS, ports[n * step : (n + 1) * step], strict=True)), chain_port, changes)
        for n in range(count)
    ]
    return chain_port, [replace(plan, manual_chores=manual_chores) for plan in made]


def free_ports(count: int) -> list[int]:
    """Ports that no other test process, no test network and no outgoing connection gets before this process ends."""
    return _CLAIMS.enter_context(claimed_ports(count, None))


def _plan(dir: Path, number: int, ports: Mapping[str, int], chain_port: int, changes: Mapping[str, Any]) -> Plan:
    home = dir / f"sp{number}"
    (home / "signer").mkdir(parents=True)
    (home / "password").write_text(PASSWORD)
    weak = Stretching(secrets.token_bytes(16), log2_n=4, r=8, p=1)  # a quarter of a second each, twice, otherwise
    keys = create_keystore(home / "signer" / "keystore.json", PASSWORD, secrets.token_bytes, stretching=weak)
    sections: Sections = {
        "sp": {"name": f"sp{number}", "operator_address": keys.operator},
        "log": {"level": "warning"},
        "chain": {"address": f"127.0.0.1:{chain_port}"},
        "signer": {"password_file": "password"},
        "gateway": {"http_address": f"127.0.0.1:{ports['gateway']}", "region": REGION},
        "p2p": {"peer_listen": f"127.0.0.1:{ports['p2p']}", "reserve_bytes": 0},
        "receiver": {"listen": f"127.0.0.1:{ports['receiver']}"},
    }
    return Plan(f"sp{number}", home, keys, ports, merged(merged(sections, QUICK), changes))


def merged(sections: Sections, changes: Mapping[str, Mapping[str, object]]) -> Sections:
    """`sections` with these keys set, the others as they were."""
    return {name: {**sections.get(name, {}), **changes.get(name, {})} for name in sections.keys() | changes.keys()}


def genesis_of(account: Account, params: StorageParams, providers: list[Plan]) -> Genesis:
    return Genesis(
        authority=account.address,
        params=params,
        providers=tuple(_provider(plan, number + 1) for number, plan in enumerate(providers)),
    )


def _provider(plan: Plan, number: int) -> StorageProvider:
    keys = plan.keys
    return StorageProvider(
        id=number,
        operator=keys.operator,
        funding=keys.funding,
        seal=keys.seal,
        approval=keys.approval,
        gc=keys.gc,
        status=SpStatus.IN_SERVICE,
        endpoint=f"http://127.0.0.1:{plan.ports['gateway']}",
        p2p_endpoint=f"127.0.0.1:{plan.ports['p2p']}",
        receiver_endpoint=f"127.0.0.1:{plan.ports['receiver']}",
        moniker=plan.name,
    )
