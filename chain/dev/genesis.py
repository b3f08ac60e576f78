"""What a chain begins with: one JSON file, the same for everyone who looks at this chain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from sp.crypto.hashing import sha256
from sp.domain.addresses import parse_address
from sp.domain.errors import ConfigError, InvalidRequest
from sp.domain.ids import Address
from sp.domain.ledger import SpStatus, StorageProvider
from sp.domain.params import StorageParams

CHAIN_ID: Final = "greenfield_9000-121"
"""Of the network's own local test chains (greenfield deployment/localup)."""

WEI: Final = 10**18


@dataclass(frozen=True, slots=True)
class Genesis:
    """authority: may change the parameters
    params: valid from the beginning of time
    providers: registered from the first block on, ids counted from 1 in this order
    initial_balance: wei-BNB that an account has when it first appears, unless `balances` names it
    store_price: wei-BNB for one byte; an object's fee is max(payload size, min_charge_size) times this
    """

    authority: Address
    chain_id: str = CHAIN_ID
    params: StorageParams = field(default_factory=StorageParams)
    providers: tuple[StorageProvider, ...] = ()
    initial_balance: int = 1_000_000 * WEI
    store_price: int = 1_000_000
    balances: Mapping[Address, int] = field(default_factory=dict)

    def to_json(self) -> str:
        """Amounts are decimal strings: they do not fit into 64 bits."""
        return json.dumps(
            {
                "chain_id": self.chain_id,
                "authority": self.authority,
                "params": asdict(self.params),
                "providers": [asdict(provider) for provider in self.providers],
                "initial_balance": str(self.initial_balance),
                "store_price": str(self.store_price),
                "balances": {address: str(amount) for address, amount in sorted(self.balances.items())},
            },
            indent=2,
        )

    @property
    def digest(self) -> str:
        """Tells two chains of one name apart."""
        return sha256(self.to_json().encode()).hex()


def load_genesis(path: Path) -> Genesis:
    """ConfigError when the file is absent, no JSON, or has unknown, missing or ill-formed members."""
    try:
        return genesis_from(json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise ConfigError(str(path), error.strerror or type(error).__name__) from error
    except KeyError as error:
        raise ConfigError(str(path), f"lacks {error}") from error
    except (ValueError, TypeError, AttributeError, InvalidRequest) as error:
        raise ConfigError(str(path), str(error)) from error


def genesis_from(document: Mapping[str, Any]) -> Genesis:
    """The inverse of `to_json`. KeyError, ValueError, TypeError or InvalidRequest where it is none."""
    _check_known(document, Genesis)
    defaults = Genesis(Address(""))
    return Genesis(
        authority=parse_address(document["authority"]),
        chain_id=str(document.get("chain_id", defaults.chain_id)),
        params=_params(document.get("params", {})),
        providers=tuple(_provider(one, number) for number, one in enumerate(document.get("providers", []), start=1)),
        initial_balance=_amount(document.get("initial_balance", defaults.initial_balance)),
        store_price=_amount(document.get("store_price", defaults.store_price)),
        balances={parse_address(a): _amount(v) for a, v in document.get("balances", {}).items()},
    )


def _params(document: Mapping[str, int]) -> StorageParams:
    _check_known(document, StorageParams)
    params = StorageParams(**{name: int(value) for name, value in document.items()})
    if min(params.max_segment_size, params.data_chunks) < 1 or min(asdict(params).values()) < 0:
        raise ValueError("params: max_segment_size and data_chunks are at least 1, the others not negative")
    return params


def _provider(document: Mapping[str, Any], number: int) -> StorageProvider:
    _check_known(document, StorageProvider)
    return StorageProvider(
        id=number,
        operator=parse_address(document["operator"]),
        funding=parse_address(document["funding"]),
        seal=parse_address(document["seal"]),
        approval=parse_address(document["approval"]),
        gc=parse_address(document["gc"]),
        status=SpStatus(document.get("status", SpStatus.IN_SERVICE)),
        endpoint=str(document["endpoint"]),
        p2p_endpoint=str(document["p2p_endpoint"]),
        receiver_endpoint=str(document["receiver_endpoint"]),
        moniker=str(document.get("moniker", "")),
    )


def _amount(value: str | int) -> int:
    amount = int(value)
    if amount < 0:
        raise ValueError(f"an amount is not negative: {amount}")
    return amount


def _check_known(document: Mapping[str, Any], kind: type[Any]) -> None:
    unknown = set(document) - {f.name for f in fields(kind)}
    if unknown:
        raise ValueError(f"unknown in {kind.__name__}: {', '.join(sorted(unknown))}")
