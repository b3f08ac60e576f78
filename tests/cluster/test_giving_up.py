"""Too few providers agree: the job waits and says who refused and why. Given up, it leaves the chain, not the store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from sp.domain.errors import IllegalMove, NoSuchJob, NoSuchObject
from sp.domain.jobs import HistoryRow
from sp.domain.ledger import ObjectStatus
from sp.domain.lifecycle import JobState as S
from tasknode.client import JobDetail
from tests.cluster.conftest import BUCKET
from tests.cluster.network import KIB, Network, Sp, story
from tests.cluster.s3 import S3
from tests.vectors import payload

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAN: dict[str, Any] = {
    "sps": 8,
    "chain_changes": {"production": "interval", "block_interval_ms": 50},  # where a transaction is lost, time must pass
    "changes": {
        "tasknode": {"open_timeout_s": 2.0, "piece_timeout_s": 2.0, "retry_max_delay_ms": 100},
        "p2p": {"freeze_first_s": 0.01, "freeze_max_s": 0.01, "ask_timeout_s": 1.0, "round_timeout_s": 2.0},
    },
}
BODY = payload(3 * 64 * KIB + 7)
TWO_ATTEMPTS = {"tasknode": {"retry_max_attempts": 2}}


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _as_planned_afterwards(network: Network) -> AsyncIterator[None]:
    yield
    network.node.faults.drop_next_txs = 0
    await network.restart_as_planned()


def close(sp: Sp, reason: str) -> None:
    sp.services["p2p"].answering.door.close(reason)


def open_again(sp: Sp) -> None:
    sp.services["p2p"].answering.door.open()


async def put(s3: S3, name: str, body: bytes = BODY) -> None:
    answer = await s3.put(BUCKET, name, body)
    assert answer.status == 200, answer.body


async def after(network: Network, name: str, state: S) -> JobDetail:
    """The job once it has been in this state."""
    return await network.until(network.sps[0], BUCKET, name, lambda d: any(row.state is state for row in d.history))


async def given_up(network: Network, name: str) -> JobDetail:
    return await network.until(network.sps[0], BUCKET, name, lambda detail: detail.job.given_up)


async def assert_sealed_and_equal(network: Network, s3: S3, name: str, body: bytes = BODY) -> JobDetail:
    detail = await network.sealed(network.sps[0], BUCKET, name)
    assert (await network.chain.head_object(BUCKET, name)).status is ObjectStatus.SEALED
    answer = await s3.get(BUCKET, name)
    assert (answer.body, answer.headers["x-sp-object-status"]) == (body, "SEALED")
    return detail


async def assert_kept_but_not_on_chain(network: Network, s3: S3, name: str) -> None:
    with pytest.raises(NoSuchObject):
        await network.chain.head_object(BUCKET, name)
    answer = await s3.get(BUCKET, name)
    assert (answer.body, answer.headers["x-sp-object-status"]) == (BODY, "CREATED")


async def test_with_five_approvals_the_error_names_each_that_refused_and_why_and_one_more_is_enough(
    network: Network, s3: S3
) -> None:
    closed, stopped = network.sps[3], network.sps[5]
    close(closed, "moving house")
    await stopped.stop()
    await put(s3, "five")

    def with_five(row: HistoryRow) -> bool:  # on a busy machine a third one may miss its deadline, once
        return row.state is S.ALLOC_SECONDARY_ERROR and "accepted=5, needed=6" in row.reason

    failed = await network.until(network.sps[0], BUCKET, "five", lambda detail: any(map(with_five, detail.history)))
    error = next(filter(with_five, failed.history))
    assert f"{closed.operator} not accepting: moving house" in error.reason
    assert f"{stopped.operator} " in error.reason
    for other in network.sps:
        assert (other.operator in error.reason) is (other in (closed, stopped)), error.reason
    assert (await s3.get(BUCKET, "five")).body == BODY
    open_again(closed)
    detail = await assert_sealed_and_equal(network, s3, "five")
    assert stopped.operator not in {s.provider for s in detail.secondaries}


async def test_an_object_waits_for_a_stopped_provider_and_is_sealed_when_it_is_back(network: Network, s3: S3) -> None:
    close(network.sps[1], "full")
    await network.sps[2].stop()
    await put(s3, "comes back")
    await after(network, "comes back", S.ALLOC_SECONDARY_ERROR)
    await network.sps[2].start()
    detail = await assert_sealed_and_equal(network, s3, "comes back")
    assert network.sps[2].operator in {s.provider for s in detail.secondaries}


async def test_several_objects_wait_and_all_are_sealed(network: Network, s3: S3) -> None:
    for sp in network.sps[1:4]:
        close(sp, "asleep")
    names = [f"several {number}" for number in range(4)]
    for name in names:
        await put(s3, name, name.encode() * 99)
    for name in names:
        await after(network, name, S.ALLOC_SECONDARY_ERROR)
    for sp in network.sps[1:4]:
        open_again(sp)
    for name in names:
        await assert_sealed_and_equal(network, s3, name, name.encode() * 99)


async def test_given_up_for_want_of_approvals_the_object_leaves_the_chain_and_stays_readable(
    network: Network, s3: S3
) -> None:
    await network.sps[0].restart(TWO_ATTEMPTS)
    for sp in network.sps[1:4]:
        close(sp, "no more room")
    await put(s3, "given up")
    detail = await given_up(network, "given up")
    assert "no more room" in story(detail)
    assert "no more room" in detail.job.error
    assert detail.job.next_attempt_at_ms is None
    await assert_kept_but_not_on_chain(network, s3, "given up")
    locked = (await network.chain.account(network.account.address)).locked
    assert locked == 0

    for sp in network.sps[1:4]:
        open_again(sp)
    await network.sps[0].tasknode.retry_job(detail.job.id)
    await assert_sealed_and_equal(network, s3, "given up")


async def test_given_up_in_replication_it_leaves_the_chain_and_a_retry_places_it_anew(network: Network, s3: S3) -> None:
    await network.sps[0].restart(TWO_ATTEMPTS)
    sick = network.sps[1:4]
    for sp in sick:
        sp.pieces.fail_after(puts=0)
    await put(s3, "not replicated")
    detail = await given_up(network, "not replicated")
    assert "EIO" in story(detail)
    assert S.REPLICATE_OBJECT_ERROR in {row.state for row in detail.history}
    first_id = detail.job.object_id
    await assert_kept_but_not_on_chain(network, s3, "not replicated")

    for sp in sick:
        sp.pieces.heal()
    await network.sps[0].tasknode.retry_job(detail.job.id)
    sealed = await assert_sealed_and_equal(network, s3, "not replicated")
    assert sealed.job.object_id != first_id
    assert sealed.job.object_id == (await network.chain.head_object(BUCKET, "not replicated")).id


async def test_given_up_at_the_seal_it_leaves_the_chain_and_a_retry_seals_it(network: Network, s3: S3) -> None:
    """Both seal transactions are lost; the rejection after them is not."""
    sp = network.sps[0]
    await sp.restart({"tasknode": {"retry_max_attempts": 2, "seal_timeout_blocks": 1}})
    last = network.next_holders(sp)[0]
    receiving = last.pieces.hang("commit")
    await put(s3, "not sealed")
    await receiving.reached.wait()
    network.node.faults.drop_next_txs = 2
    receiving.release()
    detail = await given_up(network, "not sealed")
    assert "TxNotSeen" in story(detail) or "is in no block yet" in story(detail)
    assert [row.state for row in detail.history].count(S.SEAL_OBJECT_ERROR) == 2
    await assert_kept_but_not_on_chain(network, s3, "not sealed")
    await sp.tasknode.retry_job(detail.job.id)
    await assert_sealed_and_equal(network, s3, "not sealed")


async def test_an_overwrite_that_is_given_up_leaves_the_old_content_sealed_and_a_retry_brings_the_new(
    network: Network, s3: S3
) -> None:
    await put(s3, "overwrite", b"old" * 1000)
    await network.sealed(network.sps[0], BUCKET, "overwrite")
    await network.sps[0].restart(TWO_ATTEMPTS)
    for sp in network.sps[1:4]:
        close(sp, "closed")
    await put(s3, "overwrite")
    detail = await given_up(network, "overwrite")
    found = await network.chain.head_object(BUCKET, "overwrite")
    assert (found.status, found.update, found.payload_size) == (ObjectStatus.SEALED, None, 3000)
    assert (await s3.get(BUCKET, "overwrite")).body == BODY
    for sp in network.sps[1:4]:
        open_again(sp)
    await network.sps[0].tasknode.retry_job(detail.job.id)
    await assert_sealed_and_equal(network, s3, "overwrite")


async def test_a_given_up_object_can_be_deleted_and_put_again(network: Network, s3: S3) -> None:
    await network.sps[0].restart(TWO_ATTEMPTS)
    for sp in network.sps[1:4]:
        close(sp, "closed")
    await put(s3, "again", b"first")
    first = await given_up(network, "again")
    assert (await s3.call("DELETE", f"/{BUCKET}/again")).status == 204
    assert (await s3.get(BUCKET, "again")).status == 404
    for sp in network.sps[1:4]:
        open_again(sp)
    await put(s3, "again")
    await assert_sealed_and_equal(network, s3, "again")
    with pytest.raises((IllegalMove, NoSuchJob)):  # by and by its row is purged
        await network.sps[0].tasknode.retry_job(first.job.id)


async def test_a_job_is_not_given_up_before_the_chain_has_let_go_of_its_object(network: Network, s3: S3) -> None:
    """The first rejection is lost on its way."""
    sp = network.sps[0]
    await sp.restart({"tasknode": {"retry_max_attempts": 1, "create_timeout_blocks": 1}})
    for other in network.sps[1:4]:
        close(other, "closed")
    asked = network.sps[4].pieces.hang("free_bytes")
    await put(s3, "lost rejection")
    await asked.reached.wait()
    network.node.faults.drop_next_txs = 1
    asked.release()
    detail = await given_up(network, "lost rejection")
    assert network.node.faults.drop_next_txs == 0
    assert "is in no block yet" in story(detail)
    await assert_kept_but_not_on_chain(network, s3, "lost rejection")
