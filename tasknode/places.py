"""How many jobs are at work at once. One that only waits for a block has left its place to others."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Final

from sp.runtime.limits import IN_USE, LIMIT

AT_WORK: Final = "jobs"
AWAY: Final = "jobs waiting for a block"

_PLACE: ContextVar[_Place | None] = ContextVar("place", default=None)


class Places:
    """at_work: places; away: jobs that may have left theirs at once. So both are bounded, and throughput is not the
    number of places divided by the time that blocks take.

    freed: called when a new job may be taken
    """

    def __init__(self, at_work: int, away: int, freed: Callable[[], None]) -> None:
        self._free = at_work
        self._all = at_work + away
        self._jobs = 0
        self._returning: deque[asyncio.Future[None]] = deque()
        self._freed = freed
        LIMIT.labels(AT_WORK).set(at_work)
        LIMIT.labels(AWAY).set(away)
        self._at_work_gauge, self._away_gauge = IN_USE.labels(AT_WORK), IN_USE.labels(AWAY)

    @property
    def free(self) -> int:
        """How many new jobs may be taken. Those who come back go first."""
        return max(0, min(self._free, self._all - self._jobs)) if not self._returning else 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """A place for a new job; in effect for what is called inside. One who came back in the turn between `free` and
        this has it as well: for that moment there is one too many."""
        self._jobs += 1
        place = _Place(self)
        self.occupy()
        token = _PLACE.set(place)
        try:
            yield
        finally:
            _PLACE.reset(token)
            self._jobs -= 1
            if place.held:
                self.vacate()
            self._freed()

    def occupy(self) -> None:
        self._free -= 1
        self._at_work_gauge.inc()

    def vacate(self) -> None:
        """To whoever waits longest to come back, else to a new job."""
        self._at_work_gauge.dec()
        self._free += 1
        while self._returning:
            first = self._returning.popleft()
            if not first.done():
                self.occupy()
                first.set_result(None)
                return
        self._freed()

    async def come_back(self) -> None:
        if self._free > 0 and not self._returning:
            self.occupy()
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._returning.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.vacate()  # given in the same moment as cancelled: hand it on
            raise

    @asynccontextmanager
    async def away(self, place: _Place) -> AsyncIterator[None]:
        place.held = False
        self.vacate()
        try:
            with self._away_gauge.track_inprogress():
                yield
        except Exception:
            await self._returned(place)
            raise
        await self._returned(place)

    async def _returned(self, place: _Place) -> None:
        await self.come_back()
        place.held = True


class _Place:
    """One job's. held: not while it waits for a block, nor once it was cancelled there."""

    __slots__ = ("held", "places")

    def __init__(self, places: Places) -> None:
        self.places = places
        self.held = True


@asynccontextmanager
async def waiting_aside() -> AsyncIterator[None]:
    """Around a wait in which a job does nothing and holds nothing. Whoever has no place just waits."""
    place = _PLACE.get()
    if place is None or not place.held:
        yield
        return
    async with place.places.away(place):
        yield
