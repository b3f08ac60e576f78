"""A whole network of real processes, driven as a user drives it: through the `sp` command."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

import boto3
import pytest

from tests.e2e.processes import COMMAND_TIMEOUT_S, Network, environment, is_running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

MIB = 1024 * 1024
SEGMENT = MIB
PATH = ("UPLOAD_OBJECT_DONE", "ALLOC_SECONDARY_DONE", "REPLICATE_OBJECT_DONE", "SIGN_OBJECT_DONE", "SEAL_OBJECT_DONE")


def payload(size_bytes: int, seed: int = 0) -> bytes:
    return Random(seed).randbytes(size_bytes)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """sp0 runs as one process per service, the others as one process each. Bucket `split` is sp0's, with an
    object `sealed`; bucket `whole` is sp1's."""
    network = Network(tmp_path_factory.mktemp("net"))
    up = ("testnet", "up", "--detach", "--split", "sp0", "--block-interval-ms", "100")
    try:
        network.sp(*up, "--max-segment-size", str(SEGMENT))
        network.sp("mb", "split")
        network.sp("mb", "whole", "--sp", "sp1")
        network.put("split/sealed", b"sealed", "--wait")
        yield network
    finally:
        network.run("testnet", "down")


def test_all_processes_run_and_every_sp_is_ready(net: Network) -> None:
    found = net.json("testnet", "info")
    assert [sp["name"] for sp in found["sps"]] == [f"sp{i}" for i in range(8)]
    assert [len(sp["pids"]) for sp in found["sps"]] == [7, 1, 1, 1, 1, 1, 1, 1]
    assert all(is_running(pid) for pid in net.all_pids())
    assert len(found["account"]["private_key"]) == 64
    rows = net.json("status")
    assert [(row["role"], row["ready"]) for row in rows] == [("IN_SERVICE", True)] * 8
    assert all(row["height"] >= 1 for row in rows)


@pytest.mark.parametrize(("bucket", "primary"), [("split", "sp0"), ("whole", "sp1")])
def test_a_put_object_is_sealed_by_six_others_and_reads_back(net: Network, bucket: str, primary: str) -> None:
    sent = payload(3 * SEGMENT + 4321)
    net.put(f"{bucket}/a/b.bin", sent, "--wait")
    shown = net.json("objects", "show", f"{bucket}/a/b.bin")
    assert (shown["status"], shown["payload_size"], shown["primary"]["sp"]) == ("SEALED", len(sent), primary)
    assert len(set(shown["checksums"])) == 7
    holders = [s["sp"] for s in shown["secondaries"]]
    assert len(set(holders)) == 6
    assert primary not in holders
    assert [s["integrity_hash"] for s in shown["secondaries"]] == shown["checksums"][1:]
    assert [s["size"] for s in shown["segments"]] == [SEGMENT, SEGMENT, SEGMENT, 4321]
    assert net.get(f"{bucket}/a/b.bin") == sent


def test_the_history_of_a_job_tells_its_whole_life(net: Network) -> None:
    net.put("split/history", payload(1000), "--wait")
    shown = net.json("jobs", "show", "split/history")
    assert shown["state"] == "SEAL_OBJECT_DONE"
    states = [row["state"] for row in shown["history"]]
    assert [state for state in states if state in PATH] == list(PATH)
    times = [row["at"] for row in shown["history"]]
    assert times == sorted(times)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time) for time in times)
    assert net.json("jobs", "show", str(shown["id"]))["history"] == shown["history"]
    watched = net.sp("jobs", "watch", str(shown["id"]), "--json").splitlines()
    assert [json.loads(line)["state"] for line in watched] == states
    assert shown["id"] in [job["id"] for job in net.json("jobs", "list", "--bucket", "split")["jobs"]]


def test_a_job_is_found_by_its_id_on_whichever_sp_has_it(net: Network) -> None:
    net.put("whole/by-id", payload(10), "--wait")
    job_id = net.json("objects", "show", "whole/by-id")["job_id"]
    assert net.json("jobs", "show", str(job_id))["bucket"] == "whole"


def test_lost_segments_are_rebuilt_though_two_secondaries_are_dead(net: Network) -> None:
    sent = payload(2 * SEGMENT + 1, seed=1)
    net.put("split/lost", sent, "--wait")
    shown = net.json("objects", "show", "split/lost")
    dead = [s["sp"] for s in shown["secondaries"][:2]]
    for name in dead:
        net.sp("testnet", "stop", name, "--kill")
    try:
        for index in range(3):
            net.lose_segment("sp0", shown["job_id"], index)
        assert net.get("split/lost") == sent
    finally:
        for name in dead:
            net.sp("testnet", "start", name)


def test_an_acknowledged_put_is_sealed_after_its_sp_was_killed(net: Network) -> None:
    sent = payload(SEGMENT + 5, seed=2)
    net.sp("testnet", "stop", "sp0-tasknode")  # so that it cannot be sealed before
    net.put("split/killed", sent)
    net.sp("testnet", "stop", "sp0", "--kill")
    net.sp("testnet", "start", "sp0")
    assert '"SEAL_OBJECT_DONE"' in net.sp("jobs", "watch", "split/killed", "--json")
    assert net.json("objects", "show", "split/killed")["status"] == "SEALED"
    assert net.get("split/killed") == sent


def test_stopping_one_process_leaves_the_others_alone(net: Network) -> None:
    before = net.all_pids()
    (old,) = net.pids("sp5")
    net.sp("testnet", "stop", "sp5", "--kill")
    assert not is_running(old)
    assert net.sp("testnet", "stop", "sp5") == "sp5: did not run\n"
    assert net.sp("testnet", "start", "sp5") == "sp5: 1 started\n"
    assert net.sp("testnet", "start", "sp5") == "sp5: runs already\n"
    (new,) = net.pids("sp5")
    assert new != old
    assert sorted(set(before) ^ set(net.all_pids())) == sorted([old, new])


def test_one_service_of_a_split_sp_stops_and_starts_alone(net: Network) -> None:
    before = net.pids("sp0")
    net.sp("testnet", "stop", "sp0-tasknode")
    assert len(net.pids("sp0")) == 6
    net.sp("testnet", "start", "sp0-tasknode")
    assert len(set(before) & set(net.pids("sp0"))) == 6


def test_the_chain_goes_on_from_where_it_was_killed(net: Network) -> None:
    height = net.json("chain", "status")["height"]
    net.sp("testnet", "stop", "chain", "--kill")
    net.sp("testnet", "start", "chain")
    assert net.json("chain", "status")["height"] >= height
    net.put("split/after", payload(77), "--wait")


def test_objects_are_listed_and_deleted(net: Network) -> None:
    net.sp("mb", "listed")
    for name in ("a", "d/1", "d/2"):
        net.put(f"listed/{name}", payload(5))
    assert [row["name"] for row in net.json("ls", "listed")] == ["a", "d/"]
    assert [row["name"] for row in net.json("ls", "listed", "-r")] == ["a", "d/1", "d/2"]
    assert {"listed", "split", "whole"} <= {row["name"] for row in net.json("ls")}
    net.sp("rm", "listed/d/1")
    assert [row["name"] for row in net.json("ls", "listed/d/")] == ["d/2"]


def test_a_new_account_can_put_into_a_bucket_of_its_own(net: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    made = net.json("accounts", "create", "alice", "--sp", "sp2")
    gateway = net.json("testnet", "info")["sps"][2]["gateway"]
    monkeypatch.setattr("tests.e2e.processes.MORE_ENVIRONMENT", keys_of(made))
    net.sp("mb", "alices", "--endpoint", gateway)
    net.put("alices/x", b"hello", "--endpoint", gateway)
    assert [row["name"] for row in net.json("ls", "--endpoint", gateway)] == ["alices"]


def keys_of(account: dict[str, str]) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": account["access_key_id"], "AWS_SECRET_ACCESS_KEY": account["secret_access_key"]}


def test_operators_see_multipart_uploads_and_end_them(net: Network) -> None:
    info = net.json("testnet", "info")
    account = info["account"]
    client = boto3.client(
        "s3",
        endpoint_url=info["sps"][1]["gateway"],
        region_name=account["region"],
        aws_access_key_id=account["access_key_id"],
        aws_secret_access_key=account["secret_access_key"],
    )
    begun = {key: client.create_multipart_upload(Bucket="whole", Key=key)["UploadId"] for key in ("up/a", "up/b", "z")}
    for number in (1, 2):
        client.upload_part(Bucket="whole", Key="up/a", UploadId=begun["up/a"], PartNumber=number, Body=b"x" * 1000)
    shown = net.json("uploads", "ls", "whole", "--prefix", "up/")
    assert [(row["id"], row["object"], row["parts"], row["size_bytes"]) for row in shown] == [
        (begun["up/a"], "up/a", 2, 2000),
        (begun["up/b"], "up/b", 0, 0),
    ]
    net.sp("uploads", "abort", "whole", begun["up/a"], begun["up/b"])
    assert [row["object"] for row in net.json("uploads", "ls", "whole")] == ["z"]
    for bucket, upload_id in (("whole", begun["up/a"]), ("split", begun["z"])):
        refused = net.run("uploads", "abort", bucket, upload_id)
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert "No such multipart upload" in refused.stderr
    net.sp("uploads", "abort", "whole", begun["z"])


def test_operators_see_peers_parameters_and_transactions(net: Network) -> None:
    peers = net.json("peers", "--sp", "sp3")
    assert sorted(peer["moniker"] for peer in peers) == [f"sp{i}" for i in range(8) if i != 3]
    assert all(peer["reachable"] for peer in peers)
    assert net.json("chain", "params")["max_segment_size"] == SEGMENT
    net.put("split/tx", payload(3), "--wait")
    tx_hash = net.json("objects", "show", "split/tx")["tx_hash"]
    assert net.json("chain", "tx", tx_hash)["code"] == 0
    assert net.json("keys", "show")["operator"] == net.json("testnet", "info")["sps"][0]["operator_address"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("get", "split/none", "/dev/null"), "NoSuchKey"),
        (("objects", "show", "split/none"), "No such object"),
        (("jobs", "show", "12345"), "No such job"),
        (("ls", "no-such-bucket"), "No such bucket"),
        (("jobs", "retry", "split/sealed"), "no such move"),
        (("testnet", "stop", "sp9"), "no SP or process"),
        (("chain", "tx", "00" * 32), "in no block"),
    ],
)
def test_what_fails_says_so_in_one_line_with_exit_code_1(net: Network, words: tuple[str, ...], said: str) -> None:
    done = net.run(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_network_goes_on_with_its_data_after_down_and_up(net: Network) -> None:
    sent = payload(2 * SEGMENT, seed=3)
    net.put("whole/kept", sent, "--wait")
    before = net.all_pids()
    net.sp("testnet", "down")
    assert not any(is_running(pid) for pid in before)
    assert net.all_pids() == []
    net.sp("testnet", "up", "--detach")
    assert net.get("whole/kept") == sent
    assert net.json("objects", "show", "whole/kept")["status"] == "SEALED"


# --- a second network beside the first: in the foreground, in a folder too deep for unix sockets


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Network]:
    network = Network(tmp_path / ("d" * 60) / ("e" * 60))
    yield network
    network.run("testnet", "down", "--remove")


def test_a_second_network_runs_beside_the_first_until_ctrl_c(net: Network, deep: Network) -> None:
    command = deep.command("testnet", "up", "--sps", "7", "--block-interval-ms", "100")
    with subprocess.Popen(
        command,
        env=environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore Ctrl-C
    ) as up:
        assert up.stderr is not None
        assert any("Ctrl-C stops it" in line for line in up.stderr)
        pids = deep.all_pids()
        assert len(pids) == 8
        first, second = (n.json("testnet", "info") for n in (net, deep))
        assert not {sp["gateway"] for sp in first["sps"]} & {sp["gateway"] for sp in second["sps"]}
        deep.sp("mb", "photos")
        deep.put("photos/a", payload(10), "--wait")
        up.send_signal(signal.SIGINT)
        assert up.wait(timeout=COMMAND_TIMEOUT_S) == 0
    assert not any(is_running(pid) for pid in pids)
    assert len(net.all_pids()) == 15

    (deep.dir / "sp3" / "sp.toml").write_text("[uplaoder]\nmax_uploads = 3\n")
    failed = deep.run("testnet", "up", "--detach")
    assert failed.returncode == 1
    assert "sp3 ended with exit code 1" in failed.stderr
    assert deep.all_pids() == []
    sockets = Path(json.loads((deep.dir / "testnet.json").read_text())["sockets"])
    assert sockets.is_dir()
    deep.sp("testnet", "down", "--remove")
    assert not sockets.exists()
    assert not deep.dir.exists()


def test_the_demo_ends_well(tmp_path: Path) -> None:
    demo = Network(tmp_path / "demo")
    out = demo.sp("testnet", "demo", "--size-mib", "50")
    assert "rebuilt" in out
    assert "What was read back is what was put" in out
    assert demo.all_pids() == []
