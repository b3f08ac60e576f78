"""A new network's folder: keys, one account, the genesis, configurations. Nothing runs yet."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chain.dev.genesis import Genesis
from cli.sp_files import ENDPOINTS, SpPlan, add_account, make_sp, toml_text
from cli.testnet import layout
from cli.testnet.layout import CHAIN, Account, Network, NetworkSp
from cli.testnet.ports import HOST, claimed_ports
from signer.accounts import AccountBook
from signer.client import CustodialAccount
from signer.files import write_whole
from sp.crypto.private import PrivateKey
from sp.domain.errors import InvalidRequest
from sp.domain.ids import Address
from sp.domain.ledger import StorageProvider
from sp.domain.params import StorageParams
from sp.runtime.addresses import SOCKET_PATH_MAX_BYTES
from spdb.sqlite import create_sqlite

if TYPE_CHECKING:
    from cli.testnet.supervisor import Wanted

DEFAULT_SPS: Final = 8
DEFAULT_BLOCK_INTERVAL_MS: Final = 1000
MIN_SPS: Final = 7
"""A primary needs six others."""

ACCOUNT_NAME: Final = "default"
REGION: Final = "us-east-1"
_PORTS_OF_AN_SP: Final = 3


@dataclass(frozen=True, slots=True)
class _Addresses:
    """gateway, p2p, receiver: host:port; sockets: internal endpoint by service"""

    name: str
    gateway: str
    p2p: str
    receiver: str
    sockets: dict[str, str]


@contextmanager
def making(dir: Path, wanted: Wanted) -> Iterator[Network]:
    """Write the folder of a new network; its ports stay claimed until exit. InvalidRequest, NoFreePorts.

    testnet.json comes last: a folder without it was left half-made, and is made anew."""
    count = DEFAULT_SPS if wanted.sps is None else wanted.sps
    if count < MIN_SPS:
        raise InvalidRequest(f"a network needs at least {MIN_SPS} SPs: one primary and six secondaries")
    dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_half_made(dir)
    with claimed_ports(1 + count * _PORTS_OF_AN_SP, wanted.base_port) as ports:
        sockets = _socket_folder(dir)
        addresses = [_addresses(f"sp{i}", ports[1 + i * _PORTS_OF_AN_SP :], sockets) for i in range(count)]
        testnet = _written(dir, wanted, f"{HOST}:{ports[0]}", sockets, addresses)
        layout.save(testnet)
        yield testnet


def _written(dir: Path, wanted: Wanted, chain_address: str, sockets: str, addresses: Sequence[_Addresses]) -> Network:
    account = new_account()
    providers = [_make_one(dir, chain_address, each, account) for each in addresses]
    max_segment_size = wanted.max_segment_size or StorageParams().max_segment_size
    block_interval_ms = wanted.block_interval_ms or DEFAULT_BLOCK_INTERVAL_MS
    genesis = Genesis(
        authority=Address(account.address),
        params=StorageParams(max_segment_size=max_segment_size),
        providers=tuple(providers),
    )
    endpoints = _socket_addresses(CHAIN, sockets)
    write_chain(dir / CHAIN, genesis, chain_address, block_interval_ms, faults=True, endpoints=endpoints)
    sps = tuple(
        NetworkSp(a.name, f"http://{a.gateway}", a.p2p, a.receiver, provider.operator)
        for a, provider in zip(addresses, providers, strict=True)
    )
    testnet = Network(dir, sockets, chain_address, block_interval_ms, max_segment_size, account, sps)
    return testnet.with_split(wanted.split)


def write_chain(
    dir: Path,
    genesis: Genesis,
    listen: str,
    block_interval_ms: int,
    *,
    faults: bool = False,
    endpoints: Mapping[str, str] | None = None,
) -> None:
    """The folder of a development chain.

    faults: tests may ask it to misbehave
    endpoints: it serves none of them, but every process checks that their paths are short enough
    """
    write_whole(dir / "genesis.json", genesis.to_json().encode(), replace=True)
    node = {"listen": listen, "dir": "data", "block_interval_ms": block_interval_ms, "faults": faults}
    write_whole(dir / "chain.toml", toml_text({"chain_node": node, "endpoint": endpoints or {}}).encode(), replace=True)


def _make_one(dir: Path, chain_address: str, addresses: _Addresses, account: Account) -> StorageProvider:
    plan = SpPlan(
        name=addresses.name,
        public_gateway=f"http://{addresses.gateway}",
        public_p2p=addresses.p2p,
        public_receiver=addresses.receiver,
        chain_address=chain_address,
        endpoints=addresses.sockets,
        sections={
            "gateway": {"http_address": addresses.gateway, "region": account.region},
            "p2p": {"peer_listen": addresses.p2p},
            "receiver": {"listen": addresses.receiver},
            "uploader": {"keep_replaced_ms": 15_000},  # a developer wants to see replaced and deleted segments go
            "monitor": {"address": f"{HOST}:0"},
        },
        throwaway=True,
    )
    provider = make_sp(dir / addresses.name, plan)
    create_sqlite(str(dir / addresses.name / "spdb.sqlite"))
    keep_account(dir / addresses.name, account)
    return provider


def keep_account(dir: Path, account: Account) -> None:
    """Let the SP of this directory sign for the network's account."""
    custodial = CustodialAccount(account.name, Address(account.address), account.access_key_id, int(time.time()))
    add_account(dir, custodial, account.private_key, account.secret_access_key)


def new_account() -> Account:
    key = PrivateKey.generate(secrets.token_bytes)
    access_key_id, secret = AccountBook(Path("/nonexistent"), b"", secrets.token_bytes).new_access_key()
    return Account(ACCOUNT_NAME, key.address, key.reveal_hex(), access_key_id, secret, REGION)


def _addresses(name: str, ports: Sequence[int], sockets: str) -> _Addresses:
    gateway, p2p, receiver = (f"{HOST}:{port}" for port in ports[:_PORTS_OF_AN_SP])
    return _Addresses(name, gateway, p2p, receiver, _socket_addresses(name, sockets))


def _socket_addresses(name: str, sockets: str) -> dict[str, str]:
    folder = f"{sockets}/{name}" if sockets else "run"
    return {service: f"unix:{folder}/{service}.sock" for service in ENDPOINTS}


def _socket_folder(dir: Path) -> str:
    """Somewhere short for unix sockets; "" when the SPs' own folders are short enough."""
    longest = dir / "sp999" / "run" / "downloader.sock"
    if len(str(longest).encode()) <= SOCKET_PATH_MAX_BYTES:
        return ""
    return tempfile.mkdtemp(prefix="sp-", dir="/tmp")


def _remove_half_made(dir: Path) -> None:
    for path in (*dir.glob("sp[0-9]*"), dir / CHAIN):
        if path.is_dir():
            shutil.rmtree(path)
