"""What lies where in the folder of a test network, and the one file that describes it.

    DIR/testnet.json          ports, names, addresses, and the secrets of the ready account (0600)
    DIR/chain/                chain.toml, genesis.json, the chain's data
    DIR/sp0/ ... spN-1/       sp.toml, keys.json, password, accounts/, tls/, run/*.sock, spdb.sqlite, pieces/
    DIR/log/NAME.log          what a process said, over all its starts
    DIR/process/NAME.json     the process that runs under this name (see processes.py)

NAME: chain, sp0, ..., or sp0-SERVICE for each service of an SP that runs as one process per service.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from cli.errors import NoSuchProcess, NoTestnet
from sp.domain.errors import ConfigError

CHAIN: Final = "chain"
SERVICES: Final = ("signer", "p2p", "receiver", "tasknode", "uploader", "downloader", "gateway")
"""In the order in which they start: whoever is asked at the start of another comes first."""

_FILE: Final = "testnet.json"
_VERSION: Final = 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Account:
    """The account that every SP of the network keeps. private_key: 64 hex digits."""

    name: str
    address: str
    private_key: str = field(repr=False)
    access_key_id: str = ""
    secret_access_key: str = field(repr=False, default="")
    region: str = "us-east-1"


@dataclass(frozen=True, slots=True)
class NetworkSp:
    """gateway: base URL; p2p, receiver: host:port; split: one process per service"""

    name: str
    gateway: str
    p2p: str
    receiver: str
    operator_address: str
    split: bool = False

    @property
    def processes(self) -> tuple[str, ...]:
        return tuple(f"{self.name}-{service}" for service in SERVICES) if self.split else (self.name,)


@dataclass(frozen=True, slots=True)
class Network:
    """dir: absolute; sockets: the folder that has a folder of unix sockets for each SP, "" when each is in its SP's
    own; chain_address: host:port; max_segment_size: bytes"""

    dir: Path
    sockets: str
    chain_address: str
    block_interval_ms: int
    max_segment_size: int
    account: Account
    sps: tuple[NetworkSp, ...]

    @property
    def processes(self) -> tuple[str, ...]:
        return (CHAIN, *(name for sp in self.sps for name in sp.processes))

    def sp(self, name: str) -> NetworkSp:
        """NoSuchProcess."""
        for sp in self.sps:
            if sp.name == name:
                return sp
        raise NoSuchProcess(name, ", ".join(sp.name for sp in self.sps))

    def sp_of_operator(self, operator: str) -> NetworkSp | None:
        return next((sp for sp in self.sps if sp.operator_address == operator), None)

    def processes_of(self, name: str) -> tuple[str, ...]:
        """The chain, all processes of an SP, or the one of a service. NoSuchProcess."""
        if name in self.processes:
            return (name,)
        if any(name == sp.name for sp in self.sps):
            return self.sp(name).processes
        raise NoSuchProcess(name, ", ".join(self.processes))

    def sp_dir(self, name: str) -> Path:
        return self.dir / name

    def config_path(self, process: str) -> Path:
        if process == CHAIN:
            return self.dir / CHAIN / "chain.toml"
        return self.sp_dir(process.partition("-")[0]) / "sp.toml"

    def log_path(self, process: str) -> Path:
        return self.dir / "log" / f"{process}.log"

    def with_split(self, names: frozenset[str]) -> Network:
        for name in names:
            self.sp(name)
        return replace(self, sps=tuple(replace(sp, split=sp.split or sp.name in names) for sp in self.sps))


def save(testnet: Network) -> None:
    from signer.files import write_whole

    document = {"version": _VERSION, **asdict(testnet)}
    del document["dir"]  # wherever the folder is found
    write_whole(testnet.dir / _FILE, json.dumps(document, indent=1).encode(), replace=True)


def exists(dir: Path) -> bool:
    return (dir / _FILE).exists()


def load(dir: Path) -> Network:
    """NoTestnet; ConfigError for a file that is none."""
    path = dir / _FILE
    try:
        document = json.loads(path.read_bytes())
        if document.pop("version") != _VERSION:
            raise ValueError("made by another version")
        document["account"] = _record(Account, document["account"])
        document["sps"] = tuple(_record(NetworkSp, sp) for sp in document["sps"])
        return _record(Network, {**document, "dir": dir.absolute()})
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NoTestnet(str(dir)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(str(path), f"is no description of a test network: {error}") from error


def _record(kind: type[T], document: Mapping[str, Any]) -> T:
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]  # only dataclasses come here
    return kind(**{name: value for name, value in document.items() if name in known})
