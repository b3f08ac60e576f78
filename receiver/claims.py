"""One at a time for each group: a stream, or the collector."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sp.domain.errors import DeadlineExceeded, Overloaded
from sp.domain.ids import ObjectId, RedundancyIndex

GroupKey = tuple[ObjectId, int, RedundancyIndex]
"""Object, version, column."""


@dataclass(slots=True)
class Claim:
    """The right to change one group. Its holder waits for the sender inside `waiting`, where it can be asked to go.

    age: unix seconds of the offer behind it
    """

    age: int
    _superseded: bool = False
    _patience: asyncio.Timeout | None = None

    def supersede(self) -> None:
        self._superseded = True
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def waiting(self, timeout_s: float) -> AsyncIterator[None]:
        """Around a wait for the sender. Overloaded when a later claim wants the group, DeadlineExceeded."""
        self._check()
        try:
            async with asyncio.timeout(timeout_s) as self._patience:
                yield
        except TimeoutError:
            self._check()
            raise DeadlineExceeded("the sender's next message", int(timeout_s * 1000)) from None
        finally:
            self._patience = None

    def _check(self) -> None:
        if self._superseded:
            raise Overloaded("a later stream of this group has taken over")


@dataclass(slots=True)
class _Queue:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    holder: Claim | None = None
    users: int = 0


class Claims:
    """A later offer takes over from an earlier one; the same or an earlier one is told to come back."""

    def __init__(self, timeout_s: float) -> None:
        """timeout_s: longest wait for the holder to let go; then Overloaded."""
        self._timeout_s = timeout_s
        self._queues: dict[GroupKey, _Queue] = {}

    def held(self, key: GroupKey) -> bool:
        return key in self._queues

    @asynccontextmanager
    async def claim(self, key: GroupKey, age: int) -> AsyncIterator[Claim]:
        queue = self._queues.setdefault(key, _Queue())
        queue.users += 1
        try:
            await self._take(queue, age)
            queue.holder = Claim(age)
            try:
                yield queue.holder
            finally:
                queue.holder = None
                queue.lock.release()
        finally:
            queue.users -= 1
            if not queue.users:
                del self._queues[key]

    async def _take(self, queue: _Queue, age: int) -> None:
        if queue.holder is not None:
            if age <= queue.holder.age:
                raise Overloaded("another stream of this group is under way")
            queue.holder.supersede()
        try:
            async with asyncio.timeout(self._timeout_s):
                await queue.lock.acquire()
        except TimeoutError:
            raise Overloaded("an earlier stream of this group has not ended") from None
