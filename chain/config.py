"""The `[chain]` section: which chain, and how long to wait for it."""

from __future__ import annotations

from dataclasses import dataclass

from sp.domain.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ChainConfig:
    """address: of a node, "host:port" or "unix:path"
    call_timeout_s:  deadline of one call
    patience_s:      waits for a block fail with ServiceUnavailable once no node has been heard for so long
    permissions_cached: answers of VerifyPermission remembered until something they depend on changes
    objects_cached: objects remembered until they change, about 1 KiB each; and as many buckets
    """

    address: str = "127.0.0.1:9090"
    call_timeout_s: float = 5.0
    patience_s: float = 30.0
    permissions_cached: int = 4096
    objects_cached: int = 8192

    def __post_init__(self) -> None:
        for name in ("call_timeout_s", "patience_s", "permissions_cached", "objects_cached"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"[chain] {name}", "must be more than 0")
