"""How often a client of the chain asks its node; and that what it answers by itself is not older than what it told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

import chain.dev.news
from chain.config import ChainConfig
from chain.dev.client import DevChainClient
from chain.dev.config import ChainNodeConfig, Production
from chain.dev.local import LocalChain
from chain.dev.node import Node
from chain.tx import hash_of, signer_of
from proto import chain_pb2 as pb
from sp.domain.errors import NoSuchObjectId, ServiceUnavailable, TxNotSeen
from sp.domain.ids import ObjectId, TxHash
from sp.domain.ledger import Action, Effect, EventType, ObjectStatus
from sp.domain.messages import MsgDeleteObject, MsgPutPolicy, TxMessage
from sp.runtime.clock import ManualClock
from sp.runtime.pool import CpuPool
from tests.chain_world import ALICE, BOB, GENESIS, create_bucket, create_object, seal, signed
from tests.sim.chain import ChainRates, UnreliableStub, memory_node, open_sim_chain
from tests.turns import turn

NEVER = 10**9
FIRST = ObjectId(1)


@dataclass(slots=True)
class Wire(UnreliableStub):
    """A reliable stub that counts. held: answers of this method wait; cut: no stream gets through while it is set"""

    calls: Counter[str] = field(default_factory=Counter)
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    cut: bool = False
    streams: list[asyncio.Event] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def hold(self, method: str) -> asyncio.Event:
        return self.held.setdefault(method, asyncio.Event())

    async def _call(self, call: Callable[[Any, Any], Any], request: Any) -> Any:
        self.calls[call.__name__] += 1
        reply = await call(request, None)
        if call.__name__ in self.held:
            await self.held[call.__name__].wait()
        return reply

    async def Broadcast(self, request: pb.BroadcastRequest) -> pb.BroadcastReply:
        reply = await self._rpc.Broadcast(request, None)
        if "Broadcast" in self.held:
            await self.held["Broadcast"].wait()
        return reply

    async def Follow(self, request: pb.FollowRequest, **_: object) -> AsyncIterator[pb.News]:
        if self.cut:
            raise ServiceUnavailable("chain", "cut")
        broken = asyncio.Event()
        self.streams.append(broken)
        async for news in self._rpc.Follow(request, None):
            await self.gate.wait()
            if broken.is_set():
                raise ServiceUnavailable("chain", "broken")
            yield news

    def break_stream(self) -> None:
        """At its next block."""
        for broken in self.streams:
            broken.set()


@dataclass
class World:
    node: Node
    wire: Wire
    chain: DevChainClient

    async def user(self, message: TxMessage) -> int:
        """A transaction that this client knows nothing of: the height of its block."""
        there = LocalChain(self.node)
        tx_hash = await there.broadcast(await self.sign(message))
        result = await there.wait_tx(tx_hash, NEVER)
        assert result.code == 0, result
        return result.height

    async def do(self, message: TxMessage) -> None:
        tx_hash = await self.chain.broadcast(await self.sign(message))
        assert (await self.chain.wait_tx(tx_hash, NEVER)).code == 0

    async def sign(self, message: TxMessage) -> bytes:
        account = await LocalChain(self.node).account(signer_of(message))
        return signed(message, account.nonce + self.node.pool.waiting(account.address))

    async def sealed(self) -> None:
        await self.do(create_bucket())
        await self.do(create_object())
        await self.do(seal())

    async def reconnected(self) -> None:
        """The stream breaks; a new one is up."""
        self.wire.break_stream()
        before = self.chain._follower.connections
        await self.node.advance(1)
        await self.chain._follower.until(lambda: self.chain._follower.connections > before)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        threads = await stack.enter_async_context(CpuPool(1))
        node = memory_node(ChainNodeConfig(production=Production.WHEN_PENDING), GENESIS, ManualClock(), threads)
        making = asyncio.create_task(node.run())
        wire = Wire(node, ChainRates(), Random(0), turn, lambda _: None, lambda _, __: None)
        wire.gate.set()
        async with _open(wire) as chain:
            await node.advance(1)
            await chain.next_block(0)
            wire.calls.clear()
            yield World(node, wire, chain)
        await node.close()
        await making


@asynccontextmanager
async def _open(wire: Wire) -> AsyncIterator[DevChainClient]:
    def spawn(coro: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return asyncio.create_task(coro, name=name)

    async with open_sim_chain(wire, ChainConfig(), ManualClock(), Random(0), spawn) as chain:
        yield chain


async def test_what_this_client_sends_and_asks_about_costs_no_call_but_the_broadcast(world: World) -> None:
    await world.sealed()
    assert (await world.chain.head_object_by_id(FIRST)).status is ObjectStatus.SEALED
    assert (await world.chain.head_bucket("photos")).owner == ALICE
    height = (await world.chain.latest_block()).height
    _, events = await world.chain.events(height - 3, 100)
    assert [event.type for event in events] == [EventType.CREATE_BUCKET, EventType.CREATE_OBJECT, EventType.SEAL_OBJECT]
    assert world.wire.calls == Counter()  # of Broadcast the stub keeps no count


async def test_after_a_result_was_told_the_old_answer_is_never_given(world: World) -> None:
    await world.sealed()
    await world.do(MsgDeleteObject(ALICE, "photos", "a.jpg"))
    with pytest.raises(NoSuchObjectId):
        await world.chain.head_object_by_id(FIRST)


async def test_a_result_found_by_asking_is_told_once_its_block_was_heard_of(world: World) -> None:
    await world.sealed()
    world.wire.gate.clear()
    raw = await world.sign(MsgDeleteObject(ALICE, "photos", "a.jpg"))
    tx_hash = await LocalChain(world.node).broadcast(raw)
    await LocalChain(world.node).wait_tx(tx_hash, NEVER)
    waiting = asyncio.create_task(world.chain.wait_tx(tx_hash, NEVER))
    await turn(20)
    assert world.wire.calls["GetTx"] == 1
    assert not waiting.done()
    world.wire.gate.set()
    await waiting
    with pytest.raises(NoSuchObjectId):
        await world.chain.head_object_by_id(FIRST)


async def test_an_answer_that_a_block_overtakes_is_given_but_not_remembered(world: World) -> None:
    await world.sealed()
    await world.reconnected()
    world.wire.calls.clear()
    answered = world.wire.hold("HeadObjectById")
    asked = asyncio.create_task(world.chain.head_object_by_id(FIRST))
    await turn(5)
    height = await world.user(MsgDeleteObject(ALICE, "photos", "a.jpg"))
    await world.chain.next_block(height - 1)
    answered.set()
    assert (await asked).id == FIRST
    with pytest.raises(NoSuchObjectId):
        await world.chain.head_object_by_id(FIRST)


async def test_after_a_gap_everything_is_asked_for_again_once(world: World) -> None:
    await world.sealed()
    await world.reconnected()
    world.wire.calls.clear()
    for _ in range(3):
        await world.chain.head_object_by_id(FIRST)
        await world.chain.head_bucket("photos")
        await world.chain.verify_permission(BOB, "photos", None, Action.CREATE_OBJECT)
    assert world.wire.calls == {"HeadObjectById": 1, "HeadBucket": 1, "VerifyPermission": 1}


async def test_without_a_stream_nothing_is_answered_from_memory(world: World) -> None:
    await world.sealed()
    world.wire.cut = True
    world.wire.break_stream()
    await world.node.advance(1)
    await world.chain._follower.until(lambda: not world.chain._follower.connected)
    await world.user(MsgDeleteObject(ALICE, "photos", "a.jpg"))
    with pytest.raises(NoSuchObjectId):
        await world.chain.head_object_by_id(FIRST)
    height = world.node.newest.height
    assert (await world.chain.events(height - 1, 10))[1][0].type is EventType.DELETE_OBJECT
    assert world.wire.calls["GetEvents"] == 1


async def test_who_was_told_by_others_can_ask_past_the_memory(world: World) -> None:
    await world.sealed()
    world.wire.gate.clear()
    await world.user(MsgDeleteObject(ALICE, "photos", "a.jpg"))
    assert (await world.chain.head_object_by_id(FIRST)).status is ObjectStatus.SEALED
    with pytest.raises(NoSuchObjectId):
        await world.chain.head_object_by_id(FIRST, newest=True)
    world.wire.gate.set()


async def test_a_policy_that_others_made_counts_from_its_block_on(world: World) -> None:
    await world.do(create_bucket())
    asked = (BOB, "photos", None, Action.CREATE_OBJECT)
    assert not await world.chain.verify_permission(*asked)
    await world.node.advance(3)
    await world.chain.next_block(world.node.newest.height - 1)
    assert not await world.chain.verify_permission(*asked)
    assert world.wire.calls["VerifyPermission"] == 1
    height = await world.user(MsgPutPolicy(ALICE, "photos", "", BOB, (Action.CREATE_OBJECT,), Effect.ALLOW))
    await world.chain.next_block(height - 1)
    assert await world.chain.verify_permission(*asked)


async def test_events_from_before_the_stream_are_asked_for_and_told_once_their_blocks_were_heard_of(
    world: World,
) -> None:
    await world.sealed()
    await world.reconnected()
    world.wire.gate.clear()
    await world.user(MsgDeleteObject(ALICE, "photos", "a.jpg"))
    asking = asyncio.create_task(world.chain.events(1, 100))
    await turn(20)
    assert not asking.done()
    world.wire.gate.set()
    _, events = await asking
    assert events[-1].type is EventType.DELETE_OBJECT
    with pytest.raises(NoSuchObjectId):
        await world.chain.head_object_by_id(FIRST)


async def test_a_transaction_that_was_sent_before_a_gap_is_asked_for(world: World) -> None:
    tx_hash = await world.chain.broadcast(await world.sign(create_bucket()))
    await LocalChain(world.node).wait_tx(tx_hash, NEVER)
    await world.reconnected()
    assert (await world.chain.wait_tx(tx_hash, NEVER)).code == 0
    assert world.wire.calls["GetTx"] == 1


async def test_a_wait_goes_on_through_a_gap(world: World) -> None:
    world.node.faults.pause_blocks = True
    tx_hash = await world.chain.broadcast(await world.sign(create_bucket()))
    waiting = asyncio.create_task(world.chain.wait_tx(tx_hash, NEVER))
    await turn(5)
    assert world.wire.calls["GetTx"] == 0
    world.wire.cut = True
    world.wire.break_stream()
    await world.node.advance(2)  # the stream begins anew behind its block
    await turn(20)
    assert not waiting.done()
    world.wire.cut = False
    _elapse(world.chain)
    assert (await asyncio.wait_for(waiting, 5)).code == 0
    assert world.wire.calls["GetTx"] == 1


async def test_a_transaction_whose_block_came_before_anyone_waited_is_known(world: World) -> None:
    tx_hash = await world.chain.broadcast(await world.sign(create_bucket()))
    height = (await LocalChain(world.node).wait_tx(tx_hash, NEVER)).height
    await world.chain.next_block(height - 1)
    assert (await world.chain.wait_tx(tx_hash, NEVER)).height == height
    assert world.wire.calls["GetTx"] == 0


async def test_a_result_that_the_news_had_no_room_for_is_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain.dev.news, "RESULTS_BYTES", 10)
    await world.do(create_bucket())
    assert world.wire.calls["GetTx"] == 1
    tx_hash = await world.chain.broadcast(await world.sign(create_object()))
    height = (await LocalChain(world.node).wait_tx(tx_hash, NEVER)).height
    await world.chain.next_block(height - 1)
    assert (await world.chain.wait_tx(tx_hash, NEVER)).height == height
    assert world.wire.calls["GetTx"] == 2


async def test_a_block_that_overtakes_the_answer_to_its_broadcast_is_not_waited_for_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain.dev.news, "RESULTS_BYTES", 10)
    raw = await world.sign(create_bucket())
    answered = world.wire.hold("Broadcast")
    broadcasting = asyncio.create_task(world.chain.broadcast(raw))
    await turn(5)
    await LocalChain(world.node).wait_tx(hash_of(raw), NEVER)
    await world.chain.next_block(world.node.newest.height - 1)
    answered.set()
    assert (await world.chain.wait_tx(await broadcasting, NEVER)).code == 0
    assert world.wire.calls["GetTx"] == 1


async def test_a_transaction_that_was_dropped_is_asked_for_once_before_giving_up(world: World) -> None:
    world.node.faults.drop_next_txs = 1
    tx_hash = await world.chain.broadcast(await world.sign(create_bucket()))
    until = world.node.newest.height + 2
    waiting = asyncio.create_task(world.chain.wait_tx(tx_hash, until))
    await turn(5)
    await world.node.advance(3)
    with pytest.raises(TxNotSeen):
        await waiting
    assert world.wire.calls["GetTx"] == 1


async def test_one_that_nobody_here_has_sent_is_asked_for(world: World) -> None:
    with pytest.raises(TxNotSeen):
        await world.chain.wait_tx(TxHash("ab" * 32), 0)
    assert world.wire.calls["GetTx"] == 1


def _elapse(chain: DevChainClient) -> None:
    clock = chain._follower._clock
    assert isinstance(clock, ManualClock)
    clock.advance(5)
