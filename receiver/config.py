"""The `[receiver]` section."""

from __future__ import annotations

from dataclasses import dataclass, fields

from sp.domain.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ReceiverConfig:
    """listen:             host:port where other providers reach this one; the registry's receiver_endpoint leads here
    max_streams:        groups arriving at once, from all providers
    max_streams_per_sp: of one provider
    max_openings:       streams at once whose sender is not known yet
    max_reads:          pieces read for others at once; each is held in memory whole
    opening_timeout_s:  longest wait for the first message of a stream
    idle_timeout_s:     longest wait for any later one
    takeover_timeout_s: longest wait for an earlier stream of the same group to let go
    chain_lag_s:        longest wait for our view of the chain to show an object that is being offered
    unsealed_ttl_s:     age past which a group is dropped that the chain does not name us for; longer than any primary
                        goes on trying to seal
    collect_interval_s: between two looks for such groups
    """

    listen: str = "127.0.0.1:0"
    max_streams: int = 128
    max_streams_per_sp: int = 64
    max_openings: int = 256
    max_reads: int = 16
    opening_timeout_s: float = 10.0
    idle_timeout_s: float = 30.0
    takeover_timeout_s: float = 5.0
    chain_lag_s: float = 10.0
    unsealed_ttl_s: float = 172_800.0
    collect_interval_s: float = 60.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, str) and value <= 0:
                raise ConfigError(f"receiver.{field.name}", "more than 0")
