"""Asking: who is asked, whose answers count, when a round ends, and what is remembered of it."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from p2p.answering import Answering, Door
from p2p.asking import Asking
from p2p.client import Accepted, Approvals, PeerStatus
from p2p.config import P2PConfig
from p2p.policy import Rules
from p2p.replay import SeenNonces
from p2p.service import P2PService
from piecestore.memory import MemoryStore
from sp.domain.approvals import ApprovalRequest, ObjectRef
from sp.domain.errors import (
    ApprovalRefused,
    ConfigError,
    InvalidRequest,
    Overloaded,
    ServiceUnavailable,
    TooFewApprovals,
    TooFewReachable,
    UnknownProvider,
)
from sp.domain.ids import Address, ObjectId, Signature
from sp.domain.jobs import PeerRecord
from sp.domain.ledger import SpStatus
from sp.runtime.clock import ManualClock
from sp.runtime.limits import Slots, SlotsBySender
from sp.runtime.pool import CpuPool
from spdb.database import open_database
from spdb.peers import Peers
from tests.turns import turn
from tests.unit.ledger_double import NOW_S, PARAMS, LedgerDouble
from tests.unit.providers import Provider, Providers, clock

REF = ObjectRef(ObjectId(42), 0, "photos", "cat.jpg", 5000, PARAMS)
Answer = Callable[[ApprovalRequest, Signature], Awaitable[Accepted]]


async def never(request: ApprovalRequest, signature: Signature) -> Accepted:
    await asyncio.Event().wait()
    raise AssertionError


@dataclass
class Street:
    """OtherPeers without a network: every provider answers by its own Answering, unless a test puts another in."""

    answers: dict[str, Answer] = field(default_factory=dict)
    statuses: dict[str, PeerStatus] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def ask(self, endpoint: str, request: ApprovalRequest, signature: Signature) -> Accepted:
        self.asked.append(endpoint.partition(":")[0])
        return await self.answers[endpoint](request, signature)

    async def ping(self, endpoint: str) -> PeerStatus:
        if endpoint not in self.statuses:
            raise ServiceUnavailable("P2PPeer", "connection refused")
        return self.statuses[endpoint]


def answering(provider: Provider, ledger: LedgerDouble) -> Answering:
    return Answering(
        chain=ledger,
        store=MemoryStore(capacity_bytes=2**34),
        signer=provider.signer,
        clock=provider.signer.clock,
        rules=Rules(0, 0, frozenset(), frozenset()),
        door=Door(),
        seen=SeenNonces(100),
        questions=Slots("questions", 8),
        questions_each=SlotsBySender("questions", 2),
        lifetime_s=3600,
        version="1",
    )


@dataclass
class World:
    ledger: LedgerDouble
    clock: ManualClock
    me: Provider
    others: list[Provider]
    street: Street
    doors: dict[Address, Door]
    node: P2PService

    def replace_answer(self, number: int, answer: Answer) -> None:
        self.street.answers[self.others[number].record.p2p_endpoint] = answer

    def honest(self, number: int) -> Answer:
        return self.street.answers[self.others[number].record.p2p_endpoint]

    async def get(
        self, needed: int = 6, spares: int = 1, exclude: frozenset[Address] = frozenset(), ref: ObjectRef = REF
    ) -> Approvals:
        return await self.node.get_approvals(ref, needed, spares, exclude)

    async def record(self, number: int) -> PeerRecord:
        records = {record.provider: record for record in await self.node.records.all()}
        return records[self.others[number].operator]

    def number(self, address: Address) -> int:
        return [other.operator for other in self.others].index(address)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    ledger, now = LedgerDouble(), clock()
    async with CpuPool(1) as pool, open_database(f"sqlite:///{tmp_path}/spdb.sqlite") as database:
        providers = Providers(ledger, now, pool, tmp_path)
        me, others = providers.add("me"), [providers.add(f"sp{n}") for n in range(8)]
        street, doors = Street(), {}
        for other in others:
            desk = answering(other, ledger)
            doors[other.operator] = desk.door
            street.answers[other.record.p2p_endpoint] = honest_answer(desk)
        records = Peers(database, now)
        config = P2PConfig(ask_timeout_s=1.0, round_timeout_s=2.0)
        asking = Asking(ledger, me.signer, street, records, now, random.Random(1), config)
        node = P2PService(ledger, me.signer, street, records, now, asking, answering(me, ledger))
        yield World(ledger, now, me, others, street, doors, node)


def honest_answer(desk: Answering) -> Answer:
    async def answer(request: ApprovalRequest, signature: Signature) -> Accepted:
        approval, free_bytes = await desk.answer(request, signature)
        return Accepted(approval, free_bytes)

    return answer


async def test_enough_verified_approvals_are_collected_and_never_our_own(world: World) -> None:
    approvals = await world.get(needed=6, spares=1)
    approvers = {accepted.approval.approval.approver for accepted in approvals.accepted}
    assert len(approvers) == len(approvals.accepted) >= 7
    assert world.me.operator not in approvers
    assert "me" not in world.street.asked


async def test_a_round_ends_with_the_last_wanted_approval_and_waits_for_no_straggler(world: World) -> None:
    world.replace_answer(0, never)
    async with asyncio.timeout(0.9):  # below the straggler's own deadline
        approvals = await world.get(needed=6, spares=1)
    assert len(approvals.accepted) == 7
    assert dict(approvals.refused) == {world.others[0].operator: "not waited for"}


async def test_stragglers_are_waited_for_while_spares_are_wanted_but_not_beyond_the_deadline(world: World) -> None:
    world.replace_answer(0, never)
    approvals = await world.get(needed=6, spares=2)
    assert len(approvals.accepted) == 7
    assert "DeadlineExceeded" in dict(approvals.refused)[world.others[0].operator]


async def test_too_few_approvals_name_every_provider_and_its_reason(world: World) -> None:
    for number in range(3):
        world.doors[world.others[number].operator].close(f"reason {number}")
    with pytest.raises(TooFewApprovals) as error:
        await world.get(needed=6)
    assert (error.value.accepted, error.value.needed) == (5, 6)
    for number in range(3):
        assert f"{world.others[number].operator} not accepting: reason {number}" in error.value.refusals


async def test_a_refusal_is_counted_but_freezes_nobody(world: World) -> None:
    world.doors[world.others[0].operator].close("full")
    await world.get(needed=6, spares=2)
    record = await world.record(0)
    assert (record.approvals_refused, record.failures, record.frozen_until_ms) == (1, 0, 0)
    assert (await world.record(1)).approvals_given == 1


async def test_excluded_and_retired_providers_are_not_asked(world: World) -> None:
    retired = world.others[1]
    world.ledger.providers[retired.operator] = replace(retired.record, status=SpStatus.IN_JAILED)
    approvals = await world.get(needed=6, spares=0, exclude=frozenset({world.others[0].operator}))
    assert not {"sp0", "sp1"} & set(world.street.asked)
    assert "IN_JAILED" in dict(approvals.refused)[retired.operator]


# --- answers that lie


async def lies(world: World, change: Callable[[Accepted], Awaitable[Accepted]]) -> str:
    """The reason recorded against provider 0 when its answer is changed like this."""
    honest = world.honest(0)

    async def lie(request: ApprovalRequest, signature: Signature) -> Accepted:
        return await change(await honest(request, signature))

    world.replace_answer(0, lie)
    approvals = await world.get(needed=6, spares=2)
    assert world.others[0].operator not in {a.approval.approval.approver for a in approvals.accepted}
    record = await world.record(0)
    assert record.failures == 1
    assert record.frozen_until_ms == world.clock.now_ms() + 30_000
    return dict(approvals.refused)[world.others[0].operator]


async def test_an_approval_with_a_foreign_signature_is_that_peers_failure(world: World) -> None:
    async def forge(answer: Accepted) -> Accepted:
        signed = replace(answer.approval, signature=b"\1" * 64 + b"\0")
        return replace(answer, approval=signed)

    assert "SignatureError" in await lies(world, forge)


async def test_an_approval_signed_by_another_provider_in_its_own_name_is_not_counted_twice(world: World) -> None:
    copied = await world.honest(1)(*await _question(world))

    async def pass_on(answer: Accepted) -> Accepted:
        return copied

    assert "another provider" in await lies(world, pass_on)


async def test_an_approval_for_another_object_is_that_peers_failure(world: World) -> None:
    other = await world.honest(0)(*await _question(world, replace(REF, object_id=ObjectId(43))))

    async def old(answer: Accepted) -> Accepted:
        return other

    assert "another object" in await lies(world, old)


async def test_an_expired_approval_is_that_peers_failure(world: World) -> None:
    async def expire(answer: Accepted) -> Accepted:
        approval = replace(answer.approval.approval, expires_at_s=NOW_S)
        signature = await world.others[0].signer.sign(approval)
        return replace(answer, approval=replace(answer.approval, approval=approval, signature=signature))

    assert "expired" in await lies(world, expire)


async def test_an_approval_signed_with_the_operator_key_does_not_count(world: World) -> None:
    async def wrong_key(answer: Accepted) -> Accepted:
        question, _ = await _question(world)
        signature = await world.others[0].signer.sign(replace(question, asker=world.others[0].operator))
        return replace(answer, approval=replace(answer.approval, signature=signature))

    assert "approval key" in await lies(world, wrong_key)


async def _question(world: World, ref: ObjectRef = REF) -> tuple[ApprovalRequest, Signature]:
    question = ApprovalRequest(ref, world.me.operator, NOW_S, "ab" * 16)
    return question, await world.me.signer.sign(question)


# --- freezing


async def test_questions_that_fail_together_are_one_failure(world: World) -> None:
    waiting: list[asyncio.Future[Accepted]] = []

    async def hang_up(request: ApprovalRequest, signature: Signature) -> Accepted:
        waiting.append(asyncio.get_running_loop().create_future())
        return await waiting[-1]

    world.replace_answer(0, hang_up)
    refs = [replace(REF, object_id=ObjectId(50 + number)) for number in range(4)]
    rounds = [asyncio.create_task(world.get(needed=6, spares=2, ref=ref)) for ref in refs]
    while len(waiting) < len(refs):
        await turn()
    for question in waiting:
        world.clock.advance(0.001)
        question.set_exception(ServiceUnavailable("P2PPeer", "connection reset"))
        await turn(5)
    await asyncio.gather(*rounds)
    assert (await world.record(0)).failures == 1


async def test_a_success_is_recorded_again_after_a_failure_or_a_while(world: World) -> None:
    operator = world.others[0].operator
    await world.node.report_peer(operator, None)
    first = (await world.record(0)).last_success_ms
    await world.node.report_peer(operator, "slow")
    await world.node.report_peer(operator, None)
    assert (await world.record(0)).failures == 0
    world.clock.advance(0.5)
    await world.node.report_peer(operator, None)
    assert (await world.record(0)).last_success_ms == first, "twice a second is not news"
    world.clock.advance(1)
    await world.node.report_peer(operator, None)
    assert (await world.record(0)).last_success_ms == first + 1500


async def test_failures_freeze_for_longer_each_time_and_a_success_clears_them(world: World) -> None:
    operator = world.others[0].operator
    spans = []
    for _ in range(7):
        await world.node.report_peer(operator, "lost its piece")
        spans.append((await world.record(0)).frozen_until_ms - world.clock.now_ms())
    assert spans == [30_000, 60_000, 120_000, 240_000, 480_000, 600_000, 600_000]
    await world.node.report_peer(operator, None)
    record = await world.record(0)
    assert (record.failures, record.frozen_until_ms) == (0, 0)


async def test_a_frozen_provider_is_left_alone_until_it_thaws(world: World) -> None:
    await world.node.report_peer(world.others[0].operator, "lost its piece")
    approvals = await world.get(needed=6, spares=1)
    assert "sp0" not in world.street.asked
    assert "frozen after 1 failures: lost its piece" in dict(approvals.refused)[world.others[0].operator]
    world.clock.advance(30)
    await world.get(needed=6, spares=2, ref=replace(REF, object_id=ObjectId(43)))
    assert "sp0" in world.street.asked


async def test_frozen_providers_are_asked_when_the_others_cannot_be_enough(world: World) -> None:
    for number in range(3):
        await world.node.report_peer(world.others[number].operator, "slow")
    approvals = await world.get(needed=6, spares=0)
    assert len(approvals.accepted) >= 6


async def test_frozen_providers_are_asked_when_the_others_were_not_enough(world: World) -> None:
    await world.node.report_peer(world.others[0].operator, "slow")
    await world.node.report_peer(world.others[1].operator, "slow")
    world.doors[world.others[2].operator].close("full")
    approvals = await world.get(needed=6, spares=0)
    assert len(approvals.accepted) >= 6
    assert {"sp0", "sp1"} & set(world.street.asked)


async def test_while_too_few_can_be_reached_not_every_object_asks_them_again(world: World) -> None:
    async def refuse(request: ApprovalRequest, signature: Signature) -> Accepted:
        raise ServiceUnavailable("P2PPeer", "connection refused")

    honest = [world.honest(number) for number in range(3)]
    for number in range(3):
        world.replace_answer(number, refuse)
    with pytest.raises(TooFewApprovals):
        await world.get(needed=6)
    world.street.asked.clear()
    with pytest.raises(TooFewReachable) as error:
        await world.get(needed=6, ref=replace(REF, object_id=ObjectId(43)))
    assert world.street.asked == [], "it could not be enough"
    assert error.value.refusals.count("connection refused") == 3
    assert error.value.refusals.count("not asked: with it there are too few") == 5
    for number in range(3):
        world.replace_answer(number, honest[number])
    world.clock.advance(1)
    assert len((await world.get(needed=6)).accepted) >= 6, "they are asked once a second"


async def test_one_that_did_not_answer_is_not_asked_again_at_once_when_others_were_not_enough(world: World) -> None:
    world.replace_answer(0, never)
    await world.get(needed=6, spares=2)
    for number in range(1, 3):
        world.doors[world.others[number].operator].close("full")
    world.street.asked.clear()
    with pytest.raises(TooFewApprovals):
        await world.get(needed=6, ref=replace(REF, object_id=ObjectId(43)))
    assert sorted(world.street.asked) == [f"sp{number}" for number in range(1, 8)]


async def test_an_unreachable_provider_is_frozen_with_its_error(world: World) -> None:
    async def refuse(request: ApprovalRequest, signature: Signature) -> Accepted:
        raise ServiceUnavailable("P2PPeer", "connection refused")

    world.replace_answer(0, refuse)
    await world.get(needed=6, spares=2)
    record = await world.record(0)
    assert record.failures == 1
    assert "connection refused" in record.last_error


async def test_nobody_can_report_a_provider_that_is_not_registered(world: World) -> None:
    with pytest.raises(UnknownProvider):
        await world.node.report_peer(Address("0x" + "00" * 20), "x")


# --- one question per object


async def test_two_callers_for_one_object_share_a_round(world: World) -> None:
    first, second = await asyncio.gather(world.get(), world.get())
    assert first is second
    assert len(world.street.asked) == 8


async def test_a_caller_with_other_wishes_waits_for_the_round_before(world: World) -> None:
    burnt = frozenset({world.others[0].operator})
    first, second = await asyncio.gather(world.get(needed=6, spares=2), world.get(needed=6, spares=1, exclude=burnt))
    assert len(first.accepted) == 8
    assert world.others[0].operator not in {a.approval.approval.approver for a in second.accepted}
    assert len(world.street.asked) == 15


async def test_a_cancelled_caller_does_not_take_the_round_from_another(world: World) -> None:
    first, second = asyncio.create_task(world.get()), asyncio.create_task(world.get())
    await turn()
    await turn()
    first.cancel()
    assert len((await second).accepted) >= 7


async def test_with_its_last_caller_a_round_ends(world: World) -> None:
    for number in range(8):
        world.replace_answer(number, never)
    caller = asyncio.create_task(world.get())
    while len(world.street.asked) < 8:
        await turn()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert [task.get_name() for task in asyncio.all_tasks() if "approvals" in task.get_name()] == []
    for number in range(8):
        world.replace_answer(number, honest_answer(answering(world.others[number], world.ledger)))
    assert len((await world.get()).accepted) >= 7


@pytest.mark.parametrize(("needed", "spares"), [(0, 1), (1, -1), (1, 33)])
async def test_wishes_out_of_bounds_are_refused(world: World, needed: int, spares: int) -> None:
    with pytest.raises(InvalidRequest):
        await world.get(needed=needed, spares=spares)


# --- what is known of the others


async def test_peers_are_listed_with_what_a_ping_and_the_records_say(world: World) -> None:
    reachable = world.others[0]
    world.street.statuses[reachable.record.p2p_endpoint] = PeerStatus(reachable.operator, 9, 77, True, "1.2")
    await world.node.report_peer(world.others[1].operator, "lost its piece")
    peers = {peer.operator: peer for peer in await world.node.list_peers(ping=True)}
    assert world.me.operator not in peers
    assert len(peers) == 8
    up, down = peers[reachable.operator], peers[world.others[1].operator]
    assert (up.reachable, up.height, up.free_bytes, up.accepting, up.version) == (True, 9, 77, True, "1.2")
    assert (down.reachable, down.failures, down.last_error) == (False, 1, "lost its piece")
    assert down.frozen_until_ms == world.clock.now_ms() + 30_000


async def test_an_endpoint_that_answers_in_anothers_name_is_not_that_peer(world: World) -> None:
    world.street.statuses[world.others[0].record.p2p_endpoint] = PeerStatus(
        world.others[1].operator, 9, 77, True, "1.2"
    )
    peers = {peer.operator: peer for peer in await world.node.list_peers(ping=True)}
    assert not peers[world.others[0].operator].reachable


async def test_without_a_ping_the_last_one_is_told(world: World) -> None:
    reachable = world.others[0]
    world.street.statuses[reachable.record.p2p_endpoint] = PeerStatus(reachable.operator, 9, 77, True, "1.2")
    await world.node.ping_all()
    world.street.statuses.clear()
    peers = {peer.operator: peer for peer in await world.node.list_peers(ping=False)}
    assert peers[reachable.operator].reachable


def test_the_order_of_deadlines_is_checked_at_the_start() -> None:
    with pytest.raises(ConfigError):
        P2PConfig(ask_timeout_s=5.0, round_timeout_s=4.0)


async def test_a_provider_refusal_that_claims_to_be_long_is_cut(world: World) -> None:
    async def chatter(request: ApprovalRequest, signature: Signature) -> Accepted:
        raise ApprovalRefused(world.others[0].operator, "x" * 100_000)

    world.replace_answer(0, chatter)
    approvals = await world.get(needed=6, spares=2)
    assert len(dict(approvals.refused)[world.others[0].operator]) == 200


async def busy(request: ApprovalRequest, signature: Signature) -> Accepted:
    raise Overloaded("questions for approvals")


async def test_a_busy_provider_is_left_alone_for_a_moment_and_not_frozen(world: World) -> None:
    honest = world.honest(0)
    world.replace_answer(0, busy)
    approvals = await world.get(needed=7, spares=0)
    assert dict(approvals.refused)[world.others[0].operator].startswith("busy: ")
    assert [record.provider for record in await world.node.records.all() if record.failures] == []
    world.replace_answer(0, honest)
    world.street.asked.clear()
    await world.get(needed=7, spares=0)
    assert "sp0" not in world.street.asked, "the others are enough"
    world.clock.advance(1.0)
    world.street.asked.clear()
    await world.get(needed=8, spares=0)
    assert "sp0" in world.street.asked


async def test_a_busy_provider_is_asked_again_at_once_where_the_others_are_not_enough(world: World) -> None:
    honest = world.honest(0)
    world.replace_answer(0, busy)
    with pytest.raises(TooFewApprovals, match="busy: At the configured limit"):
        await world.get(needed=8, spares=0)
    world.replace_answer(0, honest)
    assert len((await world.get(needed=8, spares=0)).accepted) == 8
