"""More than a provider can take: it refuses politely, keeps what it accepted, and is well again at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import boto3
import pytest
import pytest_asyncio
from botocore.config import Config
from prometheus_client import REGISTRY

from receiver.client import Receipt
from receiver.frames import Frame, Held, OfferFrame
from receiver.service import ReceiverService
from sp.domain.errors import Overloaded
from sp.domain.jobs import SecondaryState
from sp.runtime.work import Share, Work, current_share
from tests.cluster.conftest import BUCKET
from tests.cluster.hostile import hostile_receiver
from tests.cluster.network import KIB, REGION, Network, Sp
from tests.cluster.s3 import S3, Answer
from tests.vectors import payload
from uploader.service import UploaderService

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOST, LINE = 8, 8

PLAN: dict[str, Any] = {
    "sps": 7,
    "changes": {
        "gateway": {"max_requests": 400},
        "tasknode": {"lease_ms": 15_000},  # two hundred clients in the one process of all providers may stall it
        "uploader": {
            "lease_ms": 15_000,
            "max_uploads": MOST,
            "upload_memory_bytes": 8 * KIB * KIB,
            "small_upload_bytes": 64 * KIB,
            "max_waiting_uploads": LINE,
            "upload_wait_s": 0.5,
        },
    },
}
BODY = payload(3 * 64 * KIB + 100)


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _as_planned_afterwards(network: Network) -> AsyncIterator[None]:
    yield
    await network.restart_as_planned()


def uploader_of(sp: Sp) -> UploaderService:
    service: UploaderService = sp.services["uploader"]
    return service


def refusals(limit: str = "uploads") -> float:
    return REGISTRY.get_sample_value("sp_limit_refused_total", {"limit": limit}) or 0.0


async def reached(look: Callable[[], Any], wanted: object = True) -> None:
    """Look until it is so; TimeoutError after a minute."""
    async with asyncio.timeout(60):
        while True:
            found = look()
            if (await found if asyncio.iscoroutine(found) else found) == wanted:
                return
            await asyncio.sleep(0.02)


async def held_uploads(s3: S3, stack: AsyncExitStack, count: int) -> list[asyncio.StreamWriter]:
    """So many uploads that have begun and bring nothing: each holds a place."""
    begun = []
    for number in range(count):
        _, writer = await stack.enter_async_context(s3.begun_put(BUCKET, f"held {number}", 1000 * KIB))
        begun.append(writer)
    return begun


async def test_of_two_hundred_clients_at_once_some_are_told_to_slow_down_and_the_others_are_served(
    network: Network, s3: S3
) -> None:
    admission = uploader_of(network.sps[0]).admission
    peaks = [0, 0]

    async def watched(name: str) -> Answer:
        answer = await s3.put(BUCKET, name, BODY)
        peaks[0], peaks[1] = max(peaks[0], admission.used_bytes), max(peaks[1], admission.waiting)
        return answer

    names = [f"crowd {number}" for number in range(200)]
    answers = dict(zip(names, await asyncio.gather(*map(watched, names)), strict=True))
    refused = [answer for answer in answers.values() if answer.status != 200]
    accepted = [name for name, answer in answers.items() if answer.status == 200]
    assert refused
    assert len(accepted) >= MOST
    assert {answer.status for answer in refused} == {503}
    assert {"SlowDown"} <= {answer.code for answer in refused} <= {"SlowDown", "ServiceUnavailable"}
    assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
    assert peaks[0] <= 8 * KIB * KIB
    assert peaks[1] <= LINE
    assert (admission.used_bytes, admission.waiting) == (0, 0)
    afterwards = await s3.put(BUCKET, "afterwards", BODY)
    while afterwards.status != 200:
        assert afterwards.code == "ServiceUnavailable", "it is well again at once, if the chain's node answers in time"
        afterwards = await s3.put(BUCKET, "afterwards", BODY)
    for name in (*accepted[:10], "afterwards"):
        assert (await s3.get(BUCKET, name)).body == BODY
    for name in accepted[:3]:
        await network.sealed(network.sps[0], BUCKET, name)


async def test_large_uploads_that_hold_their_places_leave_small_ones_theirs(network: Network, s3: S3) -> None:
    async with AsyncExitStack() as stack:
        await held_uploads(s3, stack, MOST - 1)
        large = await s3.put(BUCKET, "one large too many", BODY)
        assert (large.status, large.code) == (503, "SlowDown")
        for number in range(5):
            assert (await s3.put(BUCKET, f"small {number}", b"x" * 4096)).status == 200
    assert (await s3.get(BUCKET, "small 0")).body == b"x" * 4096


async def test_boto3_gets_through_a_slow_down_by_itself(network: Network, s3: S3) -> None:
    account, before = network.account, refusals()
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=network.sps[0].endpoint,
        region_name=REGION,
        aws_access_key_id=account.access_key_id,
        aws_secret_access_key=account.secret_access_key,
        config=Config(s3={"addressing_style": "path"}, proxies={}),  # retries: as botocore does them by default
    )
    try:
        async with AsyncExitStack() as stack:
            await held_uploads(s3, stack, MOST - 1)
            putting = asyncio.create_task(
                asyncio.to_thread(client.put_object, Bucket=BUCKET, Key="by boto3", Body=BODY)
            )
            await reached(lambda: refusals() > before)
        reply = await putting
    finally:
        client.close()
    assert reply["ResponseMetadata"]["RetryAttempts"] >= 1
    assert (await s3.get(BUCKET, "by boto3")).body == BODY


async def test_who_hangs_up_while_it_waits_in_line_leaves_nothing(network: Network, s3: S3) -> None:
    admission = uploader_of(network.sps[0]).admission
    async with AsyncExitStack() as stack:
        await held_uploads(s3, stack, MOST - 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await s3.put(BUCKET, "gone", BODY)
    await reached(lambda: not admission.used_bytes and not admission.waiting)
    kept = await s3.get(BUCKET, "gone")
    assert kept.status == 404 or kept.body == BODY, "all of it had come, or nothing is kept"


async def test_a_provider_with_too_many_unsealed_objects_takes_no_more_until_it_has_caught_up(
    network: Network, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    backlog = uploader_of(network.sps[0]).backlog

    async def count() -> int:
        await backlog.tick()
        return backlog._waiting

    await reached(count, 0)
    monkeypatch.setattr(backlog, "_most", 1)
    for sp in network.sps[1:]:
        sp.services["p2p"].answering.door.close("for this test")
    try:
        for name in ("stuck", "too"):
            assert (await s3.put(BUCKET, name, BODY)).status == 200
        assert await count() == 2
        refused = await s3.put(BUCKET, "behind it", BODY)
        assert (refused.status, refused.code) == (503, "SlowDown")
        assert (await s3.get(BUCKET, "stuck")).body == BODY, "reading goes on"
    finally:
        for sp in network.sps[1:]:
            sp.services["p2p"].answering.door.open()
    await network.sealed(network.sps[0], BUCKET, "stuck")
    await network.sealed(network.sps[0], BUCKET, "too")
    assert await count() == 0
    assert (await s3.put(BUCKET, "behind it", BODY)).status == 200


async def test_a_secondary_that_is_busy_is_asked_again_and_not_replaced(network: Network, s3: S3) -> None:
    offers = 0

    async def busy_twice(honest: ReceiverService, frames: AsyncIterator[Frame]) -> AsyncIterator[Held | Receipt]:
        nonlocal offers
        offer = await anext(frames)
        assert isinstance(offer, OfferFrame)
        if offer.offer.approval.approval.object.object_name == "patient":
            offers += 1
            if offers <= 2:
                raise Overloaded("streams")

        async def all_of_them() -> AsyncIterator[Frame]:
            yield offer
            async for frame in frames:
                yield frame

        async for reply in honest.replicate(all_of_them()):
            yield reply

    victim = network.next_holders(network.sps[0])[2]
    victim.runners["receiver"] = hostile_receiver(busy_twice)  # type: ignore[arg-type]
    await victim.restart()
    assert (await s3.put(BUCKET, "patient", BODY)).status == 200
    detail = await network.sealed(network.sps[0], BUCKET, "patient")
    assert offers == 3
    assert all(secondary.state is SecondaryState.DONE for secondary in detail.secondaries)
    peers = {peer.operator: peer for peer in await network.sps[0].services["p2p"].list_peers(ping=False)}
    assert (peers[victim.operator].failures, peers[victim.operator].frozen_until_ms) == (0, 0)


async def test_each_kind_of_work_reaches_the_threads_as_what_it_is(
    network: Network, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, set[Share]] = {}

    def watch(sp: Sp) -> None:
        assert sp.parts is not None
        executor, submit = sp.parts.pool.executor, sp.parts.pool.executor.submit

        def watched(*call: Any, **given: Any) -> Any:
            seen.setdefault(sp.name, set()).add(current_share())
            return submit(*call, **given)

        monkeypatch.setattr(executor, "submit", watched)

    for sp in network.sps:
        watch(sp)
    assert (await s3.put(BUCKET, "watched", BODY)).status == 200
    await network.sealed(network.sps[0], BUCKET, "watched")
    assert (await s3.call("DELETE", f"/{BUCKET}/watched")).status == 204
    primary, secondaries = network.sps[0], network.sps[1:]
    await reached(lambda: any(share.work is Work.UPKEEP for share in seen[primary.name]))
    foreground = {share for share in seen[primary.name] if share.work is Work.FOREGROUND}
    replication = {share for share in seen[primary.name] if share.work is Work.REPLICATION}
    assert network.account.address in {share.owner for share in foreground}
    assert network.account.address in {share.owner for share in replication}
    received = {share.work for sp in secondaries for share in seen.get(sp.name, ())}
    assert Work.REPLICATION in received
    assert Work.FOREGROUND not in received
