"""An SP leaves a running network, and an SP that has lost its database and its disk serves again: by the commands of an
operator."""

import shutil
from collections.abc import Iterator
from random import Random

import pytest

from tests.e2e.processes import Network, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SEGMENT = 256 * 1024
BODIES = {name: Random(name).randbytes(size) for name, size in {"a": 3 * SEGMENT + 99, "b/c": 1000, "d": 0}.items()}


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    network = Network(tmp_path_factory.mktemp("net"))
    try:
        network.sp("testnet", "up", "--detach", "--block-interval-ms", "100", "--max-segment-size", str(SEGMENT))
        network.sp("mb", "photos")
        for key, body in BODIES.items():
            network.put(f"photos/{key}", body, "--wait")
        yield network
    finally:
        network.run("testnet", "down", "--remove")


def all_read_back(net: Network) -> None:
    for key, body in BODIES.items():
        assert net.get(f"photos/{key}") == body, key


def remaining(net: Network, sp: str, what: str) -> int:
    return int(net.json("exit", "status", "--sp", sp)[what])


def test_an_sp_leaves_and_its_columns_are_with_others_before_it_is_struck_off(net: Network) -> None:
    leaver = net.json("objects", "show", "photos/a")["secondaries"][2]["sp"]
    assert net.run("exit", "complete", "--sp", leaver).returncode == 1
    announced = net.json("exit", "announce", "--sp", leaver)
    assert announced["status"] == "GRACEFUL_EXITING"
    eventually(lambda: remaining(net, leaver, "objects_as_secondary") == 0, "all taken over", every_s=1.0)
    eventually(lambda: remaining(net, "sp0", "columns_of_own_objects_waiting") == 0, "recorded", every_s=1.0)
    shown = net.json("objects", "show", "photos/a")["secondaries"]
    assert leaver not in [secondary["sp"] for secondary in shown]
    assert {secondary["status"] for secondary in shown} == {"IN_SERVICE"}
    assert next(peer for peer in net.json("peers") if peer["moniker"] == leaver)["status"] == "GRACEFUL_EXITING"
    assert "secondary replaced" in [row["event"] for row in net.json("jobs", "show", "photos/a")["history"]]
    eventually(lambda: not list((net.dir / leaver / "pieces").glob("*/*/e*")), "its pieces are collected", every_s=0.5)
    net.sp("exit", "complete", "--sp", leaver)
    net.sp("testnet", "stop", leaver)
    all_read_back(net)
    assert net.json("audit", "photos/a")["well"]


@pytest.mark.parametrize("role", ["primary", "secondary"])
def test_an_sp_that_lost_database_and_disk_has_everything_again(net: Network, role: str) -> None:
    name = "sp0" if role == "primary" else net.json("objects", "show", "photos/a")["secondaries"][0]["sp"]
    folder = net.dir / name
    before = {path.name: path.read_bytes() for path in (folder / "pieces").glob("*/*/e*")}
    net.sp("testnet", "stop", name, "--kill")
    shutil.rmtree(folder / "pieces")
    for path in folder.glob("spdb.sqlite*"):
        path.unlink()
    net.sp("testnet", "start", name)
    found = net.json("recover", "all", "--sp", name)
    assert found["well"], found
    assert found["tally"]["repaired"] > 0
    assert {path.name: path.read_bytes() for path in (folder / "pieces").glob("*/*/e*")} == before
    all_read_back(net)
    assert net.json("audit", "photos/a")["well"]
    net.put("photos/after", b"life goes on", "--wait")
    assert net.get("photos/after") == b"life goes on"
