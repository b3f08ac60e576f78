"""Objects at and around the network's real segment size, against what its own software computes for them."""

import hashlib
from collections.abc import Iterator

import pytest

from tests.e2e import http_put
from tests.e2e.processes import Network
from tests.vectors import load, payload

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

MIB = 1 << 20
SIZES = [0, 1, 5, 1000, 16 * MIB - 1, 16 * MIB, 16 * MIB + 1, 50_000_000, 300_000_000]
CHECKSUMS = {vector["size"]: vector["expect_checksums_hex"] for vector in load("vectors.json")["objects"]}


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    network = Network(tmp_path_factory.mktemp("net"))
    try:
        network.sp("testnet", "up", "--detach", "--block-interval-ms", "100")
        network.sp("mb", "sizes")
        yield network
    finally:
        network.run("testnet", "down", "--remove")


@pytest.mark.parametrize("size", SIZES)
def test_an_object_is_sealed_with_the_networks_checksums_and_reads_back_equal(net: Network, size: int) -> None:
    info, path = net.json("testnet", "info"), f"/sizes/{size}"
    block = payload(MIB)
    status, answer = http_put.put(info, path, http_put.repeated(block, size), size)
    assert status == 200, answer
    net.sp("jobs", "watch", f"sizes/{size}")
    shown = net.json("objects", "show", f"sizes/{size}")
    assert (shown["status"], shown["payload_size"]) == ("SEALED", size)
    if size in CHECKSUMS:
        assert shown["checksums"] == CHECKSUMS[size]
    wanted, got = hashlib.sha256(), hashlib.sha256()
    for part in http_put.repeated(block, size):
        wanted.update(part)
    for part in http_put.get(info, path):
        got.update(part)
    assert got.hexdigest() == wanted.hexdigest()


def test_these_sizes_have_vectors() -> None:
    assert {0, 1, 5, 1000, 16 * MIB - 1, 16 * MIB, 16 * MIB + 1, 50_000_000} <= set(CHECKSUMS)
