"""The whole of a put, on a healthy network: every state in the seed's order, checksums as the network computes them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from chain.client import Chain
from chain.dev.faults import Faults
from chain.open import open_chain
from receiver.client import Gatherer, Wanted
from sp.domain.ids import PRIMARY, RedundancyIndex, SegmentIndex
from sp.domain.ledger import ObjectStatus, StorageProvider
from sp.domain.lifecycle import JobState as S
from sp.domain.params import StorageParams
from sp.domain.pieces import SegmentKey
from tests.cluster import damage
from tests.cluster.network import Network, running_network
from tests.cluster.s3 import S3, s3_session
from tests.vectors import load, payload

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEGMENT = 1024

STATES_OF_THE_SEED = [
    S.INIT_UNSPECIFIED,
    S.UPLOAD_OBJECT_DOING,
    S.UPLOAD_OBJECT_DONE,
    S.ALLOC_SECONDARY_DOING,
    S.ALLOC_SECONDARY_DONE,
    S.REPLICATE_OBJECT_DOING,
    S.REPLICATE_OBJECT_DONE,
    S.SIGN_OBJECT_DOING,
    S.SIGN_OBJECT_DONE,
    S.SEAL_OBJECT_TX_DOING,
    S.SEAL_OBJECT_DONE,
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def network(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Network]:
    directory: Path = tmp_path_factory.mktemp("network")
    async with running_network(directory, params=StorageParams(max_segment_size=SEGMENT)) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def s3(network: Network) -> AsyncIterator[S3]:
    async with s3_session(network.sps[0], network.account) as client:
        await client.make_bucket("vectors")
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chain(network: Network) -> Chain:
    assert network.sps[0].parts is not None
    return await open_chain(network.sps[0].parts)


def vectors_of(segment_size: int) -> list[dict[str, object]]:
    return [v for v in load("vectors.json")["small_segment_objects"] if v["max_segment_size"] == segment_size]


@pytest.mark.parametrize("vector", vectors_of(SEGMENT), ids=lambda v: str(v["size"]))
async def test_an_object_is_sealed_with_the_networks_checksums_and_reads_back_equal(
    network: Network, s3: S3, chain: Chain, vector: dict[str, object]
) -> None:
    body, name = payload(int(str(vector["size"]))), f"object of {vector['size']} bytes"
    assert (await s3.put("vectors", name, body)).status == 200
    await network.sealed(network.sps[0], "vectors", name)
    found = await chain.head_object("vectors", name)
    assert found.status is ObjectStatus.SEALED
    assert [checksum.hex() for checksum in found.checksums] == vector["expect_checksums_hex"]
    answer = await s3.get("vectors", name)
    assert answer.body == body
    assert answer.headers["x-sp-object-status"] == "SEALED"


async def test_the_timeline_of_an_object_has_every_state_of_the_seed_once_and_in_order(
    network: Network, s3: S3
) -> None:
    await s3.put("vectors", "timeline", payload(5 * SEGMENT + 1))
    detail = await network.sealed(network.sps[0], "vectors", "timeline")
    assert [row.state for row in detail.history] == STATES_OF_THE_SEED
    assert [row.seq for row in detail.history] == list(range(1, 12))
    assert sorted(row.at_ms for row in detail.history) == [row.at_ms for row in detail.history]


async def test_six_distinct_secondaries_hold_the_columns_in_order(network: Network, s3: S3, chain: Chain) -> None:
    await s3.put("vectors", "columns", payload(3000))
    detail = await network.sealed(network.sps[0], "vectors", "columns")
    found = await chain.head_object("vectors", "columns")
    assert [s.redundancy_index for s in detail.secondaries] == list(range(6))
    assert tuple(s.provider for s in detail.secondaries) == found.secondaries
    assert len({*found.secondaries, network.sps[0].operator}) == 7
    assert [s.integrity_hash for s in detail.secondaries] == list(found.checksums[1:])


async def test_an_empty_object_is_sealed_by_its_creation(network: Network, s3: S3, chain: Chain) -> None:
    assert (await s3.put("vectors", "empty", b"")).status == 200
    detail = await network.sealed(network.sps[0], "vectors", "empty")
    assert detail.secondaries == ()
    assert (await chain.head_object("vectors", "empty")).payload_size == 0
    answer = await s3.get("vectors", "empty")
    assert (answer.status, answer.body) == (200, b"")


async def test_an_object_is_read_before_it_is_sealed_and_says_so(network: Network, s3: S3) -> None:
    network.node.set_faults(Faults(pause_blocks=True))
    try:
        assert (await s3.put("vectors", "unsealed", payload(2500))).status == 200
        answer = await s3.get("vectors", "unsealed")
    finally:
        network.node.set_faults(Faults())  # not only set: a node that waits for the end of the pause is told
    assert answer.body == payload(2500)
    assert answer.headers["x-sp-object-status"] == "CREATED"


@pytest.mark.parametrize(
    ("header", "first", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=1000-1050", 1000, 1051),
        ("bytes=1023-1024", 1023, 1025),
        ("bytes=4000-", 4000, 5000),
        ("bytes=-1", 4999, 5000),
        ("bytes=0-99999", 0, 5000),
    ],
)
async def test_a_range_is_exactly_those_bytes(network: Network, s3: S3, header: str, first: int, stop: int) -> None:
    await s3.put("vectors", "ranges", payload(5000))
    answer = await s3.get("vectors", "ranges", Range=header)
    assert answer.status == 206
    assert answer.body == payload(5000)[first:stop]
    assert answer.headers["Content-Range"] == f"bytes {first}-{stop - 1}/5000"


async def test_a_range_outside_the_object_is_refused(s3: S3) -> None:
    await s3.put("vectors", "short", payload(10))
    answer = await s3.get("vectors", "short", Range="bytes=10-")
    assert (answer.status, answer.code) == (416, "InvalidRange")


@pytest.mark.parametrize("harm", ["delete", "corrupt"])
async def test_lost_and_damaged_segments_are_rebuilt_for_the_reader_and_written_back(
    network: Network, s3: S3, harm: str
) -> None:
    sp, body = network.sps[0], payload(4 * SEGMENT + 77)
    await s3.put("vectors", harm, body)
    job = (await network.sealed(sp, "vectors", harm)).job
    keys = [SegmentKey(job.id, SegmentIndex(index)) for index in range(job.segments)]
    for key in keys:
        if harm == "delete":
            await sp.pieces.drop(key)
        else:
            sp.pieces.corrupt(key, 3)
    assert (await s3.get("vectors", harm)).body == body
    for index, key in enumerate(keys):
        assert await sp.pieces.get(key) == body[index * SEGMENT : (index + 1) * SEGMENT]


@pytest.mark.parametrize("harm", ["lose", "rot", "cut"])
async def test_a_small_object_harmed_in_spdb_is_rebuilt_for_the_reader_and_is_a_piece_from_then_on(
    network: Network, s3: S3, harm: str
) -> None:
    sp, body = network.sps[0], payload(SEGMENT - 7)
    await s3.put("vectors", f"small {harm}", body)
    job = (await network.sealed(sp, "vectors", f"small {harm}")).job
    key = SegmentKey(job.id, SegmentIndex(0))
    assert await damage.row_of(sp, job) == body
    assert str(key) not in await sp.keys()
    await damage.harm_row(sp, job, harm)
    assert (await s3.get("vectors", f"small {harm}", Range="bytes=10-20")).body == body[10:21]
    assert await damage.row_of(sp, job) is None
    assert await sp.pieces.get(key) == body
    assert (await s3.get("vectors", f"small {harm}")).body == body


async def test_a_small_object_is_given_as_a_challenge_and_to_other_providers(network: Network, s3: S3) -> None:
    sp, body = network.sps[0], payload(SEGMENT)
    await s3.put("vectors", "challenged", body)
    job = (await network.sealed(sp, "vectors", "challenged")).job
    assert job.object_id is not None
    proof = await sp.downloader.challenge(job.object_id, PRIMARY, SegmentIndex(0))
    assert (proof.piece, proof.checksums) == (body, job.segment_checksums)


async def test_any_two_secondaries_may_be_down_and_a_lost_segment_still_comes_back(network: Network, s3: S3) -> None:
    sp, body = network.sps[0], payload(2 * SEGMENT)
    await s3.put("vectors", "two down", body)
    detail = await network.sealed(sp, "vectors", "two down")
    victims = {s.provider for s in detail.secondaries if s.redundancy_index in (0, 3)}
    down = [other for other in network.sps if other.operator in victims]
    for other in down:
        await other.stop()
    try:
        await sp.pieces.drop(SegmentKey(detail.job.id, SegmentIndex(1)))
        assert (await s3.get("vectors", "two down")).body == body
    finally:
        for other in down:
            await other.start()


async def test_a_lying_secondary_cannot_make_a_wrong_segment(network: Network, s3: S3) -> None:
    """Its own checksum is checked where it is stored, so the lie is planted behind that check, in what is sent."""
    sp, body = network.sps[0], payload(SEGMENT)
    await s3.put("vectors", "liar", body)
    detail = await network.sealed(sp, "vectors", "liar")
    original = Gatherer._ask
    lied: list[int] = []

    async def ask(self: Gatherer, wanted: Wanted, column: RedundancyIndex, holder: StorageProvider) -> bytes:
        piece = await original(self, wanted, column, holder)
        if column != 1:
            return piece
        lied.append(column)
        return bytes(byte ^ 1 for byte in piece)

    await damage.harm_row(sp, detail.job, "lose")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Gatherer, "_ask", ask)
        assert (await s3.get("vectors", "liar")).body == body
    assert lied == [1]


async def test_the_list_shows_what_was_put_and_nothing_that_was_deleted(network: Network, s3: S3) -> None:
    await s3.make_bucket("listed")
    for name in ("a/1", "a/2", "b"):
        await s3.put("listed", name, b"x")
    answer = await s3.call("GET", "/listed", "list-type=2&delimiter=%2F")
    assert answer.body.count(b"<Contents>") == 1
    assert b"<Prefix>a/</Prefix>" in answer.body
    assert (await s3.call("DELETE", "/listed/b")).status == 204
    assert (await s3.get("listed", "b")).status == 404
    answer = await s3.call("GET", "/listed", "list-type=2")
    assert answer.body.count(b"<Contents>") == 2
