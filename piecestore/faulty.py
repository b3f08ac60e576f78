"""A store that fails on purpose: for tests and the simulation."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Final, Literal, get_args

from piecestore.store import Absorb, Buffer, PieceStore, PieceWriter
from sp.domain.errors import PieceExists, SpError, StoreFailed
from sp.domain.ids import Checksum
from sp.domain.pieces import PieceKey

Op = Literal["write", "commit", "get", "size", "delete", "keys", "free_bytes"]
"""`put` is a `write` and a `commit`."""

OPS: Final[tuple[Op, ...]] = get_args(Op)


@dataclass(slots=True)
class Hang:
    """Calls that are held until `release`. `reached` tells a test that one has arrived."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def release(self) -> None:
        self._released.set()

    async def wait(self) -> None:
        self.reached.set()
        await self._released.wait()


class FaultyStore:
    """Wraps any PieceStore and is one: true to the contract until it is told to fail, and again after `heal`.

    Where several faults meet, a call first hangs, then fails for the first of: fail_next, fail_after, fail_randomly.
    """

    def __init__(self, inner: PieceStore, *, seed: int = 0) -> None:
        self._inner = inner
        self._random = Random(seed)  # noqa: S311 - chance for tests
        self._next: defaultdict[Op, deque[tuple[SpError, bool]]] = defaultdict(deque)
        self._puts_left: int | None = None
        self._probability: dict[Op, float] = {}
        self._hangs: dict[Op, Hang] = {}
        self._rot: dict[PieceKey, int] = {}

    # --- faults ---------------------------------------------------------------------------------------------------

    def fail_after(self, puts: int) -> None:
        """Let so many commits through, then fail every one."""
        self._puts_left = puts

    def fail_next(self, op: Op, error: SpError, *, landed: bool = False) -> None:
        """Raise `error` from the next `op`, once; calls add up. landed: after its effect, as when an answer is lost."""
        self._next[op].append((error, landed))

    def fail_randomly(self, probability: float, ops: Iterable[Op] = OPS) -> None:
        """Each such call fails with this probability, drawn from the seed."""
        self._probability |= dict.fromkeys(ops, probability)

    def hang(self, op: Op) -> Hang:
        """Hold each such call from now on until the returned Hang is released."""
        self._hangs[op] = Hang()
        return self._hangs[op]

    def corrupt(self, key: PieceKey, at: int = 0) -> None:
        """Bit rot: one bit of byte `at` reads wrong until the piece is deleted."""
        self._rot[key] = at

    async def drop(self, key: PieceKey) -> None:
        """The piece is gone, as if its disk had lost it."""
        self._rot.pop(key, None)
        await self._inner.delete(key)

    def heal(self) -> None:
        """No more failures; calls that hang go on. What is rotten or gone stays so."""
        self._next.clear()
        self._puts_left = None
        self._probability.clear()
        for hang in self._hangs.values():
            hang.release()
        self._hangs.clear()

    # --- PieceStore -----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def writer(self, key: PieceKey) -> AsyncIterator[FaultyWriter]:
        async with self._inner.writer(key) as inner:
            yield FaultyWriter(self, key, inner)

    async def put(self, key: PieceKey, payload: Buffer) -> Checksum:
        async with self.writer(key) as writer:
            await writer.write(payload)
            return await writer.commit()

    async def get(self, key: PieceKey, start: int = 0, stop: int | None = None, absorb: Absorb | None = None) -> bytes:
        async with self.faults("get"):
            piece = self._rotten(key, start, await self._inner.get(key, start, stop))
            if absorb is not None:
                absorb(piece)
            return piece

    async def get_into(
        self, key: PieceKey, buffer: memoryview, absorb: Callable[[memoryview], object] | None = None
    ) -> None:
        buffer[:] = await self.get(key, 0, len(buffer))
        if absorb is not None:
            absorb(buffer)

    async def size(self, key: PieceKey) -> int:
        async with self.faults("size"):
            return await self._inner.size(key)

    async def delete(self, key: PieceKey) -> None:
        async with self.faults("delete"):
            await self._inner.delete(key)
            self._rot.pop(key, None)

    async def keys(self) -> AsyncIterator[PieceKey]:
        async with self.faults("keys"):
            async for key in self._inner.keys():
                yield key

    async def free_bytes(self) -> int:
        async with self.faults("free_bytes"):
            return await self._inner.free_bytes()

    # --- how ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def faults(self, op: Op) -> AsyncIterator[None]:
        """Around the true call: before it what keeps it from happening, after it what hides that it happened."""
        if op in self._hangs:
            await self._hangs[op].wait()
        error, landed = self._next[op].popleft() if self._next[op] else (None, False)
        if error is not None and not landed:
            raise error
        self._count(op)
        if self._random.random() < self._probability.get(op, 0.0):
            raise StoreFailed("faulty", "EIO")
        yield
        if error is not None:
            raise error

    def _count(self, op: Op) -> None:
        if op != "commit" or self._puts_left is None:
            return
        if self._puts_left == 0:
            raise StoreFailed("faulty", "EIO")
        self._puts_left -= 1

    def refuse_over_rot(self, key: PieceKey) -> None:
        """A real store compares what it holds with what comes, and finds other bytes."""
        if key in self._rot:
            raise PieceExists(str(key))

    def _rotten(self, key: PieceKey, start: int, piece: bytes) -> bytes:
        at = self._rot.get(key, -1) - start
        if not 0 <= at < len(piece):
            return piece
        return piece[:at] + bytes([piece[at] ^ 1]) + piece[at + 1 :]


@dataclass(slots=True)
class FaultyWriter:
    """A writer whose store may fail it."""

    _store: FaultyStore
    _key: PieceKey
    _inner: PieceWriter

    @property
    def size(self) -> int:
        return self._inner.size

    async def write(self, chunk: Buffer) -> None:
        async with self._store.faults("write"):
            await self._inner.write(chunk)

    async def commit(self) -> Checksum:
        async with self._store.faults("commit"):
            self._store.refuse_over_rot(self._key)
            return await self._inner.commit()
