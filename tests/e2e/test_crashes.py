"""kill -9 of one process in the middle of its part: the next start finishes the job, or undoes it."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from sp.domain.lifecycle import JobState as S
from tests.e2e import http_put
from tests.e2e.processes import (
    MORE_ENVIRONMENT,
    Network,
    eventually,
    is_running,
    job_states,
    segment_files,
    temporary_files,
)
from tests.vectors import payload

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

MIB = 1 << 20
LARGE = 96 * MIB


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """sp0 as one process per service, with leases that end soon."""
    network = Network(tmp_path_factory.mktemp("net"))
    quick = {
        "SP_UPLOADER__LEASE_MS": "1500",
        "SP_UPLOADER__COLLECT_INTERVAL_S": "0.3",
        "SP_UPLOADER__KEEP_FAILED_MS": "0",
        "SP_TASKNODE__LEASE_MS": "1500",
        "SP_TASKNODE__POLL_INTERVAL_S": "0.3",
        "SP_TASKNODE__RETRY_FIRST_DELAY_MS": "200",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in quick.items():
            patch.setitem(MORE_ENVIRONMENT, name, value)
        try:
            network.sp("testnet", "up", "--detach", "--split", "sp0", "--max-segment-size", str(MIB))
            network.sp("mb", "crashes")
            yield network
        finally:
            network.run("testnet", "down", "--remove")


def put(net: Network, name: str, size: int) -> None:
    info = net.json("testnet", "info")
    status, answer = http_put.put(info, f"/crashes/{name}", http_put.repeated(payload(MIB), size), size)
    assert status == 200, answer


def check_sealed_and_equal(net: Network, name: str, size: int) -> None:
    eventually(lambda: job_states(net, "sp0")[name] == S.SEAL_OBJECT_DONE, f"{name} sealed")
    assert net.json("objects", "show", f"crashes/{name}")["status"] == "SEALED"
    read = b"".join(http_put.get(net.json("testnet", "info"), f"/crashes/{name}"))
    assert read == b"".join(http_put.repeated(payload(MIB), size))


def test_a_job_whose_task_node_was_killed_while_replicating_is_finished_by_the_next(net: Network) -> None:
    (tasknode,) = (row["pid"] for row in net.json("testnet", "status") if row["name"] == "sp0-tasknode")
    put(net, "replicating", LARGE)
    eventually(lambda: job_states(net, "sp0")["replicating"] == S.REPLICATE_OBJECT_DOING, "replicating", every_s=0.002)
    os.kill(tasknode, signal.SIGKILL)  # here: the command takes as long to start as the replication to end
    eventually(lambda: not is_running(tasknode), "killed")
    assert job_states(net, "sp0")["replicating"] == S.REPLICATE_OBJECT_DOING
    net.sp("testnet", "start", "sp0-tasknode")
    check_sealed_and_equal(net, "replicating", LARGE)
    history = net.json("jobs", "show", "crashes/replicating")["history"]
    assert any(row["event"] == "lease taken over" for row in history)


def test_an_upload_whose_uploader_was_killed_fails_and_leaves_no_segment(net: Network) -> None:
    before = segment_files(net, "sp0")
    half_sent, killed = threading.Event(), threading.Event()

    def body() -> Iterator[bytes]:
        yield from http_put.repeated(payload(MIB), 8 * MIB)
        half_sent.set()
        killed.wait(60)
        yield from http_put.repeated(payload(MIB), 8 * MIB)

    outcome: list[object] = []

    def upload() -> None:
        try:
            outcome.append(http_put.put(net.json("testnet", "info"), "/crashes/killed", body(), 16 * MIB)[0])
        except OSError as error:  # the gateway may close the connection after its answer
            outcome.append(error)

    client = threading.Thread(target=upload)
    client.start()
    assert half_sent.wait(60)
    eventually(lambda: len(segment_files(net, "sp0")) >= len(before) + 4, "segments stored")
    net.sp("testnet", "stop", "sp0-uploader", "--kill")
    killed.set()
    client.join()
    assert outcome != [200]
    net.sp("testnet", "start", "sp0-uploader")
    eventually(lambda: "killed" not in job_states(net, "sp0"), "the job's row is gone")
    assert segment_files(net, "sp0") == before
    assert temporary_files(net, "sp0") == []
    listed = net.json("ls", "crashes")
    assert "killed" not in str(listed)


def test_a_job_is_sealed_though_the_chain_was_killed_while_it_waited_for_its_seal(net: Network) -> None:
    put(net, "sealing", 3 * MIB)
    waiting = {S.SIGN_OBJECT_DONE, S.SEAL_OBJECT_TX_DOING}
    eventually(lambda: job_states(net, "sp0")["sealing"] in waiting, "waiting for its seal", every_s=0.002)
    net.sp("testnet", "stop", "chain", "--kill")
    net.sp("testnet", "start", "chain")
    check_sealed_and_equal(net, "sealing", 3 * MIB)


def test_a_put_is_taken_and_finished_later_though_the_chain_is_down(net: Network) -> None:
    put(net, "known", MIB)  # the gateway knows the bucket and the account's permission from here on
    check_sealed_and_equal(net, "known", MIB)
    net.sp("testnet", "stop", "sp0-tasknode", "--kill")
    put(net, "later", 2 * MIB)
    assert job_states(net, "sp0")["later"] == S.UPLOAD_OBJECT_DONE
    net.sp("testnet", "stop", "chain", "--kill")
    net.sp("testnet", "start", "sp0-tasknode")
    net.sp("testnet", "start", "chain")
    check_sealed_and_equal(net, "later", 2 * MIB)
