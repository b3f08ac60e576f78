"""Limits on what is under way at once, so that memory and work are bounded by configuration."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Final

from sp.domain.errors import Overloaded
from sp.runtime.metrics import counter, gauge

LIMIT: Final = gauge("sp_limit", "What may be in use at once, slots or bytes", ["limit"])
IN_USE: Final = gauge("sp_limit_in_use", "Slots or bytes of a limit that are in use", ["limit"])
WAITING: Final = gauge("sp_limit_waiting", "Who waits for a share of a limit", ["limit"])
REFUSED: Final = counter("sp_limit_refused_total", "Who was refused because a limit was reached", ["limit"])


class Slots(AbstractContextManager[None]):
    """At most `limit` at once; one more is refused with Overloaded(name), never queued.

    name: also in the metrics; label: there instead of it, for many of one sort
    """

    def __init__(self, name: str, limit: int, label: str = "") -> None:
        assert limit > 0
        self._name = name
        self._limit = limit
        self._taken = 0
        label = label or name
        LIMIT.labels(label).set(limit)
        self._in_use, self._refused = IN_USE.labels(label), REFUSED.labels(label)

    @property
    def taken(self) -> int:
        return self._taken

    def slot(self) -> AbstractContextManager[None]:
        """One of them is held inside. Overloaded."""
        return self

    def __enter__(self) -> None:
        if self._taken >= self._limit:
            self._refused.inc()
            raise Overloaded(self._name)
        self._taken += 1
        self._in_use.inc()

    def __exit__(self, *_: object) -> None:
        self._taken -= 1
        self._in_use.dec()


class SlotsBySender:
    """As Slots, for each of those who send: one who sends too much is refused, and the others are served. Senders are
    registered providers, so their number is bounded by the chain."""

    def __init__(self, name: str, limit_each: int) -> None:
        """name: of all of them together in the metrics"""
        self._name = name
        self._limit = limit_each
        self._slots: dict[str, Slots] = {}

    def of(self, sender: str) -> Slots:
        slots = self._slots.get(sender)
        if slots is None:
            slots = self._slots[sender] = Slots(f"{self._name} of {sender}", self._limit, f"{self._name} of one sender")
        return slots


class ByteBudget:
    """A fixed number of bytes that users share, first come, first served.

    A request larger than the whole budget gets the whole budget: one oversized user works alone.
    name: in the metrics
    """

    def __init__(self, total_bytes: int, name: str = "unnamed budget, bytes") -> None:
        assert total_bytes > 0
        self._total = total_bytes
        self._free = total_bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        LIMIT.labels(name).set(total_bytes)
        self._in_use, self._in_line = IN_USE.labels(name), WAITING.labels(name)

    @property
    def used_bytes(self) -> int:
        return self._total - self._free

    async def acquire(self, size_bytes: int) -> int:
        """Wait for `size_bytes`; the number to give back to `release`."""
        granted = min(size_bytes, self._total)
        if not self._waiting and granted <= self._free:
            self._take(granted)
            return granted
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (granted, ready)
        self._waiting.append(entry)
        try:
            with self._in_line.track_inprogress():
                await ready
        except asyncio.CancelledError:
            if ready.done() and not ready.cancelled():
                self.release(granted)  # granted in the same moment as cancelled: hand it on
            else:
                self._waiting.remove(entry)
                self._grant()
            raise
        return granted

    def taken_at_once(self, size_bytes: int) -> bool:
        """Whether `size_bytes` were free, and nobody in line for them: then they are taken, and to be released."""
        if self._waiting or size_bytes > self._free:
            return False
        self._take(size_bytes)
        return True

    def release(self, granted: int) -> None:
        self._free += granted
        self._in_use.dec(granted)
        assert self._free <= self._total
        self._grant()

    @asynccontextmanager
    async def hold(self, size_bytes: int) -> AsyncIterator[None]:
        granted = await self.acquire(size_bytes)
        try:
            yield
        finally:
            self.release(granted)

    def _grant(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            granted, ready = self._waiting.popleft()
            if ready.cancelled():
                continue
            self._take(granted)
            ready.set_result(None)

    def _take(self, granted: int) -> None:
        self._free -= granted
        self._in_use.inc(granted)
