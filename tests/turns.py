"""Letting the event loop turn, for tests that check what happens meanwhile."""

import asyncio


async def loop_turn() -> None:
    """Everything that is ready runs once."""
    turned = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(turned.set_result, None)
    await turned
