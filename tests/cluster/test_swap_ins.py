"""A secondary leaves: each of its columns of sealed objects goes to another provider, and the chain says so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

import tasknode.app
from sp.domain.ids import ObjectId
from sp.domain.jobs import Job, SecondaryState
from sp.domain.ledger import ChainObject, SpStatus
from sp.domain.messages import (
    MsgCompleteStorageProviderExit,
    MsgDeleteObject,
    MsgStorageProviderExit,
    MsgStorageProviderForcedExit,
)
from sp.runtime.parts import Parts
from spdb.swap_ins import SwapIns
from tasknode.service import TaskNodeService
from tests.cluster.conftest import BUCKET
from tests.cluster.damage import file_of, lose_disk, piece, segment
from tests.cluster.dying import Dead, Death, DyingJobs, When
from tests.cluster.network import KIB, RUNNERS, Network, Runner, Sp, running_network
from tests.cluster.s3 import S3, s3_session
from tests.cluster.users import User
from tests.vectors import payload

pytestmark = pytest.mark.asyncio

PLAN: dict[str, Any] = {
    "sps": 8,
    "manual_chores": True,
    "changes": {
        "tasknode": {
            "lease_ms": 300,
            "swap_in_pause_s": 0.001,
            "retry_first_delay_ms": 300,
            "retry_max_delay_ms": 300,
            "open_timeout_s": 5.0,
            "piece_timeout_s": 5.0,
        },
        "p2p": {"freeze_first_s": 0.01, "freeze_max_s": 0.01},
    },
}
BODY = payload(3 * 64 * KIB + 99)


@asynccontextmanager
async def networked(dir: Path, **changes: Any) -> AsyncIterator[tuple[Network, S3]]:
    async with (
        running_network(dir, **{**PLAN, **changes}) as network,
        s3_session(network.sps[0], network.account) as s3,
    ):
        await s3.make_bucket(BUCKET)
        yield network, s3


async def sealed(network: Network, s3: S3, name: str, body: bytes = BODY) -> Job:
    answer = await s3.put(BUCKET, name, body)
    assert answer.status == 200, answer.body
    return (await network.sealed(network.sps[0], BUCKET, name)).job


async def leaves(network: Network, sp: Sp) -> None:
    """`sp exit announce`."""
    await included(network, sp, MsgStorageProviderExit(sp.operator))


async def included(network: Network, sp: Sp, message: Any) -> None:
    tx_hash = await sp.signer.submit(message)
    result = await network.chain.wait_tx(tx_hash, network.node.newest.height + 20)
    assert result.code == 0, result


async def until_swapped(network: Network, names: list[str], leaver: Sp) -> None:
    """Settle until the chain names the leaver for none of them; what failed in between, or is leased by a process that
    has died, is waited for."""
    for _ in range(40):
        await network.settle()
        objects = [await network.chain.head_object(BUCKET, name) for name in names]
        listed, _ = await network.sps[0].tasknode.list_swap_ins(100)
        if not listed and not any(leaver.operator in each.secondaries for each in objects):
            await network.settle()
            return
        due_ms = min((each.next_attempt_at_ms for each in listed), default=0)
        await asyncio.sleep(max(0.05, due_ms / 1000 - time.time()))
    raise AssertionError(listed)


async def found(network: Network, name: str) -> ChainObject:
    return await network.chain.head_object(BUCKET, name)


async def recorded(network: Network, job: Job) -> list[str]:
    detail = await network.sps[0].tasknode.get_job(job.id)
    rows = [s for s in detail.secondaries if s.state is SecondaryState.DONE]
    return [s.provider for s in sorted(rows, key=lambda s: s.redundancy_index)]


async def held(sp: Sp, object_id: ObjectId | None) -> list[str]:
    return [key for key in await sp.keys() if key.startswith(f"e{object_id}_")]


async def test_every_column_of_one_that_leaves_goes_to_another_and_its_pieces_are_collected(tmp_path: Path) -> None:
    async with networked(tmp_path) as (network, s3):
        names = [f"object {number}" for number in range(4)]
        jobs = [await sealed(network, s3, name, BODY[: -number or None]) for number, name in enumerate(names)]
        before = [await found(network, name) for name in names]
        leaver = next(sp for sp in network.sps if all(sp.operator in each.secondaries for each in before))
        columns = [each.secondaries.index(leaver.operator) for each in before]
        spares = [next(sp for sp in network.sps[1:] if sp.operator not in each.secondaries) for each in before]
        await leaves(network, leaver)
        await until_swapped(network, names, leaver)
        for job, name, was, column, spare in zip(jobs, names, before, columns, spares, strict=True):
            now = await found(network, name)
            assert now.secondaries[column] == spare.operator
            assert (now.checksums, now.version) == (was.checksums, was.version)
            assert await recorded(network, job) == list(now.secondaries)
            assert len(await held(spare, now.id)) == job.segments
        assert await leaver.keys() == []
        assert await network.sps[0].tasknode.list_swap_ins(10) == ([], {})
        history = (await network.sps[0].tasknode.get_job(jobs[0].id)).history
        assert [row.provider for row in history if row.event == "secondary replaced"] == [leaver.operator]
        await included(network, leaver, MsgCompleteStorageProviderExit(leaver.operator))
        await leaver.stop()
        for name, number in zip(names, range(4), strict=True):
            assert (await s3.get(BUCKET, name)).body == BODY[: -number or None]


async def test_a_replaced_object_survives_the_primarys_segment_and_any_two_secondaries(tmp_path: Path) -> None:
    async with networked(tmp_path) as (network, s3):
        job = await sealed(network, s3, "survivor")
        leaver = network.sp_of((await found(network, "survivor")).secondaries[3])
        await leaves(network, leaver)
        await until_swapped(network, ["survivor"], leaver)
        holders = [network.sp_of(operator) for operator in (await found(network, "survivor")).secondaries]
        saved = {(i, c): file_of(holders[c], piece(job, i, c)).read_bytes() for i in range(4) for c in range(6)}
        for lost in combinations(range(6), 2):
            for index in range(job.segments):
                file_of(network.sps[0], segment(job, index)).unlink()
                for column in lost:
                    file_of(holders[column], piece(job, index, column)).unlink()
            assert (await s3.get(BUCKET, "survivor")).body == BODY, lost
            await network.settle()  # those who were asked for what they had lost have mended it
            for (index, column), true in saved.items():
                file_of(holders[column], piece(job, index, column)).write_bytes(true)


async def test_one_marked_as_gone_by_force_is_replaced_without_its_help(tmp_path: Path) -> None:
    async with networked(tmp_path) as (network, s3):
        await sealed(network, s3, "gone")
        leaver = network.sp_of((await found(network, "gone")).secondaries[0])
        lose_disk(leaver)
        await leaver.stop()
        await included(network, network.sps[0], MsgStorageProviderForcedExit(network.account.address, leaver.operator))
        assert (await network.chain.storage_providers())[leaver.operator].status is SpStatus.FORCED_EXITING
        await until_swapped(network, ["gone"], leaver)
        assert (await s3.get(BUCKET, "gone")).body == BODY


async def test_a_column_is_made_from_its_siblings_when_the_primary_has_lost_the_segments(tmp_path: Path) -> None:
    async with networked(tmp_path) as (network, s3):
        job = await sealed(network, s3, "siblings")
        leaver = network.sp_of((await found(network, "siblings")).secondaries[5])
        for index in range(job.segments):
            file_of(network.sps[0], segment(job, index)).unlink()
        await leaves(network, leaver)
        await until_swapped(network, ["siblings"], leaver)
        assert (await s3.get(BUCKET, "siblings")).body == BODY


async def test_what_is_deleted_or_overwritten_meanwhile_is_not_taken_over(tmp_path: Path) -> None:
    async with networked(tmp_path) as (network, s3):
        await sealed(network, s3, "deleted")
        await sealed(network, s3, "over")
        swaps = network.sps[0].tasknode.swap_ins
        holders = [set((await found(network, name)).secondaries) for name in ("deleted", "over")]
        leaver = network.sp_of(sorted(holders[0] & holders[1])[0])
        await leaves(network, leaver)
        listed, after = await swaps.vacancies(0, 100, {leaver.operator})
        assert (len(listed), after) == (2, None)
        assert await swaps.plan(listed) == 2
        assert await swaps.plan(listed) == 0
        owner = User(network.account.key, network.chain)
        await owner.execute(MsgDeleteObject(owner.address, BUCKET, "deleted"))
        await sealed(network, s3, "over", BODY[::-1])
        await network.settle()
        assert await swaps.counts() == {}
        assert leaver.operator not in (await found(network, "over")).secondaries
        assert (await s3.get(BUCKET, "over")).body == BODY[::-1]
        assert await leaver.keys() == []


async def test_without_a_provider_that_could_take_over_it_is_tried_again_until_there_is_one(tmp_path: Path) -> None:
    async with networked(tmp_path) as (network, s3):
        await sealed(network, s3, "waits")
        was = await found(network, "waits")
        spare = next(sp for sp in network.sps[1:] if sp.operator not in was.secondaries)
        leaver = network.sp_of(was.secondaries[1])
        spare.services["p2p"].answering.door.close("maintenance")
        await leaves(network, leaver)
        await network.settle()
        listed, counts = await network.sps[0].tasknode.list_swap_ins(10)
        assert counts == {leaver.operator: 1}
        assert listed[0].attempts >= 1
        assert "maintenance" in listed[0].error
        assert len(await held(leaver, was.id)) == 4, "it serves until then"
        spare.services["p2p"].answering.door.open()
        await until_swapped(network, ["waits"], leaver)


# --- crashes ------------------------------------------------------------------------------------------------------

STEPS = ("plan", "take", "chosen", "signed", "done")


def dying_swap_ins(death: Death) -> Runner:
    @asynccontextmanager
    async def running(parts: Parts) -> AsyncIterator[TaskNodeService]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tasknode.app, "SwapIns", lambda *given: DyingJobs(SwapIns(*given), death))  # type: ignore[arg-type]  # any store will do
            async with tasknode.app.running(parts) as service:
                yield service

    return running


async def dead(sp: Sp) -> None:
    """Settle until it dies."""
    for _ in range(20):
        await sp.settle()


@pytest.mark.parametrize("when", list(When), ids=lambda when: when.value)
@pytest.mark.parametrize("step", STEPS)
async def test_a_task_node_that_dies_at_any_step_leaves_what_the_next_one_finishes(
    tmp_path: Path, step: str, when: When
) -> None:
    async with networked(tmp_path) as (network, s3):
        job = await sealed(network, s3, "crash")
        primary, death = network.sps[0], Death(step, when)
        leaver = network.sp_of((await found(network, "crash")).secondaries[2])
        primary.runners["tasknode"] = dying_swap_ins(death)
        await primary.restart()
        await leaves(network, leaver)
        with pytest.raises((Dead, ExceptionGroup)):
            await dead(primary)
        assert death.died.is_set()
        primary.runners = dict(RUNNERS)
        await primary.restart()
        await until_swapped(network, ["crash"], leaver)
        now = await found(network, "crash")
        assert await recorded(network, job) == list(now.secondaries)
        assert (await s3.get(BUCKET, "crash")).body == BODY
        assert await leaver.keys() == []
        assert await primary.tasknode.list_swap_ins(10) == ([], {})
