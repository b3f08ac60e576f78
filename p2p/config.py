"""The `[p2p]` section."""

from __future__ import annotations

from dataclasses import dataclass

from sp.domain.errors import ConfigError


@dataclass(frozen=True, slots=True)
class P2PConfig:
    """Asking:
    peer_listen:      host:port where other providers reach this one; the registry's p2p_endpoint leads here
    ask_timeout_s:    longest wait for one provider's answer
    round_timeout_s:  longest time from the question to the result; more than ask_timeout_s, so that frozen providers
                      can still be asked when the others were not enough
    parallel_asks:    providers asked at once in one round
    freeze_first_s, freeze_max_s: how long a failing provider is left alone; doubles with each failure in a row
    busy_pause_s:     how long one that is at its limit is left alone, where others are enough
    silent_pause_s:   how long one that did not answer is left alone, though others are not enough
    ping_interval_s:  between two looks at every other provider
    max_channels:     open channels to other providers

    Answering:
    accepting:        takes other providers' objects at all
    max_object_bytes: largest object whose column is taken; 0: whatever the chain allows
    reserve_bytes:    space in the piece store that stays free
    blocked_buckets, blocked_providers: not served (names; operator addresses)
    approval_lifetime_s: how long an approval is good for
    replay_entries:   remembered questions of one asker
    max_questions, max_questions_per_sp: answered at once, of all askers and of one
    """

    peer_listen: str = "127.0.0.1:0"
    ask_timeout_s: float = 4.0
    round_timeout_s: float = 8.0
    parallel_asks: int = 64
    freeze_first_s: float = 30.0
    freeze_max_s: float = 600.0
    busy_pause_s: float = 1.0
    silent_pause_s: float = 1.0
    ping_interval_s: float = 15.0
    max_channels: int = 256
    accepting: bool = True
    max_object_bytes: int = 0
    reserve_bytes: int = 1_073_741_824
    blocked_buckets: tuple[str, ...] = ()
    blocked_providers: tuple[str, ...] = ()
    approval_lifetime_s: int = 3600
    replay_entries: int = 65_536
    max_questions: int = 256
    max_questions_per_sp: int = 32

    def __post_init__(self) -> None:
        if not 0 < self.ask_timeout_s <= self.round_timeout_s:
            raise ConfigError("p2p.ask_timeout_s", "more than 0 and at most round_timeout_s")
        if not 0 < self.freeze_first_s <= self.freeze_max_s:
            raise ConfigError("p2p.freeze_first_s", "more than 0 and at most freeze_max_s")
        for name in (
            "parallel_asks",
            "max_channels",
            "approval_lifetime_s",
            "replay_entries",
            "ping_interval_s",
            "busy_pause_s",
            "silent_pause_s",
            "max_questions",
            "max_questions_per_sp",
        ):
            if getattr(self, name) <= 0:
                raise ConfigError(f"p2p.{name}", "more than 0")
        for name in ("max_object_bytes", "reserve_bytes"):
            if getattr(self, name) < 0:
                raise ConfigError(f"p2p.{name}", "not negative")

    def freeze_ms(self, failures: int) -> int:
        """How long a provider is left alone after so many failures in a row (from 1)."""
        return int(1000 * min(self.freeze_max_s, self.freeze_first_s * 2 ** min(failures - 1, 30)))
