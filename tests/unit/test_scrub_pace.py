"""How fast background reading goes: never faster than allowed, and not while others wait."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Awaitable

from downloader.reading import SegmentReader
from piecestore.memory import MemoryStore
from piecestore.notes import BLOCK_BYTES
from receiver.damage import FIRST_PAUSE_S, LONGEST_PAUSE_S, DamagedPieces
from sp.domain.ids import Checksum, JobId, ObjectId, RedundancyIndex, SegmentIndex
from sp.domain.pieces import SegmentKey
from sp.runtime.clock import ManualClock
from sp.runtime.limits import ByteBudget
from sp.runtime.pace import LOOK_S, PATIENCE_S, Pace
from sp.runtime.pool import CpuPool

KEY = SegmentKey(JobId(1), SegmentIndex(0))
PIECE = ((ObjectId(1), 0, RedundancyIndex(2)), SegmentIndex(3))


async def seconds_of(work: Awaitable[None], clock: ManualClock, step_s: float) -> float:
    """How much of the clock's time it takes: time passes only when all it does is wait."""
    started = clock.monotonic_s()
    task = asyncio.ensure_future(work)
    while not task.done():
        asleep = asyncio.ensure_future(clock.until_sleeping())
        await asyncio.wait([task, asleep], return_when=asyncio.FIRST_COMPLETED)
        asleep.cancel()
        if not task.done():
            clock.advance(step_s)
    await task
    return clock.monotonic_s() - started


async def test_a_segment_is_read_no_faster_than_the_rate_allows() -> None:
    clock, store, payload = ManualClock(), MemoryStore(), bytes(10 * BLOCK_BYTES)
    await store.put(KEY, payload)
    checksum = Checksum(hashlib.sha256(payload).digest())
    reader = SegmentReader(store, ByteBudget(1))
    pace = Pace(2 * BLOCK_BYTES, clock, lambda: False)
    took_s = await seconds_of(reader.verify(KEY, len(payload), checksum, pace), clock, 0.125)
    assert 4.5 <= took_s <= 5.0  # ten blocks at two a second; the last need not be waited for
    again_s = await seconds_of(reader.verify(KEY, len(payload), checksum, pace), clock, 0.125)
    assert took_s + again_s >= 9.5


async def test_without_a_rate_nothing_waits() -> None:
    clock = ManualClock()
    assert await seconds_of(Pace(0, clock, lambda: False).take(1 << 40), clock, 1.0) == 0.0


async def test_reading_waits_for_an_idle_moment_and_not_for_ever() -> None:
    clock, busy = ManualClock(), True
    pace = Pace(0, clock, lambda: busy)
    assert PATIENCE_S <= await seconds_of(pace.take(1), clock, LOOK_S) <= PATIENCE_S + 2 * LOOK_S
    waiting = asyncio.ensure_future(pace.take(1))
    await clock.until_sleeping()
    assert not waiting.done()
    busy = False
    clock.advance(LOOK_S)
    await waiting


async def test_a_pool_is_busy_while_all_its_threads_have_work() -> None:
    go_on = threading.Event()
    async with CpuPool(2) as pool:
        first = asyncio.ensure_future(pool.run(go_on.wait))
        await asyncio.sleep(0)
        assert not pool.busy()
        second = asyncio.ensure_future(pool.run(go_on.wait))
        await asyncio.sleep(0)
        assert pool.busy()
        go_on.set()
        await asyncio.gather(first, second)
        await pool.run(int)
        assert not pool.busy()


async def test_a_piece_that_cannot_be_mended_is_left_alone_for_longer_and_longer() -> None:
    clock, told = ManualClock(), 0
    damaged = DamagedPieces(clock)

    def added() -> None:
        nonlocal told
        told += 1

    damaged.added = added
    pauses = []
    for _ in range(8):
        damaged.add(*PIECE)
        assert damaged.take() == PIECE
        damaged.failed(PIECE)
        damaged.add(*PIECE)
        assert damaged.take() is None
        waited_s = 0.0
        while waited_s < 2 * LONGEST_PAUSE_S:
            clock.advance(FIRST_PAUSE_S)
            waited_s += FIRST_PAUSE_S
            damaged.add(*PIECE)
            if damaged.take() is not None:
                break
        pauses.append(waited_s)
    assert pauses == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0]
    assert told == 16  # as often as there was something to take
