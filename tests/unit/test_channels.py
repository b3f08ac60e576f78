"""Channels to many far ends are shared, bounded, and closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import grpc
import pytest

from sp.domain.errors import Overloaded
from sp.runtime.channels import Channels
from sp.runtime.clock import ManualClock
from tests.turns import turn


class Exchange:
    """Counts what is open. A channel here is only a name."""

    def __init__(self) -> None:
        self.dialled: list[str] = []
        self.open: list[str] = []

    @asynccontextmanager
    async def dial(self, endpoint: str) -> AsyncIterator[grpc.aio.Channel]:
        self.dialled.append(endpoint)
        await turn()
        self.open.append(endpoint)
        yield cast(grpc.aio.Channel, endpoint)
        self.open.remove(endpoint)


async def use(channels: Channels, *endpoints: str) -> None:
    for endpoint in endpoints:
        async with channels.channel(endpoint) as channel:
            assert cast(str, channel) == endpoint


async def test_a_channel_is_kept_between_calls_and_closed_at_the_end() -> None:
    exchange = Exchange()
    async with Channels(exchange.dial, ManualClock(), limit=4) as channels:
        await use(channels, "a", "a", "b", "a")
        assert exchange.open == ["a", "b"]
    assert exchange.dialled == ["a", "b"]
    assert exchange.open == []


async def test_two_first_calls_at_once_keep_one_channel() -> None:
    exchange = Exchange()
    async with Channels(exchange.dial, ManualClock(), limit=4) as channels:
        await asyncio.gather(use(channels, "a"), use(channels, "a"))
        assert exchange.open == ["a"]


async def test_the_channel_unused_for_longest_makes_room() -> None:
    exchange, clock = Exchange(), ManualClock()
    async with Channels(exchange.dial, clock, limit=2) as channels:
        for endpoint in ("a", "b", "a", "c"):
            clock.advance(1)
            await use(channels, endpoint)
        assert exchange.open == ["a", "c"]


async def test_a_channel_in_use_is_not_closed_and_one_too_many_is_refused() -> None:
    exchange = Exchange()
    async with Channels(exchange.dial, ManualClock(), limit=1) as channels, channels.channel("a"):
        with pytest.raises(Overloaded):
            await use(channels, "b")
        assert exchange.open == ["a"]
        await use(channels, "a")


async def test_a_channel_idle_for_long_is_closed_when_another_opens() -> None:
    exchange, clock = Exchange(), ManualClock()
    async with Channels(exchange.dial, clock, limit=4, idle_s=60.0) as channels:
        await use(channels, "a")
        clock.advance(61)
        await use(channels, "b")
        assert exchange.open == ["b"]
