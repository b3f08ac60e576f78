"""Settings of the Downloader, table [downloader] of sp.toml."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DownloaderConfig:
    """max_downloads: at once; one more is refused with Overloaded
    rebuild_memory_bytes: of pieces and segments over all rebuilds under way
    piece_timeout_s: for another provider to give one piece
    """

    max_downloads: int = 512
    rebuild_memory_bytes: int = 64 * 1024 * 1024
    piece_timeout_s: float = 20.0
