"""Several processes of one SP behind one port, to serve its clients with more than one core."""

import http.client
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import http_put
from tests.e2e.processes import Network, environment, eventually
from tests.vectors import payload

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SHARED = {"SP_GATEWAY__REUSE_PORT": "true"}
FRONT = ("uploader", "downloader", "gateway")
CONNECTIONS = 64


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Network]:
    network = Network(tmp_path / "net")
    up = network.command("testnet", "up", "--detach")
    subprocess.run(up, env={**environment(), **SHARED}, check=True, capture_output=True, timeout=120)
    try:
        yield network
    finally:
        network.run("testnet", "down", "--remove")


@pytest.fixture
def second(net: Network, tmp_path: Path) -> Iterator[Path]:
    """Another front of sp0: its log."""
    ready, log = tmp_path / "ready", tmp_path / "second.log"
    own = {f"SP_ENDPOINT__{service.upper()}": f"unix:run/{service}-2.sock" for service in FRONT}
    command = [sys.executable, "-m", "cli.main", "run", "--config", str(net.dir / "sp0" / "sp.toml")]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--services", ",".join(FRONT)],
            env={**environment(), **SHARED, **own, "SP_READY_FILE": str(ready)},
            cwd=net.dir / "sp0",
            stderr=output,
        )
        try:
            eventually(lambda: ready.exists() or process.poll() is not None, "the second front is ready")
            assert process.poll() is None, log.read_text()
            yield log
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, log.read_text()


def test_two_processes_share_the_port_and_everything_that_is_stored(net: Network, second: Path) -> None:
    net.sp("mb", "shared")
    info, body = net.json("testnet", "info"), payload(100_000)
    for number in range(CONNECTIONS):  # each on a connection of its own, for the kernel to give to either process
        assert http_put.put(info, f"/shared/{number}", [body], len(body))[0] == 200
    for number in range(CONNECTIONS):
        assert b"".join(http_put.get(info, f"/shared/{number}")) == body
    logs = (net.dir / "log" / "sp0.log").read_text(), second.read_text()
    served = [
        sum("operation=PutObject" in line and "status=200" in line for line in text.splitlines()) for text in logs
    ]
    assert sum(served) == CONNECTIONS
    assert min(served) > 0
    net.sp("jobs", "watch", f"shared/{CONNECTIONS - 1}")


def test_without_the_setting_a_second_process_finds_the_port_taken(tmp_path: Path) -> None:
    network = Network(tmp_path / "net")
    network.sp("testnet", "up", "--detach")
    try:
        own = {f"SP_ENDPOINT__{service.upper()}": f"unix:run/{service}-2.sock" for service in FRONT}
        command = [sys.executable, "-m", "cli.main", "run", "--config", str(network.dir / "sp0" / "sp.toml")]
        ended = subprocess.run(
            [*command, "--services", ",".join(FRONT)],
            env={**environment(), **own},
            cwd=network.dir / "sp0",
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert ended.returncode == 1
        assert "address already in use" in ended.stderr
        gateway = network.json("testnet", "info")["sps"][0]["gateway"].removeprefix("http://")
        connection = http.client.HTTPConnection(gateway, timeout=30)
        connection.request("GET", "/status")
        assert connection.getresponse().status == 200
        connection.close()
    finally:
        network.run("testnet", "down", "--remove")
