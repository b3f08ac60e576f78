"""Answering: will this provider keep a column? Whom it believes, and what it refuses and why."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from p2p.answering import Answering, Door
from p2p.policy import Rules
from p2p.replay import SeenNonces
from piecestore.memory import MemoryStore
from sp.crypto.hashing import keccak256
from sp.domain.addresses import signer_of
from sp.domain.approvals import CLOCK_SKEW_S, MESSAGE_LIFETIME_S, ApprovalRequest, ObjectRef
from sp.domain.errors import ApprovalRefused, InvalidRequest, Overloaded, SignatureError, UnknownProvider
from sp.domain.ids import Address, ObjectId
from sp.domain.ledger import ContentUpdate, ObjectStatus, SpStatus
from sp.runtime.limits import Slots, SlotsBySender
from sp.runtime.pool import CpuPool
from tests.turns import turn
from tests.unit.ledger_double import NOW_S, PARAMS, LedgerDouble
from tests.unit.providers import Provider, Providers, clock

GIB = 1024**3
REF = ObjectRef(ObjectId(42), 0, "photos", "cat.jpg", 5000, PARAMS)


@dataclass
class World:
    ledger: LedgerDouble
    providers: Providers
    me: Provider
    asker: Provider
    answering: Answering
    count: int = 0

    def request(self, ref: ObjectRef = REF, asked_at_s: int = NOW_S) -> ApprovalRequest:
        self.count += 1
        return ApprovalRequest(ref, self.asker.operator, asked_at_s, f"{self.count:032x}")

    async def ask(self, request: ApprovalRequest) -> int:
        approval, free_bytes = await self.answering.answer(request, await self.asker.signer.sign(request))
        assert approval.approval.object == request.object
        return free_bytes

    async def refusal(self, ref: ObjectRef = REF, **rules: object) -> str:
        answering = replace(self.answering, rules=replace(self.answering.rules, **rules))  # type: ignore[arg-type]  # a test names any rule
        request = self.request(ref)
        with pytest.raises(ApprovalRefused) as refused:
            await answering.answer(request, await self.asker.signer.sign(request))
        assert refused.value.provider == self.me.operator
        return refused.value.reason


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    ledger = LedgerDouble()
    async with CpuPool(1) as pool:
        providers = Providers(ledger, clock(), pool, tmp_path)
        me, asker = providers.add("me"), providers.add("asker")
        answering = Answering(
            chain=ledger,
            store=MemoryStore(capacity_bytes=10 * GIB),
            signer=me.signer,
            clock=me.signer.clock,
            rules=Rules(0, GIB, frozenset(), frozenset()),
            door=Door(),
            seen=SeenNonces(100),
            questions=Slots("questions", 8),
            questions_each=SlotsBySender("questions", 2),
            lifetime_s=3600,
            version="1",
        )
        yield World(ledger, providers, me, asker, answering)


async def test_an_approval_is_signed_by_the_approval_key_and_ends(world: World) -> None:
    request = world.request()
    signed, free_bytes = await world.answering.answer(request, await world.asker.signer.sign(request))
    approval = signed.approval
    assert signer_of(keccak256(approval.sign_bytes()), signed.signature) == world.me.record.approval
    assert (approval.object, approval.asker, approval.approver) == (REF, world.asker.operator, world.me.operator)
    assert (approval.expires_at_s, approval.expires_height) == (NOW_S + 3600, 10 + 900)
    assert free_bytes == 10 * GIB


async def test_a_large_object_gets_an_approval_for_more_blocks(world: World) -> None:
    world.ledger.params = params = replace(PARAMS, max_segment_size=16 * 1024 * 1024)
    request = world.request(replace(REF, payload_size=40 * GIB, params=params))
    store = MemoryStore(capacity_bytes=100 * GIB)
    answering = replace(world.answering, store=store)
    signed, _ = await answering.answer(request, await world.asker.signer.sign(request))
    assert signed.approval.expires_height == 10 + 40 * 1024 // 5 // 8 + 100


# --- whom it believes


async def test_a_stranger_is_not_answered(world: World) -> None:
    stranger = world.providers.add("stranger")
    del world.ledger.providers[stranger.operator]
    request = replace(world.request(), asker=stranger.operator)
    with pytest.raises(UnknownProvider):
        await world.answering.answer(request, await stranger.signer.sign(request))


async def test_a_provider_out_of_service_is_not_answered(world: World) -> None:
    world.ledger.providers[world.asker.operator] = replace(world.asker.record, status=SpStatus.FORCED_EXITING)
    with pytest.raises(UnknownProvider):
        await world.ask(world.request())


async def test_a_question_signed_by_someone_else_is_refused(world: World) -> None:
    other = world.providers.add("other")
    request = world.request()
    signature = await other.signer.sign(replace(request, asker=other.operator))
    with pytest.raises(SignatureError):
        await world.answering.answer(request, signature)


@pytest.mark.parametrize(
    "change",
    [
        {"object_id": ObjectId(43)},
        {"version": 1},
        {"bucket": "other-bucket"},
        {"object_name": "dog.jpg"},
        {"payload_size": 5001},
        {"params": replace(PARAMS, max_segment_size=999)},
        {"params": replace(PARAMS, parity_chunks=3)},
    ],
)
async def test_a_question_changed_on_its_way_is_refused(world: World, change: dict[str, object]) -> None:
    request = world.request()
    signature = await world.asker.signer.sign(request)
    tampered = replace(request, object=replace(REF, **change))  # type: ignore[arg-type]  # any field
    with pytest.raises(SignatureError):
        await world.answering.answer(tampered, signature)


@pytest.mark.parametrize("asked_at_s", [NOW_S - MESSAGE_LIFETIME_S - 1, NOW_S + CLOCK_SKEW_S + 1])
async def test_a_question_of_another_time_is_refused(world: World, asked_at_s: int) -> None:
    with pytest.raises(SignatureError):
        await world.ask(world.request(asked_at_s=asked_at_s))


async def test_the_same_question_again_is_a_replay_and_a_new_one_is_not(world: World) -> None:
    request = world.request()
    await world.ask(request)
    with pytest.raises(SignatureError, match="replayed"):
        await world.ask(request)
    await world.ask(world.request())


async def test_a_forged_question_does_not_use_up_the_nonce_of_the_true_one(world: World) -> None:
    request = world.request()
    with pytest.raises(SignatureError):
        await world.answering.answer(request, b"\1" * 64 + b"\0")
    await world.ask(request)


def test_remembered_nonces_are_bounded_and_expire() -> None:
    seen, asker = SeenNonces(2), Address("0x" + "22" * 20)
    for nonce in ("a", "b", "c"):
        seen.add(asker, nonce, NOW_S)
    seen.add(asker, "a", NOW_S)  # the oldest has made room
    with pytest.raises(SignatureError):
        seen.add(asker, "c", NOW_S + MESSAGE_LIFETIME_S)
    seen.add(asker, "c", NOW_S + MESSAGE_LIFETIME_S + CLOCK_SKEW_S + 2)


@pytest.mark.parametrize(
    "change",
    [
        {"object_id": ObjectId(2**63)},
        {"bucket": "ab"},
        {"bucket": "b" * 64},
        {"object_name": ""},
        {"object_name": "n" * 1025},
        {"payload_size": 0},
        {"version": 2**31},
    ],
)
async def test_sizes_out_of_bounds_are_refused_before_anything_else(world: World, change: dict[str, object]) -> None:
    world.ledger.providers.clear()
    with pytest.raises(InvalidRequest):
        await world.ask(world.request(replace(REF, **change)))  # type: ignore[arg-type]  # any field


@pytest.mark.parametrize("nonce", ["", "00" * 15, "0G" * 16, "AB" * 16])
async def test_a_malformed_nonce_is_refused(world: World, nonce: str) -> None:
    with pytest.raises(InvalidRequest):
        await world.ask(replace(world.request(), nonce=nonce))


# --- what it refuses


async def test_a_closed_door_refuses_with_its_reason_until_it_opens(world: World) -> None:
    world.answering.door.close("moving to another rack")
    assert "moving to another rack" in await world.refusal()
    assert not (await world.answering.status()).accepting
    world.answering.door.open()
    await world.ask(world.request())
    assert (await world.answering.status()).accepting


async def test_a_full_store_refuses_and_keeps_its_reserve(world: World) -> None:
    group_bytes = 1250  # five pieces of 250
    free_bytes = await world.answering.store.free_bytes()
    assert await world.refusal(reserve_bytes=free_bytes - group_bytes + 1) == "full"
    answering = replace(world.answering, rules=replace(world.answering.rules, reserve_bytes=free_bytes - group_bytes))
    await replace(world, answering=answering).ask(world.request())


async def test_blocked_buckets_and_providers_are_refused(world: World) -> None:
    assert await world.refusal(blocked_buckets=frozenset({"photos"})) == "blocked"
    assert await world.refusal(blocked_providers=frozenset({world.asker.operator})) == "blocked"


async def test_an_object_larger_than_the_limit_is_refused(world: World) -> None:
    assert "too large" in await world.refusal(max_object_bytes=4999)
    assert "too large" in await world.refusal(replace(REF, payload_size=PARAMS.max_payload_size + 1))


async def test_an_object_cut_otherwise_than_the_chain_says_is_refused(world: World) -> None:
    tiny = replace(REF, params=replace(PARAMS, max_segment_size=1))
    assert "parameters" in await world.refusal(tiny)


async def test_an_object_that_the_chain_does_not_show_yet_is_not_refused_for_that(world: World) -> None:
    assert not world.ledger.objects
    await world.ask(world.request())


async def test_only_the_primary_of_the_bucket_is_given_an_approval(world: World) -> None:
    world.ledger.add_bucket("photos", world.me.operator)
    assert "not the primary" in await world.refusal()
    world.ledger.add_bucket("photos", world.asker.operator)
    await world.ask(world.request())


async def test_an_object_described_otherwise_than_on_chain_is_refused(world: World) -> None:
    world.ledger.add_bucket("photos", world.asker.operator)
    world.ledger.add_object(42, "photos", "cat.jpg", 5000)
    await world.ask(world.request())
    assert "5000 bytes on chain" in await world.refusal(replace(REF, payload_size=4000))
    assert "another name" in await world.refusal(replace(REF, object_name="dog.jpg"))


async def test_a_sealed_object_is_refused_but_its_update_is_not(world: World) -> None:
    world.ledger.add_bucket("photos", world.asker.operator)
    found = world.ledger.add_object(42, "photos", "cat.jpg", 5000)
    world.ledger.seal(42, (world.me.operator,) * 6)
    assert "sealed already" in await world.refusal()
    update = ContentUpdate(6000, "", (), 1, NOW_S, found.owner)
    world.ledger.objects[found.id] = replace(found, status=ObjectStatus.SEALED, update=update)
    await world.ask(world.request(replace(REF, version=1, payload_size=6000)))
    world.ledger.objects[found.id] = replace(found, version=1)
    assert "superseded" in await world.refusal()


async def test_a_discontinued_object_is_refused(world: World) -> None:
    world.ledger.add_bucket("photos", world.asker.operator)
    found = world.ledger.add_object(42, "photos", "cat.jpg", 5000)
    world.ledger.objects[found.id] = replace(found, status=ObjectStatus.DISCONTINUED)
    assert "discontinued" in await world.refusal()


# --- how many at once


class SlowStore(MemoryStore):
    """Says how much is free once it may."""

    def __init__(self) -> None:
        super().__init__(capacity_bytes=10 * GIB)
        self.go_on = asyncio.Event()

    async def free_bytes(self) -> int:
        await self.go_on.wait()
        return await super().free_bytes()


async def test_a_flood_of_questions_from_one_provider_is_refused_while_another_is_served(world: World) -> None:
    other = world.providers.add("other")
    store = SlowStore()
    answering = replace(world.answering, store=store)
    flood = []
    for _ in range(20):
        request = world.request()
        signature = await world.asker.signer.sign(request)
        flood.append(asyncio.create_task(answering.answer(request, signature)))
    await turn(5)
    refused = [task for task in flood if task.done()]
    assert len(refused) == 18, "two of one asker at once"
    assert all(isinstance(task.exception(), Overloaded) for task in refused)
    question = replace(world.request(), asker=other.operator)
    served = asyncio.create_task(answering.answer(question, await other.signer.sign(question)))
    await turn(5)
    assert not served.done()
    store.go_on.set()
    assert (await served)[0].approval.asker == other.operator
    await asyncio.wait(flood)
    assert sum(task.exception() is None for task in flood) == 2
    await answering.answer(request := world.request(), await world.asker.signer.sign(request))


async def test_who_does_not_prove_who_it_is_uses_up_nobody_s_share(world: World) -> None:
    liar, store = world.providers.add("liar"), SlowStore()
    answering = replace(world.answering, store=store)
    for _ in range(5):
        request = world.request()
        signature = await liar.signer.sign(replace(request, asker=liar.operator))
        with pytest.raises(SignatureError):
            await answering.answer(request, signature)
    assert answering.questions_each.of(world.asker.operator).taken == 0
    store.go_on.set()
    await answering.answer(request := world.request(), await world.asker.signer.sign(request))


# --- when somebody leaves


async def sealed_with(world: World, *, me: bool, status: SpStatus) -> None:
    """The object is sealed: its first column with a provider of this status, its last, or not, with this one."""
    other = world.providers.add("other")
    world.ledger.providers[other.operator] = replace(other.record, status=status)
    stays = world.providers.add("stays").operator
    world.ledger.add_bucket("photos", world.asker.operator)
    world.ledger.add_object(42, "photos", "cat.jpg", 5000)
    last = world.me.operator if me else stays
    world.ledger.seal(42, (other.operator, *(stays for _ in range(4)), last))


@pytest.mark.parametrize("status", [SpStatus.GRACEFUL_EXITING, SpStatus.FORCED_EXITING])
async def test_a_column_of_a_sealed_object_is_taken_over_from_one_who_leaves(world: World, status: SpStatus) -> None:
    await sealed_with(world, me=False, status=status)
    assert await world.ask(world.request()) == 10 * GIB


@pytest.mark.parametrize("status", [SpStatus.IN_SERVICE, SpStatus.IN_MAINTENANCE, SpStatus.IN_JAILED])
async def test_nothing_is_taken_over_from_one_who_stays(world: World, status: SpStatus) -> None:
    await sealed_with(world, me=False, status=status)
    assert await world.refusal() == "sealed already"


async def test_who_keeps_a_column_takes_no_second_one(world: World) -> None:
    await sealed_with(world, me=True, status=SpStatus.GRACEFUL_EXITING)
    assert await world.refusal() == "keeping another column of it"


async def test_a_primary_that_leaves_may_still_find_homes_for_what_it_has_acknowledged(world: World) -> None:
    world.ledger.providers[world.asker.operator] = replace(world.asker.record, status=SpStatus.GRACEFUL_EXITING)
    assert await world.ask(world.request()) == 10 * GIB
