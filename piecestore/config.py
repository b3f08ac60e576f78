"""Where pieces are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sp.domain.errors import ConfigError

BACKENDS: Final = ("disk", "memory")


@dataclass(frozen=True, slots=True)
class PieceStoreConfig:
    """The `[piecestore]` section.

    backend:   "disk", or "memory" (tests and trials: a restart forgets every piece)
    path:      disk: the store's own directory, made if missing; relative to the working directory
    direct_io: disk: pass the page cache by where the file system can; off means buffered writes and fdatasync
    """

    backend: str = "disk"
    path: str = "pieces"
    direct_io: bool = True

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise ConfigError("piecestore.backend", f"{self.backend!r} is none of {', '.join(BACKENDS)}")
        if self.backend == "disk" and not self.path:
            raise ConfigError("piecestore.path", "the disk backend needs a directory")
