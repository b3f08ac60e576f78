"""Garbage: what no object needs any more goes from all providers, and nothing else does."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

import pytest

from chain.dev.faults import Faults
from sp.domain.errors import NoSuchObject
from sp.domain.ids import SegmentIndex
from sp.domain.jobs import PutOrder
from sp.domain.ledger import ObjectStatus
from sp.domain.lifecycle import JobState as S
from sp.domain.messages import MsgDeleteObject
from sp.domain.pieces import SegmentKey
from tests.cluster import offering
from tests.cluster.conftest import BUCKET
from tests.cluster.network import KIB, Network, Sp
from tests.cluster.s3 import S3
from tests.cluster.users import User, checksums_of
from tests.vectors import payload

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("nothing_left_afterwards")]

PLAN: dict[str, Any] = {
    "sps": 7,
    "manual_chores": True,
    "changes": {
        "tasknode": {"open_timeout_s": 5.0, "piece_timeout_s": 5.0},
        "p2p": {"freeze_first_s": 0.01, "freeze_max_s": 0.01},
    },
}
OLD = payload(3 * 64 * KIB + 1)
NEW = bytes(reversed(payload(4 * 64 * KIB + 5)))


async def put(s3: S3, name: str, body: bytes) -> None:
    answer = await s3.put(BUCKET, name, body)
    assert answer.status == 200, answer.body


async def put_and_sealed(network: Network, s3: S3, name: str, body: bytes) -> None:
    await put(s3, name, body)
    await network.sealed(network.sps[0], BUCKET, name)


async def delete(s3: S3, name: str) -> None:
    answer = await s3.call("DELETE", f"/{BUCKET}/{quote(name)}")
    assert answer.status == 204, answer.body


async def expected_pieces(network: Network, *names: str) -> Counter[str]:
    """Every piece that these sealed objects need, by what it is called, with the name of its provider before it."""
    expected: Counter[str] = Counter()
    primary = network.sps[0]
    for name in names:
        found = await network.chain.head_object(BUCKET, name)
        entry = await primary.downloader.head(BUCKET, name)
        version = f"_v{found.version}" if found.version else ""
        for segment in range(entry.job.segments):
            expected[f"{primary.name}/{SegmentKey(entry.job.id, SegmentIndex(segment))}"] += 1
            for column, operator in enumerate(found.secondaries):
                expected[f"{network.sp_of(operator).name}/e{found.id}_s{segment}_p{column}{version}"] += 1
    return expected


async def pieces_of(*sps: Sp) -> Counter[str]:
    return Counter([f"{sp.name}/{key}" for sp in sps for key in await sp.keys()])


async def assert_only(network: Network, *names: str) -> None:
    assert await pieces_of(*network.sps) == await expected_pieces(network, *names)


# --- received pieces ----------------------------------------------------------------------------------------------


async def test_received_pieces_that_are_never_sealed_are_collected_and_sealed_ones_are_not(
    network: Network, s3: S3
) -> None:
    await put_and_sealed(network, s3, "stays", OLD)
    primary, target = network.sps[0], network.sps[1]
    await target.restart({"receiver": {"unsealed_ttl_s": 0.001}})
    columns = await offering.created(network, primary, BUCKET, "never sealed", NEW)
    approval = await offering.approved(columns[2].ref, primary, target)
    for column, end in ((columns[2], True), (columns[3], False)):
        offer, signature = await offering.offer_of(primary, approval, column.index)
        receipt = await offering.send(primary, target, offer, signature, column.pieces, end=end)
        assert (receipt is not None) is end
    assert len([key for key in await target.keys() if key.startswith(f"e{columns[2].ref.object_id}_")]) >= 5
    await network.settle()
    await assert_only(network, "stays")
    assert (await s3.get(BUCKET, "stays")).body == OLD
    owner = User(network.account.key, network.chain)
    await owner.execute(MsgDeleteObject(owner.address, BUCKET, "never sealed"))


async def test_signed_pieces_are_dropped_when_the_object_is_deleted_before_its_seal(network: Network, s3: S3) -> None:
    """The chain stands still while the seal waits for a block; then the deletion is in the same block."""
    receiving = network.next_holders(network.sps[0])[0].pieces.hang("commit")
    await put(s3, "signed", OLD)
    await receiving.reached.wait()
    network.node.faults.pause_blocks = True
    receiving.release()
    await network.settled(network.sps[0], BUCKET, "signed", frozenset({S.SEAL_OBJECT_TX_DOING}))
    await delete(s3, "signed")
    settling = asyncio.ensure_future(network.settle(network.sps[0]))
    network.node.set_faults(Faults())
    await settling
    await network.settle()
    with pytest.raises(NoSuchObject):
        await network.chain.head_object(BUCKET, "signed")
    assert not await pieces_of(*network.sps)


# --- deletion -----------------------------------------------------------------------------------------------------


async def test_a_deleted_object_is_gone_from_the_chain_and_from_all_seven_providers(network: Network, s3: S3) -> None:
    await put_and_sealed(network, s3, "kept", NEW)
    await put_and_sealed(network, s3, "deleted", OLD)
    before = await pieces_of(*network.sps)
    assert before == await expected_pieces(network, "kept", "deleted")
    await delete(s3, "deleted")
    assert (await s3.get(BUCKET, "deleted")).status == 404
    await network.settle()
    with pytest.raises(NoSuchObject):
        await network.chain.head_object(BUCKET, "deleted")
    await assert_only(network, "kept")
    assert (await s3.get(BUCKET, "kept")).body == NEW


async def test_an_object_deleted_while_its_columns_are_on_their_way_leaves_nothing(network: Network, s3: S3) -> None:
    receiving = network.next_holders(network.sps[0])[0].pieces.hang("commit")
    await put(s3, "on its way", OLD)
    await receiving.reached.wait()
    await delete(s3, "on its way")
    await network.settle(network.sps[0])
    receiving.release()
    await network.settle()
    with pytest.raises(NoSuchObject):
        await network.chain.head_object(BUCKET, "on its way")
    assert not await pieces_of(*network.sps)


async def test_an_object_deleted_before_the_chain_has_heard_of_it_leaves_nothing(network: Network, s3: S3) -> None:
    network.node.faults.pause_blocks = True
    await put(s3, "unheard of", OLD)
    await delete(s3, "unheard of")
    network.node.set_faults(Faults())
    await network.settle()
    with pytest.raises(NoSuchObject):
        await network.chain.head_object(BUCKET, "unheard of")
    assert not await pieces_of(*network.sps)


async def test_an_object_deleted_on_chain_by_its_owner_is_gone_everywhere(network: Network, s3: S3) -> None:
    await put_and_sealed(network, s3, "on chain", OLD)
    owner = User(network.account.key, network.chain)
    await owner.execute(MsgDeleteObject(owner.address, BUCKET, "on chain"))
    await network.settle()
    assert (await s3.get(BUCKET, "on chain")).status == 404
    assert not await pieces_of(*network.sps)


async def test_a_name_deleted_and_put_again_at_once_is_sealed_with_the_new_content(network: Network, s3: S3) -> None:
    await put_and_sealed(network, s3, "again", OLD)
    first = await network.chain.head_object(BUCKET, "again")
    await delete(s3, "again")
    await put(s3, "again", NEW)
    assert (await s3.get(BUCKET, "again")).body == NEW
    await network.settle(network.sps[0])
    await network.sealed(network.sps[0], BUCKET, "again")
    await network.settle()
    second = await network.chain.head_object(BUCKET, "again")
    assert second.id != first.id
    assert second.checksums == checksums_of(NEW)
    assert (await s3.get(BUCKET, "again")).body == NEW
    await assert_only(network, "again")


async def test_deletes_and_puts_of_one_name_take_effect_in_their_order(network: Network, s3: S3) -> None:
    for number in range(4):
        await put(s3, "order", b"%d" % number * 1000)
        await delete(s3, "order")
    await put(s3, "order", NEW)
    await network.settle(network.sps[0])
    await network.sealed(network.sps[0], BUCKET, "order")
    await network.settle()
    assert (await network.chain.head_object(BUCKET, "order")).checksums == checksums_of(NEW)
    await assert_only(network, "order")


# --- overwrites ---------------------------------------------------------------------------------------------------


async def test_an_overwrite_collects_the_old_content_on_all_providers_once_the_new_is_sealed(
    network: Network, s3: S3
) -> None:
    await put_and_sealed(network, s3, "over", OLD)
    old = await expected_pieces(network, "over")
    object_id = (await network.chain.head_object(BUCKET, "over")).id
    receiving = network.ranked(network.sps[0], object_id, 1)[0].pieces.hang("commit")
    await put(s3, "over", NEW)
    await receiving.reached.wait()
    await network.settle()
    assert old <= await pieces_of(*network.sps), "the old content is needed until the new one is sealed"
    receiving.release()
    await network.sealed(network.sps[0], BUCKET, "over")
    await network.settle()
    await assert_only(network, "over")
    found = await network.chain.head_object(BUCKET, "over")
    assert (found.version, found.checksums) == (1, checksums_of(NEW))
    assert (await s3.get(BUCKET, "over")).body == NEW


async def test_readers_during_overwrites_get_one_content_whole(network: Network, s3: S3) -> None:
    bodies = [bytes([number]) * (2 * 64 * KIB + 100 * number) for number in range(1, 6)]
    await put_and_sealed(network, s3, "busy", bodies[0])
    done = asyncio.Event()
    seen: set[bytes] = set()

    async def read() -> None:
        while not done.is_set():
            answer = await s3.get(BUCKET, "busy")
            assert (answer.status, answer.body in bodies) == (200, True)
            assert int(answer.headers["Content-Length"]) == len(answer.body)
            seen.add(answer.body[:1])

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(read())
        for body in bodies[1:]:
            await put_and_sealed(network, s3, "busy", body)
        done.set()
    assert bodies[-1][:1] in seen
    assert len(seen) > 1
    await network.settle()
    await assert_only(network, "busy")


async def test_a_reader_who_began_before_an_overwrite_is_served_the_old_content_to_its_end(
    network: Network, s3: S3
) -> None:
    sp = network.sps[0]
    await sp.restart({"uploader": {"keep_replaced_ms": 600_000}})
    await put_and_sealed(network, s3, "slow", OLD)
    entry = await sp.downloader.head(BUCKET, "slow")
    async with aclosing(sp.downloader.get(entry, 0, len(OLD))) as blocks:  # type: ignore[type-var]  # a generator
        read = bytes(await anext(blocks))
        await put_and_sealed(network, s3, "slow", NEW)
        await network.settle()
        async for block in blocks:
            read += bytes(block)
    assert read == OLD
    assert (await s3.get(BUCKET, "slow")).body == NEW


async def test_many_quick_overwrites_end_with_the_last_one_sealed_and_everything_else_collected(
    network: Network, s3: S3
) -> None:
    bodies = [bytes([number]) * (64 * KIB + number) for number in range(12)]
    for body in bodies:
        await put(s3, "quick", body)
        assert (await s3.get(BUCKET, "quick")).body == body
    await network.sealed(network.sps[0], BUCKET, "quick")
    await network.settle()
    found = await network.chain.head_object(BUCKET, "quick")
    assert (found.status, found.update, found.checksums) == (ObjectStatus.SEALED, None, checksums_of(bodies[-1]))
    assert (await s3.get(BUCKET, "quick")).body == bodies[-1]
    await assert_only(network, "quick")


async def test_of_concurrent_puts_of_one_name_the_last_acknowledged_is_read_and_sealed(
    network: Network, s3: S3
) -> None:
    bodies = [bytes([number]) * (2 * 64 * KIB + number) for number in range(8)]
    async with asyncio.TaskGroup() as group:
        for body in bodies:
            group.create_task(put(s3, "race", body))
    winner = (await s3.get(BUCKET, "race")).body
    assert winner in bodies
    entry = await network.sps[0].downloader.head(BUCKET, "race")
    async for detail in network.sps[0].tasknode.watch_job(entry.job.id):
        last = detail
    assert last.job.state is S.SEAL_OBJECT_DONE
    await network.settle()
    assert (await network.chain.head_object(BUCKET, "race")).checksums == checksums_of(winner)
    assert (await s3.get(BUCKET, "race")).body == winner
    await assert_only(network, "race")


# --- what a dead process left -------------------------------------------------------------------------------------


async def test_the_segments_of_an_upload_whose_process_vanished_are_collected(network: Network, s3: S3) -> None:
    sp = network.sps[0]
    await put_and_sealed(network, s3, "alive", OLD)
    params = await network.chain.params_at((await network.chain.latest_block()).time_s)
    order = PutOrder(BUCKET, "vanished", network.account.address, None, params)
    job = await sp.tasknode.jobs.begin_upload(order, "a process that is gone", lease_ms=0)
    for segment in range(3):
        await sp.pieces.put(SegmentKey(job.id, SegmentIndex(segment)), b"x" * 64 * KIB)
    await network.settle()
    await assert_only(network, "alive")
    assert (await s3.get(BUCKET, "vanished")).status == 404
