"""Memory is bounded by configuration, not by what is put: measured as the kernel counts it."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import http_put
from tests.e2e.processes import Network
from tests.vectors import payload

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

MB = 1_000_000
UPLOADS = 8
UPLOAD_BYTES = 300 * MB
LIMIT_BYTES = 250 * MB


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Network]:
    network = Network(tmp_path)
    try:
        network.sp("testnet", "up", "--detach")
        network.sp("mb", "memory")
        yield network
    finally:
        network.run("testnet", "down", "--remove")


def peak_bytes(pid: int) -> int:
    """VmHWM: the most that was resident at once, shared libraries included."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def test_eight_uploads_of_300_mb_at_once_stay_below_250_mb_in_every_process(
    net: Network, capsys: pytest.CaptureFixture[str]
) -> None:
    info = net.json("testnet", "info")
    answers: list[int] = []

    def upload(number: int) -> None:
        body = http_put.repeated(payload(1 << 20), UPLOAD_BYTES)
        answers.append(http_put.put(info, f"/memory/{number}", body, UPLOAD_BYTES)[0])

    threads = [threading.Thread(target=upload, args=(number,)) for number in range(UPLOADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * UPLOADS
    for number in range(UPLOADS):
        net.sp("jobs", "watch", f"memory/{number}")
    peaks = {sp["name"]: max(map(peak_bytes, sp["pids"])) for sp in info["sps"]}
    with capsys.disabled():
        print(f"\npeak memory, MB: { {name: peak // MB for name, peak in peaks.items()} }")
    assert all(peak < LIMIT_BYTES for peak in peaks.values()), peaks
