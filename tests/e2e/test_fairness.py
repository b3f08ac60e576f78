"""Large uploads and background work beside small puts, against a running testnet. Ratios within one run: how fast the
machine is, and what else it does, is in both of their terms. The order of service itself is in tests/unit/test_fair.py.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import http_put
from tests.e2e.processes import Network
from tests.vectors import payload

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MB = 1_000_000
LARGE_UPLOADS, LARGE_BYTES = 3, 350 * MB
BLOCKS_TO_FULL_SPEED = 64
SMALL_PUTS = 40

FACTOR = 15.0
"""A small put may take that much longer beside three large uploads, in the median: they share two cores, a disk and an
event loop. One after the other, as in a line that is not fair, it would wait for a whole upload."""


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Network]:
    network = Network(tmp_path)
    try:
        network.sp("testnet", "up", "--detach")
        network.sp("mb", "fair")
        yield network
    finally:
        network.run("testnet", "down", "--remove")


def median_put_s(info: dict[str, Any], series: str) -> float:
    took = []
    for number in range(SMALL_PUTS):
        began = time.monotonic()
        status, answer = http_put.put(info, f"/fair/{series}-{number}", [b"x" * 4096], 4096)
        took.append(time.monotonic() - began)
        assert status == 200, answer
    return statistics.median(took)


@contextmanager
def large_uploads(info: dict[str, Any], until: threading.Event) -> Iterator[list[int]]:
    """One after the other by each of some clients, from when all are at full speed until then; the statuses of those
    that ended."""
    statuses: list[int] = []
    at_speed = threading.Semaphore(0)

    def large_body() -> Iterator[bytes]:
        for number, block in enumerate(http_put.repeated(payload(1 << 20), LARGE_BYTES)):
            if number == BLOCKS_TO_FULL_SPEED:
                at_speed.release()
            yield block

    def upload(number: int) -> None:
        while not until.is_set():
            body = large_body()
            statuses.append(http_put.put(info, f"/fair/large-{number}", body, LARGE_BYTES)[0])

    clients = [threading.Thread(target=upload, args=(number,)) for number in range(LARGE_UPLOADS)]
    for client in clients:
        client.start()
    try:
        assert all(at_speed.acquire(timeout=60) for _ in clients)
        yield statuses
    finally:
        until.set()
        for client in clients:
            client.join()


def test_small_puts_go_on_beside_large_uploads_and_their_replication(
    net: Network, capsys: pytest.CaptureFixture[str]
) -> None:
    info = net.json("testnet", "info")
    median_put_s(info, "warm")
    alone_s = median_put_s(info, "alone")
    enough = threading.Event()
    with large_uploads(info, enough) as statuses:
        beside_s = median_put_s(info, "beside")
        enough.set()
    after_s = median_put_s(info, "after")  # while the large ones are being replicated
    with capsys.disabled():
        print(f"\nmedian 4 KiB put: alone {alone_s * 1e3:.1f} ms, beside {LARGE_UPLOADS} large uploads", end=" ")
        print(f"{beside_s * 1e3:.1f} ms, beside their replication {after_s * 1e3:.1f} ms")
    assert statuses
    assert set(statuses) == {200}
    assert beside_s < FACTOR * alone_s
    assert after_s < FACTOR * alone_s
