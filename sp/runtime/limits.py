"""Limits on what is under way at once, so that memory and work are bounded by configuration."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from sp.domain.errors import Overloaded


class Slots:
    """At most `limit` at once; one more is refused with Overloaded(name), never queued."""

    def __init__(self, name: str, limit: int) -> None:
        assert limit > 0
        self._name = name
        self._limit = limit
        self._taken = 0

    @property
    def taken(self) -> int:
        return self._taken

    @contextmanager
    def slot(self) -> Iterator[None]:
        if self._taken >= self._limit:
            raise Overloaded(self._name)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


class ByteBudget:
    """A fixed number of bytes that users share, first come, first served.

    A request larger than the whole budget gets the whole budget: one oversized user works alone.
    """

    def __init__(self, total_bytes: int) -> None:
        assert total_bytes > 0
        self._total = total_bytes
        self._free = total_bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def used_bytes(self) -> int:
        return self._total - self._free

    async def acquire(self, size_bytes: int) -> int:
        """Wait for `size_bytes`; the number to give back to `release`."""
        granted = min(size_bytes, self._total)
        if not self._waiting and granted <= self._free:
            self._free -= granted
            return granted
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (granted, ready)
        self._waiting.append(entry)
        try:
            await ready
        except asyncio.CancelledError:
            if ready.done() and not ready.cancelled():
                self.release(granted)  # granted in the same moment as cancelled: hand it on
            else:
                self._waiting.remove(entry)
                self._grant()
            raise
        return granted

    def release(self, granted: int) -> None:
        self._free += granted
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
            self._free -= granted
            ready.set_result(None)
