"""A walk over everything, again and again, by one process at a time: where it is, and when it was last through."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Final

from spdb.cursors import Cursors
from spdb.database import Clock

HELD_MS: Final = 600_000
"""A process that vanished keeps the walk from going on elsewhere for so long."""


@dataclass(frozen=True, slots=True)
class Place:
    """at: id of the thing being looked at, those below are done; rank: where among those of one id, if there are
    several; part: how many of its parts are done"""

    at: int = 0
    rank: int = 0
    part: int = 0


_PLACE: Final = tuple(each.name for each in fields(Place))


@dataclass(slots=True)
class Passes:
    """Cursors `NAME at`, `NAME rank`, `NAME part`, `NAME ended ms`, `NAME held until ms`. The last is the fencing token
    of whoever walks: it changes with each renewal, and only he who wrote it can renew it.

    pause_ms: from the end of one pass to the start of the next
    """

    cursors: Cursors
    clock: Clock
    name: str
    pause_ms: int
    _token: int = field(default=0)

    async def begin(self) -> Place | None:
        """Where to go on. None: nothing is due, or another process is at it. To be called again and again: it is also
        what renews the claim."""
        place = Place(*[await self.cursors.get(f"{self.name} {what}") for what in _PLACE])
        if place == Place() and self.clock.now_ms() < await self.last_ms() + self.pause_ms:
            return None
        return place if await self._hold() else None

    async def reached(self, place: Place) -> None:
        await self.cursors.set_all(self._values(place))

    async def ended(self) -> None:
        """A full pass is done."""
        await self.cursors.set_all({**self._values(Place()), f"{self.name} ended ms": self.clock.now_ms()})

    async def last_ms(self) -> int:
        """When the last full pass ended (unix ms); 0: never."""
        return await self.cursors.get(f"{self.name} ended ms")

    async def release(self) -> None:
        """Let another process go on now. Nothing when it is not ours."""
        token, self._token = self._token, 0
        if token:
            await self.cursors.swap(f"{self.name} held until ms", token, 0)

    def _values(self, place: Place) -> dict[str, int]:
        return {f"{self.name} {what}": getattr(place, what) for what in _PLACE}

    async def _hold(self) -> bool:
        name, now = f"{self.name} held until ms", self.clock.now_ms()
        held = await self.cursors.get(name)
        if held > now and held != self._token:
            return False
        until = max(now + HELD_MS, held + 1)  # never the same number twice: it tells the holders apart
        if not await self.cursors.swap(name, held, until):
            return False
        self._token = until
        return True
