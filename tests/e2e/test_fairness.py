"""Large uploads and background work beside small puts, against a running testnet. Ratios of times that the same work
and the same machine make long or short together. The order of service itself is in tests/unit/test_fair.py.
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

SHARE = 10
"""In the median a small put beside large work takes less than one in so many of what that work takes. In a line that is
not fair it would wait for a whole upload, or for all that is left of a replication."""


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
def large_uploads(info: dict[str, Any], until: threading.Event) -> Iterator[list[tuple[int, float]]]:
    """One after the other by each of some clients, from when all are at full speed until then; the status of those that
    ended, and how many seconds they took."""
    ended: list[tuple[int, float]] = []
    at_speed = threading.Semaphore(0)

    def large_body() -> Iterator[bytes]:
        for number, block in enumerate(http_put.repeated(payload(1 << 20), LARGE_BYTES)):
            if number == BLOCKS_TO_FULL_SPEED:
                at_speed.release()
            yield block

    def upload(number: int) -> None:
        while not until.is_set():
            began = time.monotonic()
            status, _ = http_put.put(info, f"/fair/large-{number}", large_body(), LARGE_BYTES)
            ended.append((status, time.monotonic() - began))

    clients = [threading.Thread(target=upload, args=(number,)) for number in range(LARGE_UPLOADS)]
    for client in clients:
        client.start()
    try:
        assert all(at_speed.acquire(timeout=60) for _ in clients)
        yield ended
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
    with large_uploads(info, enough) as uploads:
        beside_s = median_put_s(info, "beside")
        enough.set()
    assert {status for status, _ in uploads} == {200}
    upload_s = min(took_s for _, took_s in uploads)
    began = time.monotonic()
    after_s = median_put_s(info, "after")
    for number in range(LARGE_UPLOADS):
        net.sp("jobs", "watch", f"fair/large-{number}")
    replication_s = time.monotonic() - began
    with capsys.disabled():
        print(f"\nmedian 4 KiB put: alone {alone_s * 1e3:.1f} ms, beside {LARGE_UPLOADS} large uploads", end=" ")
        print(f"{beside_s * 1e3:.1f} ms (one of them: {upload_s:.1f} s),", end=" ")
        print(f"beside their replication {after_s * 1e3:.1f} ms (all of it: {replication_s:.1f} s)")
    assert beside_s < upload_s / SHARE
    assert after_s < replication_s / SHARE
