"""What a client of the chain remembers, and how it keeps its stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from random import Random

import pytest

from chain.dev.caches import Caches
from chain.dev.follower import LAST_RETRY_S, Follower
from chain.dev.news import News
from sp.domain.errors import ServiceUnavailable
from sp.domain.ids import TxHash
from sp.domain.ledger import Action, Block, ChainEvent, EventType
from sp.domain.params import StorageParams
from sp.runtime.clock import ManualClock
from tests.chain_world import ALICE, SPS

PARAMS = StorageParams()
OTHER = replace(PARAMS, max_segment_size=5)
PROVIDERS = {sp.operator: sp.record for sp in SPS}
ASKED = (ALICE, "photos", None, Action.CREATE_OBJECT)


def block(height: int, time_s: int, *kinds: EventType) -> Block:
    return Block(height, time_s, (), tuple(ChainEvent(height, kind) for kind in kinds))


def caches(*blocks: Block) -> Caches:
    made = Caches(permissions_limit=2, objects_limit=3)
    made.hear(None)
    for one in blocks:
        made.hear(News(one))
    return made


# --- parameters ---------------------------------------------------------------------------------------------------


def test_one_answer_serves_all_times_since_the_stream_began_up_to_the_newest_block() -> None:
    known = caches(block(1, 100), block(2, 110))
    known.keep_params(105, PARAMS, known.params_ticket)
    assert [known.params_at(time_s) for time_s in (101, 105, 110)] == [PARAMS] * 3
    assert [known.params_at(time_s) for time_s in (99, 100, 111)] == [None] * 3
    known.hear(News(block(3, 111)))
    assert known.params_at(111) == PARAMS


def test_times_before_the_stream_began_are_remembered_one_by_one() -> None:
    known = caches(block(1, 100))
    known.keep_params(50, PARAMS, known.params_ticket)
    assert (known.params_at(50), known.params_at(51)) == (PARAMS, None)


def test_an_answer_about_the_future_is_not_remembered() -> None:
    known = caches(block(1, 100), block(2, 110))
    known.keep_params(120, PARAMS, known.params_ticket)
    known.hear(News(block(3, 130)))
    assert known.params_at(120) is None


def test_a_change_of_parameters_holds_from_the_second_after_its_block() -> None:
    known = caches(block(1, 100), block(2, 110))
    known.keep_params(105, PARAMS, known.params_ticket)
    known.hear(News(block(3, 120, EventType.PARAMS_CHANGED)))
    known.hear(News(block(4, 130)))
    assert known.params_at(125) is None
    known.keep_params(121, OTHER, known.params_ticket)
    assert (known.params_at(121), known.params_at(130)) == (OTHER, OTHER)
    assert known.params_at(120) is None


def test_an_answer_from_before_a_change_is_not_remembered_after_it() -> None:
    known = caches(block(1, 100), block(2, 110))
    params_ticket, providers_ticket = known.params_ticket, known.providers.ticket
    known.hear(News(block(3, 120, EventType.PARAMS_CHANGED, EventType.PROVIDERS_CHANGED)))
    known.keep_params(105, PARAMS, params_ticket)
    known.providers.keep(PROVIDERS, providers_ticket)
    assert known.params_at(105) is None
    assert known.providers.value is None


def test_after_a_gap_in_the_stream_nothing_is_remembered() -> None:
    known = caches(block(1, 100), block(2, 110))
    known.keep_params(105, PARAMS, known.params_ticket)
    known.keep_params(90, PARAMS, known.params_ticket)
    known.providers.keep(PROVIDERS, known.providers.ticket)
    known.keep_permission(ASKED, True, known.ticket)
    known.hear(None)
    known.hear(News(block(2, 110)))
    assert (known.params_at(105), known.params_at(90), known.providers.value) == (None, None, None)
    assert known.permissions.get(ASKED) is None


# --- the stream ---------------------------------------------------------------------------------------------------


class Streams:
    """A far side that answers each opening of the stream with the next script: blocks, then an end or a failure."""

    def __init__(self, *scripts: list[Block | Exception]) -> None:
        self.scripts = list(scripts)
        self.opened = 0
        self.forever = asyncio.Event()

    async def __call__(self) -> AsyncIterator[News]:
        self.opened += 1
        if not self.scripts:
            await self.forever.wait()
        for step in self.scripts.pop(0):
            if isinstance(step, Exception):
                raise step
            yield News(step)


def follower(streams: Streams, clock: ManualClock, patience_s: float = 60.0) -> Follower:
    return Follower(streams, lambda _: None, clock, Random(1), patience_s)


async def test_a_stream_that_does_not_open_is_tried_again_after_growing_but_bounded_pauses() -> None:
    clock = ManualClock()
    down: list[Block | Exception] = [ServiceUnavailable("chain", "down")]
    streams = Streams(*[down] * 12)
    running = asyncio.create_task(follower(streams, clock).run())
    pauses = []
    for opened in range(1, 13):
        while not (streams.opened == opened and clock.sleeping):
            await clock.sleep(0)
        before = clock.monotonic_s()
        while clock.sleeping:
            clock.advance(0.01)
        pauses.append(clock.monotonic_s() - before)
    running.cancel()
    await asyncio.wait([running])
    assert pauses[0] < 0.1
    assert pauses[0] < pauses[2] < pauses[4]
    assert max(pauses) <= LAST_RETRY_S * 1.25 + 0.01


async def test_a_stream_that_broke_after_a_block_is_opened_again_at_once() -> None:
    clock = ManualClock()
    streams = Streams([block(1, 100), ServiceUnavailable("chain", "lost")], [block(7, 107)])
    following = follower(streams, clock)
    running = asyncio.create_task(following.run())
    await following.until(lambda: following.newest.height == 7)
    assert following.connections == 2
    assert clock.monotonic_s() == 0
    running.cancel()
    await asyncio.wait([running])


async def test_a_transaction_is_seen_by_all_who_watch_it_and_by_nobody_else() -> None:
    mine, other = TxHash("aa"), TxHash("bb")
    streams = Streams([Block(1, 100), Block(2, 101, (mine,))])
    following = follower(streams, ManualClock())
    with following.watch(mine) as one, following.watch(mine) as two, following.watch(other) as three:
        running = asyncio.create_task(following.run())
        await following.until(lambda: following.newest.height == 2)
        assert (one.seen, two.seen, three.seen) == (True, True, False)
        running.cancel()
        await asyncio.wait([running])


async def test_a_wait_ends_when_there_was_no_stream_for_too_long() -> None:
    following = follower(Streams(), ManualClock(), patience_s=0.01)
    with pytest.raises(ServiceUnavailable):
        await following.until(lambda: False)
