"""A whole Receiver, fed with the frames of a sender that has gone mad."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError

from receiver.client import Receipt
from receiver.config import ReceiverConfig
from receiver.frames import ChunkFrame, Frame
from receiver.rpc import _frame, _parsed
from sp.domain.pieces import EcPieceKey
from tests.fuzz.guard import refusing
from tests.unit.receivers import COLUMN, Group, World, group_of, open_world

ANSWER_S: Final = 10.0
SIZE: Final = 300


class Receiver:
    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = contextlib.AsyncExitStack()
        self._world: World = self._loop.run_until_complete(self._start())
        self._group: Group = group_of(SIZE)
        self._world.on_chain(self._group)

    async def _start(self) -> World:
        config = ReceiverConfig(chain_lag_s=0.01)
        directory = Path(tempfile.mkdtemp(prefix="fuzz-"))
        return await self._stack.enter_async_context(open_world(directory, config))

    def run(self, raw: bytes) -> None:
        """The first byte: a true offer comes first, or none. Then frames, each with its length in a byte before it."""
        if not raw:
            return
        frames, rest = [], raw[1:]
        while rest:
            frames.append(rest[1 : 1 + rest[0]])
            rest = rest[1 + rest[0] :]
        self._loop.run_until_complete(asyncio.wait_for(self._sent(frames, raw[0] & 1 == 0), ANSWER_S))

    async def _sent(self, messages: list[bytes], offered: bool) -> None:
        world, group = self._world, self._group
        opening = await world.opening(await world.offer(group.ref)) if offered else None

        async def stream() -> AsyncIterator[Frame]:
            if opening is not None:
                yield opening
            for message in messages:
                try:
                    parsed = _parsed(message)
                except DecodeError:
                    return  # gRPC ends the call
                yield parsed if isinstance(parsed, ChunkFrame) else _frame(parsed)

        receipt = None
        with refusing():
            async with contextlib.aclosing(world.receiver.replicate(stream())) as replies:
                async for reply in replies:
                    receipt = reply if isinstance(reply, Receipt) else receipt
        keys = await world.keys()
        if receipt is not None:
            assert receipt.integrity_hash == group.root, "signed for something else than the chain knows"
            await self._forget()
        else:
            true = {str(EcPieceKey(group.ref.object_id, 0, n, COLUMN)) for n in range(len(group.pieces))}  # type: ignore[arg-type]
            assert keys <= true, "a piece that no offer named"

    async def _forget(self) -> None:
        for held in await self._world.groups():
            await self._world.receiver.drop(held, "forgotten")

    def close(self) -> None:
        self._loop.run_until_complete(self._stack.aclose())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


def stream() -> Receiver:
    return Receiver()
