"""Every way to reach the chain, held to the docstrings of chain/client.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from chain.client import Chain
from chain.dev.app import running
from chain.dev.client import DevChainClient
from chain.dev.faults import Faults
from chain.dev.local import LocalChain
from chain.dev.node import Node
from chain.open import open_chain
from chain.tx import hash_of, signer_of
from sp.domain.errors import (
    NoSuchBucket,
    NoSuchObject,
    NoSuchObjectId,
    Overloaded,
    ServiceUnavailable,
    TxNotSeen,
    TxRefused,
)
from sp.domain.ids import ObjectId, TxHash
from sp.domain.ledger import Action, Effect, EventType, ObjectStatus, SpStatus, TxResult, Visibility
from sp.domain.messages import (
    MsgCompleteStorageProviderExit,
    MsgDeletePolicy,
    MsgPutPolicy,
    MsgStorageProviderExit,
    MsgUpdateParams,
    MsgUpdateStorageProviderStatus,
    TxMessage,
)
from sp.runtime.parts import Parts
from tests.chain_world import (
    ALICE,
    AUTHORITY,
    BALANCE,
    BOB,
    GENESIS,
    PARAMS,
    PRIMARY,
    SPARE,
    SPS,
    create_bucket,
    create_object,
    seal,
    signed,
    swap_in,
)

BACKENDS = {"in process": LocalChain, "over gRPC": DevChainClient}
NEVER = 10**9


@dataclass
class World:
    node: Node
    chain: Chain

    async def sign(self, message: TxMessage, ahead: int = 0) -> bytes:
        return signed(message, (await self.chain.account(signer_of(message))).nonce + ahead)

    async def do(self, message: TxMessage) -> TxResult:
        tx_hash = await self.chain.broadcast(await self.sign(message))
        return await self.chain.wait_tx(tx_hash, NEVER)

    async def ok(self, *messages: TxMessage) -> None:
        for message in messages:
            result = await self.do(message)
            assert result.code == 0, result

    def pause(self) -> None:
        self.node.set_faults(Faults(pause_blocks=True))


@pytest.fixture(params=BACKENDS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "genesis.json").write_text(GENESIS.to_json())
    sections = {"chain_node": {"production": "when_pending", "listen": "127.0.0.1:0", "max_pool_txs": 20}}
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(Parts.for_test(tmp_path, sections))
        node = await stack.enter_async_context(running(parts))
        if BACKENDS[request.param] is DevChainClient:
            address = parts.addresses["chain_node"]
            parts = await stack.enter_async_context(Parts.for_test(tmp_path, {"chain": {"address": address}}))
        chain = await open_chain(parts)
        assert isinstance(chain, BACKENDS[request.param])
        yield World(node, chain)


# --- questions ----------------------------------------------------------------------------------------------------


async def test_the_chain_says_its_id_and_its_newest_block(world: World) -> None:
    assert await world.chain.chain_id() == GENESIS.chain_id
    assert (await world.chain.latest_block()).height == 0
    made = await world.node.advance(3)
    assert (await world.chain.next_block(2)).height == 3
    assert await world.chain.latest_block() == made


async def test_what_was_created_is_found_by_name_and_by_id(world: World) -> None:
    await world.ok(create_bucket("zoo"), create_bucket("photos"), create_object())
    assert (await world.chain.head_bucket("photos")).owner == ALICE
    assert [bucket.name for bucket in await world.chain.list_buckets(ALICE)] == ["photos", "zoo"]
    assert await world.chain.list_buckets(BOB) == []
    found = await world.chain.head_object("photos", "a.jpg")
    assert (found.id, found.status, found.payload_size) == (1, ObjectStatus.CREATED, 5000)
    assert await world.chain.head_object_by_id(found.id) == found


async def test_what_is_not_there_has_the_error_of_its_kind(world: World) -> None:
    with pytest.raises(NoSuchBucket):
        await world.chain.head_bucket("photos")
    with pytest.raises(NoSuchBucket):
        await world.chain.head_object("photos", "a.jpg")
    with pytest.raises(NoSuchBucket):
        await world.chain.verify_permission(ALICE, "photos", None, Action.CREATE_OBJECT)
    await world.ok(create_bucket())
    with pytest.raises(NoSuchObject) as refused:
        await world.chain.head_object("photos", "a.jpg")
    assert (refused.value.bucket, refused.value.object_name) == ("photos", "a.jpg")
    with pytest.raises(NoSuchObjectId):
        await world.chain.head_object_by_id(ObjectId(1))
    with pytest.raises(NoSuchObject):
        await world.chain.verify_permission(ALICE, "photos", "a.jpg", Action.GET_OBJECT)


async def test_an_account_that_never_appeared_has_nonce_0_and_the_genesis_balance(world: World) -> None:
    account = await world.chain.account(BOB)
    assert (account.address, account.nonce, account.balance, account.locked) == (BOB, 0, BALANCE, 0)


async def test_the_number_of_transactions_is_the_next_nonce(world: World) -> None:
    await world.ok(create_bucket())
    assert (await world.do(create_bucket())).code == 1104
    assert (await world.chain.account(ALICE)).nonce == 2


async def test_a_sealed_object_is_seen_sealed_as_soon_as_its_transaction_is(world: World) -> None:
    await world.ok(create_bucket(), create_object(), seal())
    assert (await world.chain.head_object("photos", "a.jpg")).status is ObjectStatus.SEALED


async def test_providers_are_known_by_operator_and_a_change_is_seen(world: World) -> None:
    providers = await world.chain.storage_providers()
    assert providers == {sp.operator: sp.record for sp in SPS}
    providers.clear()
    for status in (SpStatus.IN_JAILED, SpStatus.IN_SERVICE):
        await world.ok(MsgUpdateStorageProviderStatus(SPARE.operator, status))
        assert (await world.chain.storage_providers())[SPARE.operator].status is status


async def test_objects_are_listed_in_pages_by_bucket_and_by_secondary(world: World) -> None:
    await world.ok(create_bucket(), *(create_object(name) for name in "abc"), seal(2, "b"), create_bucket("zoo"))
    everything = await world.chain.list_objects()
    assert [found.name for found in everything] == ["a", "b", "c"]
    assert everything[1] == await world.chain.head_object("photos", "b")
    assert [f.name for f in await world.chain.list_objects(bucket="photos", after=ObjectId(1), limit=1)] == ["b"]
    assert [f.name for f in await world.chain.list_objects(secondary=SPS[3].operator)] == ["b"]
    assert await world.chain.list_objects(secondary=SPARE.operator) == []
    assert await world.chain.list_objects(bucket="zoo") == await world.chain.list_objects(bucket="none") == []


async def test_a_provider_that_leaves_is_seen_leaving_and_replaced_with_its_events(world: World) -> None:
    await world.ok(create_bucket(), create_object(), seal())
    height = (await world.chain.latest_block()).height
    leaver = SPS[3]
    await world.ok(MsgStorageProviderExit(leaver.operator))
    assert (await world.chain.storage_providers())[leaver.operator].exiting
    await world.ok(swap_in(), MsgCompleteStorageProviderExit(leaver.operator))
    assert leaver.operator not in await world.chain.storage_providers()
    assert (await world.chain.head_object("photos", "a.jpg")).secondaries[2] == SPARE.operator
    _, events = await world.chain.events(height, 100)
    assert [(event.type, event.provider) for event in events if event.type is not EventType.PROVIDERS_CHANGED] == [
        (EventType.STORAGE_PROVIDER_EXIT, leaver.operator),
        (EventType.COMPLETE_SWAP_IN, SPARE.operator),
        (EventType.COMPLETE_STORAGE_PROVIDER_EXIT, leaver.operator),
    ]


async def test_parameters_are_those_of_the_time_asked_for_before_and_after_a_change(world: World) -> None:
    now_s = (await world.node.advance(1)).time_s
    await world.chain.next_block(0)
    for _ in range(2):
        assert await world.chain.params_at(now_s) == await world.chain.params_at(now_s + 50) == PARAMS
    changed = replace(PARAMS, max_segment_size=77)
    await world.ok(MsgUpdateParams(AUTHORITY, changed))
    await world.ok(create_bucket())
    for _ in range(2):
        assert await world.chain.params_at(now_s) == await world.chain.params_at(1) == PARAMS
        assert await world.chain.params_at(now_s + 1) == await world.chain.params_at(now_s + 50) == changed
    again = replace(PARAMS, max_segment_size=78)
    await world.ok(MsgUpdateParams(AUTHORITY, again), create_bucket("next"))
    assert await world.chain.params_at(now_s + 1) == changed
    assert await world.chain.params_at(now_s + 2) == again


async def test_a_permission_given_or_taken_holds_from_its_block_on(world: World) -> None:
    await world.ok(create_bucket(visibility=Visibility.PUBLIC_READ), create_object())
    asked = (BOB, "photos", "a.jpg", Action.DELETE_OBJECT)
    for _ in range(2):
        assert not await world.chain.verify_permission(*asked)
        await world.ok(MsgPutPolicy(ALICE, "photos", "", BOB, (Action.ALL,), Effect.ALLOW))
        assert await world.chain.verify_permission(*asked)
        assert await world.chain.verify_permission(*asked)
        await world.ok(MsgDeletePolicy(ALICE, "photos", "", BOB))
    assert await world.chain.verify_permission(None, "photos", "a.jpg", Action.GET_OBJECT)
    assert await world.chain.verify_permission(None, "photos", None, Action.LIST_OBJECT)
    assert not await world.chain.verify_permission(None, "photos", None, Action.CREATE_OBJECT)


# --- transactions -------------------------------------------------------------------------------------------------


async def test_a_transaction_is_known_by_the_hash_of_its_bytes(world: World) -> None:
    raw = await world.sign(create_bucket())
    tx_hash = await world.chain.broadcast(raw)
    assert tx_hash == hash_of(raw)
    result = await world.chain.wait_tx(tx_hash, NEVER)
    assert (result.tx_hash, result.height, result.code, result.object_id) == (tx_hash, 1, 0, None)
    assert await world.chain.wait_tx(tx_hash, 0) == result


async def test_the_result_of_a_creation_names_the_object(world: World) -> None:
    await world.ok(create_bucket())
    assert (await world.do(create_object())).object_id == 1


async def test_a_transaction_that_fails_in_its_block_says_why(world: World) -> None:
    result = await world.do(create_object())
    assert (result.codespace, result.code, result.object_id) == ("storage", 1100, None)
    assert "photos" in result.log


async def test_transactions_with_consecutive_nonces_wait_for_one_block(world: World) -> None:
    world.pause()
    messages: list[TxMessage] = [create_bucket(), create_object("a"), create_object("b")]
    hashes = [await world.chain.broadcast(await world.sign(message, ahead)) for ahead, message in enumerate(messages)]
    await world.node.advance(1)
    results = [await world.chain.wait_tx(tx_hash, NEVER) for tx_hash in hashes]
    assert [result.code for result in results] == [0, 0, 0]
    assert {result.height for result in results} == {1}
    assert (await world.chain.next_block(0)).tx_hashes == tuple(hashes)


@pytest.mark.parametrize("ahead", [-1, 1, 5])
async def test_a_nonce_out_of_order_is_refused_at_once(world: World, ahead: int) -> None:
    await world.ok(create_bucket())
    with pytest.raises(TxRefused) as refused:
        await world.chain.broadcast(await world.sign(create_bucket("next"), ahead))
    assert (refused.value.codespace, refused.value.code) == ("sdk", 32)


async def test_a_nonce_is_taken_while_its_transaction_waits(world: World) -> None:
    world.pause()
    first = await world.sign(create_bucket())
    await world.chain.broadcast(first)
    with pytest.raises(TxRefused) as refused:
        await world.chain.broadcast(await world.sign(create_bucket("other")))
    assert refused.value.code == 32
    with pytest.raises(TxRefused) as refused:
        await world.chain.broadcast(first)
    assert (refused.value.codespace, refused.value.code) == ("sdk", 19)


@pytest.mark.parametrize("raw", [b"", b"rubbish", signed(create_bucket(), 0, by=BOB), b"x" * 300_000])
async def test_what_its_signer_did_not_sign_is_refused_at_once(world: World, raw: bytes) -> None:
    with pytest.raises(TxRefused) as refused:
        await world.chain.broadcast(raw)
    assert refused.value.codespace == "sdk"


async def test_a_full_pool_asks_to_come_back_later(world: World) -> None:
    world.pause()
    for ahead in range(20):
        await world.chain.broadcast(await world.sign(create_bucket(f"bucket{ahead}"), ahead))
    with pytest.raises(Overloaded):
        await world.chain.broadcast(await world.sign(create_bucket("more"), 20))
    world.node.set_faults(Faults())
    assert (await world.chain.next_block(0)).height == 1
    await world.ok(create_bucket("more"))


async def test_a_transaction_that_never_comes_is_not_seen_once_the_height_is_past(world: World) -> None:
    world.node.set_faults(Faults(pause_blocks=True, drop_next_txs=1))
    raw = await world.sign(create_bucket())
    waiting = asyncio.create_task(world.chain.wait_tx(await world.chain.broadcast(raw), 2))
    await world.node.advance(2)
    await world.chain.next_block(1)
    assert not waiting.done()
    await world.node.advance(1)
    with pytest.raises(TxNotSeen):
        await waiting
    with pytest.raises(TxNotSeen):
        await world.chain.wait_tx(TxHash("0" * 64), 2)


async def test_a_dropped_transaction_leaves_its_nonce_free(world: World) -> None:
    world.node.set_faults(Faults(drop_next_txs=1))
    raw = await world.sign(create_bucket())
    dropped = await world.chain.broadcast(raw)
    assert await world.chain.broadcast(raw) == dropped
    assert (await world.chain.wait_tx(dropped, NEVER)).code == 0


async def test_a_broadcast_that_failed_may_have_landed(world: World) -> None:
    world.node.set_faults(Faults(fail_next_broadcasts=1))
    raw = await world.sign(create_bucket())
    with pytest.raises(ServiceUnavailable):
        await world.chain.broadcast(raw)
    assert (await world.chain.wait_tx(hash_of(raw), NEVER)).code == 0


async def test_many_wait_at_once_and_one_that_gives_up_disturbs_nobody(world: World) -> None:
    world.pause()
    raws = [await world.sign(create_bucket(f"bucket{ahead}"), ahead) for ahead in range(5)]
    waits = [asyncio.create_task(world.chain.wait_tx(hash_of(raw), NEVER)) for raw in [*raws, raws[0]]]
    for raw in raws:
        await world.chain.broadcast(raw)
    waits[5].cancel()
    await world.node.advance(1)
    assert [result.code for result in await asyncio.gather(*waits[:5])] == [0] * 5
    assert waits[5].cancelled()


async def test_after_a_result_the_newest_block_is_not_an_older_one(world: World) -> None:
    for number in range(20):
        result = await world.do(create_bucket(f"bucket{number}"))
        assert (await world.chain.latest_block()).height >= result.height


# --- blocks and events --------------------------------------------------------------------------------------------


async def test_the_next_block_is_waited_for_and_is_the_newest(world: World) -> None:
    waiting = asyncio.create_task(world.chain.next_block(1))
    await world.node.advance(1)
    assert (await world.chain.next_block(0)).height == 1
    assert not waiting.done()
    await world.node.advance(2)
    assert (await waiting).height in (2, 3)
    assert (await world.chain.next_block(2)).height == 3


async def test_events_are_paged_by_block_in_order_and_each_comes_once(world: World) -> None:
    world.pause()
    messages: list[TxMessage] = [create_bucket(), create_object("a"), create_object("b")]
    for ahead, message in enumerate(messages):
        await world.chain.broadcast(await world.sign(message, ahead))
    await world.node.advance(3)
    world.node.set_faults(Faults())
    await world.ok(seal(1, "a"), MsgUpdateStorageProviderStatus(PRIMARY.operator, SpStatus.IN_MAINTENANCE))
    newest, height, seen = (await world.chain.latest_block()).height, 0, []
    while height < newest:
        height, events = await world.chain.events(height, 1)
        seen += [(event.height, event.type, event.object_name) for event in events]
    assert seen == [
        (1, EventType.CREATE_BUCKET, ""),
        (1, EventType.CREATE_OBJECT, "a"),
        (1, EventType.CREATE_OBJECT, "b"),
        (4, EventType.SEAL_OBJECT, "a"),
        (5, EventType.PROVIDERS_CHANGED, ""),
    ]
    assert await world.chain.events(newest, 10) == (newest, [])
    last, events = await world.chain.events(0, 1000)
    assert (last, len(events)) == (newest, 5)
    assert all(event.tx_hash for event in events)
