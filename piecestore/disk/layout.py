"""Where a piece lies below the root.

    root/tmp/{pid}-{uuid}      pieces on their way in, each locked (flock) by its writer
    root/{x}/{yz}/{str(key)}   committed pieces; x, yz: the first three hex digits of sha256(str(key))

16 x 256 shard directories: a million pieces make about 250 names in each, a hundred million 25,000. More of them would
cost each new store more directory syncs, fewer would make a listing of one longer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sp.domain.errors import InvalidRequest
from sp.domain.pieces import PieceKey, parse_key


@dataclass(frozen=True, slots=True)
class Layout:
    """Pure: names paths, touches nothing. root: absolute."""

    root: Path

    @property
    def temporary(self) -> Path:
        return self.root / "tmp"

    def path(self, key: PieceKey) -> Path:
        """The key's file. InvalidRequest for a key that does not print in the one spelling `parse_key` reads: no name
        that could leave the root, or meet another key's, ever becomes a path."""
        return self.root / _relative(key)

    def shards(self) -> Iterator[Path]:
        """Every shard directory, whether it exists yet or not, in order."""
        for first in range(16):
            for second in range(256):
                yield self.root / f"{first:x}" / f"{second:02x}"


@lru_cache(maxsize=1024)
def _relative(key: PieceKey) -> str:
    """Asked for each block of a piece that is being read."""
    name = str(key)
    parse_key(name)
    return f"{shard_name(name)}/{name}"


def shard_name(name: str) -> str:
    digits = hashlib.sha256(name.encode()).hexdigest()
    return f"{digits[0]}/{digits[1:3]}"


def key_at(path: Path) -> PieceKey | None:
    """The key whose file this is; None for a name, or a place, that the store did not choose."""
    try:
        key = parse_key(path.name)
    except InvalidRequest:
        return None
    return key if path.match(f"{shard_name(path.name)}/{path.name}") else None
