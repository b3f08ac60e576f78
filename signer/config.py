"""The `[signer]` section, and where a process that holds keys may listen."""

from __future__ import annotations

from dataclasses import dataclass

from sp.domain.errors import ConfigError
from sp.runtime.addresses import only_this_host


@dataclass(frozen=True, slots=True)
class SignerConfig:
    """keystore:        the file of the five keys; relative to the SP's directory
    accounts:        the directory of custodial accounts, one file each
    password_file:   a file whose first line opens the keystore; "": the environment's SP_KEYSTORE_PASSWORD
    broadcast_tries: how often one transaction is offered to the chain while its nonce turns out to be wrong
    block_timeout_s: longest wait for the next block between two of those tries
    """

    keystore: str = "signer/keystore.json"
    accounts: str = "signer/accounts"
    password_file: str = ""
    broadcast_tries: int = 3
    block_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        if self.broadcast_tries < 1:
            raise ConfigError("signer.broadcast_tries", "at least 1")
        if self.block_timeout_s <= 0:
            raise ConfigError("signer.block_timeout_s", "more than 0")


def check_listen(endpoint: str, mutual_tls: bool) -> None:
    """ConfigError unless only this host or a holder of a certificate can reach `endpoint`: a unix socket, a loopback
    address, or anything under mutual TLS."""
    if mutual_tls or only_this_host(endpoint):
        return
    raise ConfigError("endpoint.signer", f"{endpoint!r} is reachable by others: use a unix socket, loopback or [tls]")
