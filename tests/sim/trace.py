"""Everything that happens, hashed as it happens: two runs of one seed are the same if their digests are."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from tests.sim.loop import SimLoop

TAIL = 400


@dataclass(slots=True)
class Trace:
    """tail: the newest lines, for people; lines: how many there were"""

    loop: SimLoop
    lines: int = 0
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))
    kept: list[str] | None = None
    _digest: Any = field(default_factory=hashlib.sha256)

    def note(self, kind: str, *facts: object) -> None:
        line = f"{self.loop.now_s:.6f} {kind} {' '.join(map(_text, facts))}"
        self._digest.update(line.encode())
        self.lines += 1
        self.tail.append(line)
        if self.kept is not None:
            self.kept.append(line)

    @property
    def digest(self) -> str:
        return str(self._digest.hexdigest())[:16]


def _text(fact: object) -> str:
    return hashlib.sha256(fact).hexdigest()[:12] if isinstance(fact, bytes) and len(fact) > 16 else str(fact)
