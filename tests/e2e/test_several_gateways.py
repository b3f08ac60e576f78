"""Several processes of one SP behind one port, to serve its clients with more than one core."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import http_put
from tests.e2e.processes import Network, environment, eventually, is_running
from tests.vectors import payload

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FRONT = ("uploader", "downloader", "gateway")
CONNECTIONS = 64


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """sp0 has two processes in front, the others one."""
    network = Network(tmp_path_factory.mktemp("net"))
    begin(network, "up", "--detach", "--sps", "7")
    try:
        begin(network, "stop", "sp0")
        begin(network, "start", "sp0", SP_GATEWAY__PROCESSES="2")
        yield network
    finally:
        network.run("testnet", "down", "--remove")


def begin(network: Network, *words: str, **settings: str) -> None:
    command = network.command("testnet", *words)
    chosen = {"SP_LOG__FORMAT": "json", **settings}
    subprocess.run(command, env={**environment(), **chosen}, check=True, capture_output=True, timeout=120)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def served(net: Network, service: str) -> int:
    """Puts that this process of sp0 has answered with 200."""
    lines = [json.loads(line) for line in (net.dir / "log" / "sp0.log").read_text().splitlines()]
    told = [(line["service"], line.get("operation"), line.get("status")) for line in lines]
    return told.count((service, "PutObject", 200))


def put_and_get_all(net: Network, bucket: str) -> None:
    """Each on a connection of its own, for the kernel to give to either process."""
    info, body = net.json("testnet", "info"), payload(100_000)
    for number in range(CONNECTIONS):
        assert http_put.put(info, f"/{bucket}/{number}", [body], len(body))[0] == 200
    for number in range(CONNECTIONS):
        assert b"".join(http_put.get(info, f"/{bucket}/{number}")) == body


def test_two_processes_share_the_port_and_everything_that_is_stored(net: Network) -> None:
    net.sp("mb", "shared")
    put_and_get_all(net, "shared")
    counts = served(net, "sp"), served(net, "front-2")
    assert sum(counts) == CONNECTIONS, counts
    assert min(counts) > 0
    net.sp("jobs", "watch", f"shared/{CONNECTIONS - 1}")


def test_a_front_is_started_again_and_ends_with_the_process_that_started_it(net: Network) -> None:
    net.sp("mb", "kept")
    [first] = net.pids("sp0")
    [front] = children(first)
    os.kill(front, signal.SIGKILL)
    eventually(lambda: children(first) not in ([], [front]), "another front runs")
    [second] = children(first)
    eventually(lambda: f'"front_pid": {second}' in (net.dir / "log" / "sp0.log").read_text(), "it is ready")
    before = served(net, "front-2")
    put_and_get_all(net, "kept")
    assert served(net, "front-2") > before

    os.kill(first, signal.SIGKILL)
    eventually(lambda: not is_running(second), "the front has ended with its process")
    begin(net, "start", "sp0", SP_GATEWAY__PROCESSES="2")
    [third] = children(net.pids("sp0")[0])
    assert b"".join(http_put.get(net.json("testnet", "info"), "/kept/0")) == payload(100_000)
    net.sp("testnet", "stop", "sp0")
    assert not is_running(third)


def test_without_the_setting_a_second_process_finds_the_port_taken(net: Network) -> None:
    own = {f"SP_ENDPOINT__{service.upper()}": f"unix:run/{service}-2.sock" for service in FRONT}
    command = [sys.executable, "-m", "cli.main", "run", "--config", str(net.dir / "sp1" / "sp.toml")]
    ended = subprocess.run(
        [*command, "--services", ",".join(FRONT)],
        env={**environment(), **own},
        cwd=net.dir / "sp1",
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert ended.returncode == 1
    assert "address already in use" in ended.stderr
    gateway = net.json("testnet", "info")["sps"][1]["gateway"].removeprefix("http://")
    connection = http.client.HTTPConnection(gateway, timeout=30)
    connection.request("GET", "/status")
    assert connection.getresponse().status == 200
    connection.close()
