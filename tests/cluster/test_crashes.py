"""The primary's task node dies between any two steps: the next goes on from the row, and chain and readers agree."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from chain.dev.faults import Faults
from sp.domain.ids import JobId
from sp.domain.jobs import SecondaryState
from sp.domain.ledger import ObjectStatus
from sp.domain.lifecycle import JobEvent as E
from sp.domain.lifecycle import JobState as S
from spdb.jobs import Jobs
from tasknode.client import JobDetail
from tests.cluster.conftest import BUCKET
from tests.cluster.dying import EVENTS, Dead, Death, When, dying_tasknode, tasknode_with
from tests.cluster.network import KIB, RUNNERS, Network, story
from tests.cluster.s3 import S3
from tests.vectors import payload

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAN: dict[str, Any] = {
    "sps": 8,
    "changes": {
        "tasknode": {"lease_ms": 400, "poll_interval_s": 0.1, "open_timeout_s": 5.0, "piece_timeout_s": 5.0},
        "p2p": {"freeze_first_s": 0.01, "freeze_max_s": 0.01},
    },
}
BODY = payload(3 * 64 * KIB + 99)


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _as_planned_afterwards(network: Network) -> AsyncIterator[None]:
    yield
    network.node.set_faults(Faults())
    await network.restart_as_planned()


async def put(s3: S3, name: str, body: bytes = BODY) -> None:
    answer = await s3.put(BUCKET, name, body)
    assert answer.status == 200, answer.body


async def dies(network: Network, s3: S3, name: str, death: Death, body: bytes = BODY) -> None:
    """Put an object at a provider whose task node dies over it, then start that provider again, whole."""
    sp = network.sps[0]
    sp.runners["tasknode"] = dying_tasknode(death)
    await sp.restart()
    await put(s3, name, body)
    await death.died.wait()
    assert (await s3.get(BUCKET, name)).body == body  # the other services are alive
    with pytest.raises(Dead):
        await sp.stop()
    sp.runners = dict(RUNNERS)
    await sp.start()


async def assert_sealed_once(network: Network, s3: S3, name: str, body: bytes = BODY) -> JobDetail:
    detail = await network.sealed(network.sps[0], BUCKET, name)
    found = await network.chain.head_object(BUCKET, name)
    assert (found.status, found.id, found.version) == (ObjectStatus.SEALED, detail.job.object_id, detail.job.version)
    assert found.payload_size == len(body)
    done = sorted((s.redundancy_index, s.provider) for s in detail.secondaries if s.state is SecondaryState.DONE)
    assert [provider for _, provider in done] == list(found.secondaries), story(detail)
    answer = await s3.get(BUCKET, name)
    assert (answer.body, answer.headers["x-sp-object-status"]) == (body, "SEALED")
    return detail


@pytest.mark.parametrize("when", When, ids=lambda when: when.value)
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
async def test_a_put_is_sealed_though_its_task_node_dies_over_a_step(
    network: Network, s3: S3, event: E, when: When
) -> None:
    name = f"{event.name} {when.value}"
    created = network.node.state.next_object_id
    await dies(network, s3, name, Death(event, when))
    await assert_sealed_once(network, s3, name)
    assert network.node.state.next_object_id == created + 1, "the object was created on chain twice"


@pytest.mark.parametrize("when", When, ids=lambda when: when.value)
@pytest.mark.parametrize("count", [1, 4, 6])
async def test_a_put_is_sealed_though_its_task_node_dies_when_some_columns_are_done(
    network: Network, s3: S3, count: int, when: When
) -> None:
    name = f"{count} columns {when.value}"
    await dies(network, s3, name, Death("secondary_done", when, count))
    detail = await assert_sealed_once(network, s3, name)
    attempts = [s.attempts for s in detail.secondaries if s.state is SecondaryState.DONE]
    if when is When.AFTER:
        assert attempts.count(1) >= count, "a column that was signed for is not sent again"


@pytest.mark.parametrize("when", When, ids=lambda when: when.value)
async def test_an_overwrite_is_sealed_though_its_task_node_dies_when_the_chain_has_its_update(
    network: Network, s3: S3, when: When
) -> None:
    name = f"overwrite {when.value}"
    await put(s3, name, b"old" * 30_000)
    await network.sealed(network.sps[0], BUCKET, name)
    await dies(network, s3, name, Death(E.SECONDARIES_CHOSEN, when))
    detail = await assert_sealed_once(network, s3, name)
    assert detail.job.version == 1


async def test_a_put_is_sealed_though_every_step_is_another_task_nodes(network: Network, s3: S3) -> None:
    sp = network.sps[0]
    await sp.stop()
    for place, event in enumerate(EVENTS[:-1]):
        death = Death(event, When.AFTER)
        sp.runners["tasknode"] = dying_tasknode(death)
        await sp.start()
        if not place:
            await put(s3, "relay")
        network.node.faults.pause_blocks = place >= EVENTS.index(E.ALL_SECONDARIES_SIGNED)  # no seal is found early
        await death.died.wait()
        with pytest.raises(Dead):
            await sp.stop()
    sp.runners = dict(RUNNERS)
    await sp.start()
    network.node.set_faults(Faults())
    detail = await assert_sealed_once(network, s3, "relay")
    states = [row.state for row in detail.history if row.from_state is not row.state]
    assert states == [s for s in S if S.UPLOAD_OBJECT_DOING <= s <= S.SEAL_OBJECT_DONE and not s.name.endswith("ERROR")]
    assert len({row.actor for row in detail.history if row.state >= S.ALLOC_SECONDARY_DOING}) >= len(EVENTS)


async def test_a_lost_answer_to_the_seals_broadcast_makes_no_second_seal(network: Network, s3: S3) -> None:
    """The chain has it in its pool and says that it failed; the task node dies before it looks again."""
    sp = network.sps[0]
    last = network.next_holders(sp)[0]
    receiving = last.pieces.hang("commit")
    await put(s3, "lost answer")
    await receiving.reached.wait()
    network.node.faults.fail_next_broadcasts = 1
    receiving.release()
    await assert_sealed_once(network, s3, "lost answer")
    assert network.node.faults.fail_next_broadcasts == 0


async def test_a_task_node_that_stops_gives_its_jobs_back_at_once(network: Network, s3: S3) -> None:
    sp = network.sps[0]
    await sp.restart({"tasknode": {"lease_ms": 600_000}})
    receiving = network.next_holders(sp)[0].pieces.hang("commit")
    await put(s3, "given back")
    await receiving.reached.wait()
    await sp.stop()
    receiving.release()
    await sp.start()
    await assert_sealed_once(network, s3, "given back")


async def test_a_task_node_that_could_not_keep_its_lease_carries_the_job_once(network: Network, s3: S3) -> None:
    """Renewing hangs, so the lease runs out while the work goes on; the same process takes the job anew."""
    sp = network.sps[0]
    taken: list[JobId] = []
    again = asyncio.Event()

    class Forgetful:
        def __init__(self, true: Jobs) -> None:
            self._true = true

        def __getattr__(self, name: str) -> Any:
            return getattr(self._true, name)

        async def renew_lease(self, *_: object) -> bool:
            await asyncio.Event().wait()
            return False

        async def take(self, *given: Any) -> Any:
            jobs = await self._true.take(*given)
            taken.extend(job.id for job in jobs)
            if len(taken) > len(set(taken)):
                again.set()
            return jobs

    sp.runners["tasknode"] = tasknode_with(Forgetful)
    await sp.restart()
    receiving = network.next_holders(sp)[0].pieces.hang("commit")
    await put(s3, "twice")
    await receiving.reached.wait()
    await again.wait()
    receiving.release()
    await assert_sealed_once(network, s3, "twice")
