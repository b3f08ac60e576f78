"""The directory of one SP: what `sp init` and `sp testnet up` write before it starts for the first time.

sp.toml         the configuration
keys.json       the five keys, sealed under the password
password        one line, 0600
accounts/       custodial accounts, one sealed file each
tls/            a private CA's certificate for internal TCP endpoints, when there are any
provider.json   what the chain registers of this SP: public addresses and endpoints
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from cli.secrets import new_password_file
from signer.accounts import AccountBook
from signer.client import CustodialAccount, SpKeys
from signer.files import write_whole
from signer.keystore import create_keystore, open_keystore
from signer.sealing import Stretching
from sp.crypto.private import PrivateKey
from sp.domain.errors import ConfigError
from sp.domain.ids import Address
from sp.domain.ledger import SpStatus, StorageProvider
from sp.runtime.addresses import socket_path
from sp.runtime.config_values import toml_literal
from sp.runtime.tls import make_certificates

ENDPOINTS: Final = ("gateway", "uploader", "downloader", "tasknode", "signer", "p2p", "receiver")
"""Services with an internal gRPC endpoint."""

_HEADING: Final = "# Every key and its default: `sp config dump`. Relative paths start from this file's folder.\n"

Table = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class SpPlan:
    """name: also its moniker on chain
    public_gateway, public_p2p, public_receiver: where users and other providers reach it (URL, host:port, host:port)
    endpoints: internal addresses by service, "unix:path" or "host:port"
    sections: whatever else sp.toml is to say, by section
    certificate_names: host names for mutual TLS between its services; none: no [tls]
    throwaway: the password lies beside the keys of a test network, so stretching it is only a slow start
    """

    name: str
    public_gateway: str
    public_p2p: str
    public_receiver: str
    chain_address: str
    endpoints: Mapping[str, str] = field(default_factory=dict)
    sections: Mapping[str, Table] = field(default_factory=dict)
    certificate_names: Sequence[str] = ()
    throwaway: bool = False


def make_sp(dir: Path, plan: SpPlan) -> StorageProvider:
    """Write a new SP's directory; what the chain is to register. ConfigError when there is one already. Blocks."""
    path = dir / "sp.toml"
    if path.exists():
        raise ConfigError(str(path), "exists already")
    password = new_password_file(dir / "password")
    stretching = Stretching(secrets.token_bytes(16), log2_n=4) if plan.throwaway else None
    keys = create_keystore(dir / "keys.json", password, secrets.token_bytes, stretching=stretching)
    tables = _tables(plan, keys)
    if plan.certificate_names:
        tls = make_certificates(dir / "tls", plan.certificate_names)
        tables["tls"] = {name: str(Path(file).relative_to(dir)) for name, file in asdict(tls).items()}
    provider = _provider(plan, keys)
    write_whole(dir / "provider.json", json.dumps(asdict(provider), indent=1).encode(), replace=True)
    write_whole(path, toml_text(tables).encode(), replace=False)
    return provider


def add_account(dir: Path, account: CustodialAccount, private_key: str, secret_access_key: str) -> None:
    """Put an account into the book of an SP whose Signer does not run. The same account again is a no-op. Blocks."""
    password = (dir / "password").read_text().partition("\n")[0]
    opened = open_keystore(dir / "keys.json", password)
    book = AccountBook(dir / "accounts", opened.account_key, secrets.token_bytes)
    key = PrivateKey.from_hex(private_key)
    if book.check_new(account.name, key, account.access_key_id, secret_access_key) is None:
        book.add(account, key, secret_access_key)


def read_provider(dir: Path) -> StorageProvider:
    """What `make_sp` has left for the chain's genesis. ConfigError."""
    path = dir / "provider.json"
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
        return StorageProvider(**{**document, "status": SpStatus(document["status"])})
    except OSError as error:
        raise ConfigError(str(path), error.strerror or type(error).__name__) from error
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(str(path), f"describes no provider: {error}") from error


def toml_text(tables: Mapping[str, Table]) -> str:
    sections = (
        "\n".join([f"[{name}]", *(f"{key} = {toml_literal(value)}" for key, value in table.items())])
        for name, table in tables.items()
        if table
    )
    return _HEADING + "\n" + "\n\n".join(sections) + "\n"


def hosts_of(endpoints: Mapping[str, str]) -> list[str]:
    """The host names that internal TCP endpoints are dialled at, each once."""
    tcp = (address for address in endpoints.values() if socket_path(address) is None)
    return sorted({address.rpartition(":")[0].strip("[]") for address in tcp})


def _tables(plan: SpPlan, keys: SpKeys) -> dict[str, Table]:
    tables: dict[str, Table] = {
        "sp": {"name": plan.name, "operator_address": keys.operator},
        "chain": {"address": plan.chain_address},
        "endpoint": plan.endpoints,
        "signer": {"keystore": "keys.json", "accounts": "accounts", "password_file": "password"},
    }
    for name, table in plan.sections.items():
        tables[name] = {**tables.get(name, {}), **table}
    return tables


def _provider(plan: SpPlan, keys: SpKeys) -> StorageProvider:
    return StorageProvider(
        id=0,  # the chain's to give
        operator=Address(keys.operator),
        funding=keys.funding,
        seal=keys.seal,
        approval=keys.approval,
        gc=keys.gc,
        status=SpStatus.IN_SERVICE,
        endpoint=plan.public_gateway,
        p2p_endpoint=plan.public_p2p,
        receiver_endpoint=plan.public_receiver,
        moniker=plan.name,
    )
