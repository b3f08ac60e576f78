"""Letting the event loop turn, for tests that check what happens meanwhile."""

from __future__ import annotations

import asyncio


async def turn(times: int = 1) -> None:
    """Let every task that can run now do so, as often."""
    loop = asyncio.get_running_loop()
    for _ in range(times):
        turned = loop.create_future()
        loop.call_soon(turned.set_result, None)
        await turned
