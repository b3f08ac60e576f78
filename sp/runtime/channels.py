"""Channels to many far ends, by endpoint: opened at first use, shared by all calls, closed when unused for a while."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import grpc

from sp.domain.errors import Overloaded
from sp.runtime.clock import Clock

Dial = Callable[[str], AbstractAsyncContextManager[grpc.aio.Channel]]
"""Opens one channel; sp.runtime.rpc.dial with everything but the endpoint filled in."""


@dataclass(slots=True)
class _Kept:
    channel: grpc.aio.Channel
    closing: AsyncExitStack
    users: int = 0
    last_used_s: float = field(default=0.0)


class Channels:
    """At most `limit` channels; the one unused for longest makes room for a new one. Owner: whoever entered it."""

    def __init__(self, dial: Dial, clock: Clock, *, limit: int, idle_s: float = 300.0) -> None:
        self._dial = dial
        self._clock = clock
        self._limit = limit
        self._idle_s = idle_s
        self._kept: dict[str, _Kept] = {}

    async def __aenter__(self) -> Channels:
        return self

    async def __aexit__(self, *_: object) -> None:
        async with AsyncExitStack() as stack:  # every channel is closed, whatever the closing of another raises
            for kept in self._kept.values():
                stack.push_async_callback(kept.closing.aclose)
            self._kept.clear()

    @asynccontextmanager
    async def channel(self, endpoint: str) -> AsyncIterator[grpc.aio.Channel]:
        """A channel to `endpoint` that stays open for the block. Overloaded when all are in use."""
        kept = self._kept.get(endpoint) or await self._open(endpoint)
        kept.users += 1
        try:
            yield kept.channel
        finally:
            kept.users -= 1
            kept.last_used_s = self._clock.monotonic_s()

    async def _open(self, endpoint: str) -> _Kept:
        await self._make_room()
        stack = AsyncExitStack()
        channel = await stack.enter_async_context(self._dial(endpoint))
        other = self._kept.get(endpoint)
        if other is not None:  # opened by someone else meanwhile
            await stack.aclose()
            return other
        self._kept[endpoint] = _Kept(channel, stack, last_used_s=self._clock.monotonic_s())
        return self._kept[endpoint]

    async def _make_room(self) -> None:
        now_s = self._clock.monotonic_s()
        idle = sorted((kept.last_used_s, endpoint) for endpoint, kept in self._kept.items() if not kept.users)
        surplus = len(self._kept) + 1 - self._limit
        if surplus > len(idle):
            raise Overloaded("channels to other providers")
        leaving = [self._kept.pop(e) for n, (at, e) in enumerate(idle) if n < surplus or now_s - at > self._idle_s]
        for kept in leaving:
            await kept.closing.aclose()
