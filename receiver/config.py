"""The `[receiver]` section."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from sp.domain.errors import ConfigError

_MAY_BE_ZERO: Final = ("scrub_bytes_per_s", "scrub_pause_s")


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
    piece_timeout_s:    for another provider to give one piece, to make a damaged one again
    mend_memory_bytes:  of pieces and segments over all repairs under way
    scrub_bytes_per_s:  how fast the pieces held are read again to find damage before anyone asks; 0: not at all
    scrub_pause_s:      from the end of one pass over all of them to the start of the next
    checks_at_once:     pieces checked, and made again where needed, at the same time on an operator's order
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
    piece_timeout_s: float = 20.0
    mend_memory_bytes: int = 64 * 1024 * 1024
    scrub_bytes_per_s: int = 0
    scrub_pause_s: float = 604_800.0
    checks_at_once: int = 4

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least_is_zero = field.name in _MAY_BE_ZERO
            if not isinstance(value, str) and (value < 0 or (value == 0 and not least_is_zero)):
                raise ConfigError(f"receiver.{field.name}", "0 or more" if least_is_zero else "more than 0")
