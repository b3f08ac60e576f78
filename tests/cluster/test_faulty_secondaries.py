"""Secondaries that refuse, hang, die or lie: each is replaced, and the object is sealed without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from sp.domain.errors import StoreFailed, StoreFull
from sp.domain.ids import Address, SegmentIndex
from sp.domain.jobs import SecondaryState
from sp.domain.ledger import ChainObject
from sp.domain.lifecycle import JobState as S
from sp.domain.pieces import SegmentKey
from tasknode.client import JobDetail
from tests.cluster import hostile
from tests.cluster.conftest import BUCKET
from tests.cluster.hostile import Lie, hostile_receiver
from tests.cluster.network import KIB, Network, Sp, story
from tests.cluster.s3 import S3, s3_session
from tests.cluster.users import User, checksums_of
from tests.vectors import payload

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAN: dict[str, Any] = {
    "sps": 9,
    "changes": {
        "tasknode": {"open_timeout_s": 4.0, "piece_timeout_s": 4.0, "retry_max_delay_ms": 100},
        "p2p": {"freeze_first_s": 0.01, "freeze_max_s": 0.01},
    },
}
BODY = payload(5 * 64 * KIB + 1234)


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _as_planned_afterwards(network: Network) -> AsyncIterator[None]:
    yield
    await network.restart_as_planned()


async def put(s3: S3, name: str, body: bytes = BODY) -> None:
    answer = await s3.put(BUCKET, name, body)
    assert answer.status == 200, answer.body


async def sealed_without(network: Network, s3: S3, name: str, *victims: Sp, body: bytes = BODY) -> JobDetail:
    """The job of an object that six others keep, with the right checksums, and that reads back equal."""
    detail = await network.sealed(network.sps[0], BUCKET, name)
    found = await network.chain.head_object(BUCKET, name)
    assert len(set(found.secondaries)) == 6
    assert not {sp.operator for sp in (*victims, network.sps[0])} & set(found.secondaries), story(detail)
    assert found.checksums == checksums_of(body)
    assert (await s3.get(BUCKET, name)).body == body
    await assert_rebuilds(network, s3, detail, found, name, body)
    return detail


async def assert_rebuilds(
    network: Network, s3: S3, detail: JobDetail, found: ChainObject, name: str, body: bytes
) -> None:
    """Those whom the job's own rows name for the columns are the chain's, and have the pieces."""
    done = [s for s in detail.secondaries if s.state is SecondaryState.DONE]
    by_column = sorted(done, key=lambda s: s.redundancy_index)
    assert tuple(s.provider for s in by_column) == found.secondaries
    await network.sps[0].pieces.drop(SegmentKey(detail.job.id, SegmentIndex(0)))
    assert (await s3.get(BUCKET, name)).body == body


def reasons_of(detail: JobDetail, provider: Address) -> str:
    return " | ".join(row.reason for row in detail.history if row.provider == provider)


async def make_hostile(sp: Sp, lie: Lie) -> None:
    sp.runners["receiver"] = hostile_receiver(lie)
    await sp.restart()


LIES: dict[str, tuple[Lie, str]] = {
    "refuses": (hostile.refuses_the_offer, "it has changed its mind"),
    "hangs_at_the_offer": (hostile.hangs_at_the_offer, "the answer to an offer"),
    "hangs_before_the_receipt": (hostile.hangs_before_the_receipt, "its receipt"),
    "ends_early": (hostile.ends_without_a_receipt, "ended the call"),
    "signs_too_early": (hostile.signs_before_it_has_anything, ""),
    "signs_a_wrong_hash": (hostile.signs_a_wrong_hash, "its integrity hash is not that of the pieces sent"),
    "tampers": (hostile.tampers_with_a_piece, "its integrity hash is not that of the pieces sent"),
    "another_key": (hostile.signs_with_another_key, "is not signed by its approval key"),
    "zeros": (hostile.signs_with_zeros, "is not signed by its approval key"),
    "garbage": (hostile.signs_with_garbage, "is not signed by its approval key"),
    "no_signature": (hostile.signs_with_nothing, ""),
    "half_a_hash": (hostile.gives_half_a_hash, ""),
}


@pytest.mark.parametrize("how", LIES)
async def test_a_secondary_that_cheats_is_replaced_and_named_with_its_reason(
    network: Network, s3: S3, how: str
) -> None:
    lie, reason = LIES[how]
    victim = network.next_holders(network.sps[0])[1]
    await make_hostile(victim, lie)
    await put(s3, how)
    detail = await sealed_without(network, s3, how, victim)
    assert reason in reasons_of(detail, victim.operator)
    assert "takes its place" in reasons_of(detail, victim.operator)


@pytest.mark.parametrize("how", LIES)
async def test_a_secondary_that_cheats_over_a_small_object_is_replaced(network: Network, s3: S3, how: str) -> None:
    """Its column is one piece, which comes whole."""
    victim = network.next_holders(network.sps[0])[1]
    await make_hostile(victim, LIES[how][0])
    name, body = f"small, {how}", payload(4096)
    await put(s3, name, body)
    detail = await sealed_without(network, s3, name, victim, body=body)
    assert "takes its place" in reasons_of(detail, victim.operator)


async def test_a_secondary_that_tampers_is_replaced_where_the_chain_knows_the_checksums_beforehand(
    network: Network, s3: S3
) -> None:
    """It refuses what it has spoilt itself; the primary knows better than to blame the object."""
    user = User.new(network.chain)
    await user.create_bucket("users-own", network.sps[0].operator)
    victim = network.next_holders(network.sps[0])[1]
    await make_hostile(victim, hostile.tampers_with_a_piece)
    await user.create_object("users-own", "tampered", BODY)
    async with s3_session(network.sps[0], None, user.key) as client:
        assert (await client.put("users-own", "tampered", BODY)).status == 200
        detail = await network.sealed(network.sps[0], "users-own", "tampered")
        assert (await client.get("users-own", "tampered")).body == BODY
    assert "is not the one on chain" in reasons_of(detail, victim.operator)
    found = await network.chain.head_object("users-own", "tampered")
    assert victim.operator not in found.secondaries


async def test_a_secondary_that_hangs_in_the_middle_of_a_piece_is_replaced(network: Network, s3: S3) -> None:
    victim = network.next_holders(network.sps[0])[0]
    await make_hostile(victim, hostile.hangs_in_a_piece)
    await put(s3, "in a piece")
    detail = await sealed_without(network, s3, "in a piece", victim)
    assert "No answer within the configured time" in reasons_of(detail, victim.operator)


async def test_a_secondary_that_claims_pieces_it_does_not_have_is_sent_them_all_the_same(
    network: Network, s3: S3
) -> None:
    victim = network.next_holders(network.sps[0])[0]
    await make_hostile(victim, hostile.claims_pieces_it_does_not_have)
    await put(s3, "claims")
    detail = await sealed_without(network, s3, "claims")
    assert victim.operator in {s.provider for s in detail.secondaries if s.state is SecondaryState.DONE}


async def test_a_provider_that_refuses_approval_is_not_chosen_and_the_history_says_why(
    network: Network, s3: S3
) -> None:
    victim = network.next_holders(network.sps[0])[0]
    victim.services["p2p"].answering.door.close("the disk is being changed")
    await put(s3, "refused approval")
    detail = await sealed_without(network, s3, "refused approval", victim)
    chosen = next(row for row in detail.history if row.state is S.ALLOC_SECONDARY_DONE)
    assert f"{victim.operator} not accepting: the disk is being changed" in chosen.reason


async def test_a_secondary_that_dies_half_way_is_replaced(network: Network, s3: S3) -> None:
    victim = network.next_holders(network.sps[0])[2]
    committing = victim.pieces.hang("commit")
    await put(s3, "died")
    await committing.reached.wait()
    await victim.stop()
    detail = await sealed_without(network, s3, "died", victim)
    assert "column" in reasons_of(detail, victim.operator)


async def test_a_secondary_that_is_down_before_the_offer_is_replaced(network: Network, s3: S3) -> None:
    """It has approved, so it is chosen; between the two it stops."""
    victim = network.next_holders(network.sps[0])[0]
    asked = asyncio.Event()
    answering = victim.services["p2p"].answering
    answer = type(answering).answer

    async def answer_and_tell(self: Any, request: Any, signature: bytes) -> Any:
        answered = await answer(self, request, signature)
        if self is answering:
            asked.set()
        return answered

    others = [sp for sp in network.sps[1:] if sp is not victim]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(answering), "answer", answer_and_tell)
        slowest = others[0].pieces.hang("free_bytes")  # so that the round waits until the victim is down
        await put(s3, "down")
        await asked.wait()
        await victim.stop()
        slowest.release()
        detail = await sealed_without(network, s3, "down", victim)
    assert "takes its place" in reasons_of(detail, victim.operator)


@pytest.mark.parametrize(
    ("name", "error", "reason"),
    [
        ("full", StoreFull("disk"), "The piece store has no space left"),
        ("broken", StoreFailed("disk", "EIO"), "The piece store could not carry out an operation"),
    ],
)
@pytest.mark.parametrize("op", ["write", "commit"])
async def test_a_secondary_whose_store_fails_is_replaced(
    network: Network, s3: S3, name: str, error: Any, reason: str, op: Any
) -> None:
    victim = network.next_holders(network.sps[0])[1]
    victim.pieces.fail_next(op, error)
    await put(s3, f"{name} {op}")
    detail = await sealed_without(network, s3, f"{name} {op}", victim)
    assert reason in reasons_of(detail, victim.operator)


async def test_a_secondary_whose_store_fails_after_some_pieces_is_replaced(network: Network, s3: S3) -> None:
    victim = network.next_holders(network.sps[0])[3]
    victim.pieces.fail_after(puts=3)
    await put(s3, "after three")
    detail = await sealed_without(network, s3, "after three", victim)
    assert "EIO" in reasons_of(detail, victim.operator)


async def test_two_that_fail_at_once_are_both_replaced(network: Network, s3: S3) -> None:
    liar, broken = network.next_holders(network.sps[0])[:2]
    await make_hostile(liar, hostile.signs_with_another_key)
    broken.pieces.fail_after(puts=1)
    await put(s3, "two")
    detail = await sealed_without(network, s3, "two", liar, broken)
    assert "approval key" in reasons_of(detail, liar.operator)
    assert "EIO" in reasons_of(detail, broken.operator)


async def test_a_replacement_that_fails_is_replaced_as_well(network: Network, s3: S3) -> None:
    ranked = network.next_holders(network.sps[0])
    for victim in (ranked[0], ranked[6]):  # one of the six, and the first spare
        victim.pieces.fail_after(puts=0)
    await put(s3, "replacement fails")
    detail = await sealed_without(network, s3, "replacement fails", ranked[0], ranked[6])
    assert "EIO" in reasons_of(detail, ranked[6].operator)


async def test_with_nobody_left_the_object_waits_and_is_sealed_when_the_failed_ones_are_well_again(
    network: Network, s3: S3
) -> None:
    sick = network.next_holders(network.sps[0])[:3]  # eight others, so five are well: one too few
    for victim in sick:
        victim.pieces.fail_after(puts=0)
    await put(s3, "nobody left")
    waiting = await network.until(
        network.sps[0], BUCKET, "nobody left", lambda d: any(row.state is S.REPLICATE_OBJECT_ERROR for row in d.history)
    )
    error = next(row for row in waiting.history if row.state is S.REPLICATE_OBJECT_ERROR)
    assert "Fewer providers" in error.reason
    assert (await s3.get(BUCKET, "nobody left")).body == BODY
    for victim in sick:
        victim.pieces.heal()
    await sealed_without(network, s3, "nobody left")


async def test_a_column_that_is_done_is_not_sent_again_when_another_secondary_is_replaced(
    network: Network, s3: S3
) -> None:
    ranked = network.next_holders(network.sps[0])
    ranked[0].pieces.fail_after(puts=2)
    await put(s3, "sent once")
    detail = await sealed_without(network, s3, "sent once", ranked[0])
    attempts = {s.redundancy_index: s.attempts for s in detail.secondaries if s.state is SecondaryState.DONE}
    assert attempts == dict.fromkeys(range(6), 1)
    assert [s.provider for s in detail.secondaries if s.state is SecondaryState.FAILED] == [ranked[0].operator]
