"""Settings of the Downloader, table [downloader] of sp.toml."""

from __future__ import annotations

from dataclasses import dataclass

from sp.domain.errors import ConfigError


@dataclass(frozen=True, slots=True)
class DownloaderConfig:
    """max_downloads: at once; one more is refused with Overloaded
    read_memory_bytes: of verified segments that readers have not taken yet; with no room left a segment is read twice
    rebuild_memory_bytes: of pieces and segments over all rebuilds under way
    piece_timeout_s: for another provider to give one piece
    scrub_bytes_per_s: how fast stored segments are read again to find damage before a reader does; 0: not at all
    scrub_pause_s: from the end of one pass over all of them to the start of the next
    checks_at_once: segments checked, and rebuilt where needed, at the same time on an operator's order
    """

    max_downloads: int = 512
    read_memory_bytes: int = 48 * 1024 * 1024
    rebuild_memory_bytes: int = 64 * 1024 * 1024
    piece_timeout_s: float = 20.0
    scrub_bytes_per_s: int = 0
    scrub_pause_s: float = 604_800.0
    checks_at_once: int = 4

    def __post_init__(self) -> None:
        if self.scrub_bytes_per_s < 0:
            raise ConfigError("downloader.scrub_bytes_per_s", "0 (off) or more")
        if self.scrub_pause_s < 0 or self.checks_at_once < 1:
            raise ConfigError("downloader.scrub_pause_s, checks_at_once", "0 s or more, 1 or more")
