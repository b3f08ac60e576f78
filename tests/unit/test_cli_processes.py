"""Processes of a test network: found by what they are, not by a number alone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from cli.errors import NoFreePorts, NoSuchProcess, NoTestnet, ProcessFailed
from cli.testnet import layout
from cli.testnet.layout import Account, Network, NetworkSp
from cli.testnet.ports import claimed_ports
from cli.testnet.processes import Launch, ProcessBook, Started, identity, log_tail, start, stop, wait_ready

READY = "import os, pathlib; pathlib.Path(os.environ['SP_READY_FILE']).write_text('ready')"
WAIT = "import signal; signal.pause()"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {READY}; {WAIT}"


class Launcher:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Started] = []

    def __call__(self, name: str, program: str) -> Started:
        command = (sys.executable, "-c", program)
        launch = Launch(name, command, self.folder, self.folder / f"{name}.log", self.folder / f"{name}.ready")
        self.started.append(start(launch, os.environ))
        return self.started[-1]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launcher]:
    launcher = Launcher(tmp_path)
    yield launcher
    for each in launcher.started:
        each.process.kill()
        each.process.wait(timeout=10)


def test_starting_ends_when_all_have_said_that_they_serve(launch: Launcher) -> None:
    both = [launch("one", f"{READY}; {WAIT}"), launch("two", f"{READY}; {WAIT}")]
    wait_ready(both, 20)
    assert [each.process.poll() for each in both] == [None, None]


def test_a_process_that_dies_at_its_start_is_reported_at_once_with_its_last_words(launch: Launcher) -> None:
    both = [launch("patient", WAIT), launch("short", "print('the port is taken'); raise SystemExit(3)")]
    with pytest.raises(ProcessFailed) as failed:
        wait_ready(both, 1000)
    assert str(failed.value).startswith("short ended with exit code 3")
    assert "the port is taken" in str(failed.value)


def test_a_process_that_is_never_ready_is_not_waited_for_for_ever(launch: Launcher) -> None:
    with pytest.raises(ProcessFailed, match="was not ready after 0 s"):
        wait_ready([launch("slow", WAIT)], 0.05)


def test_an_old_ready_file_does_not_count(launch: Launcher, tmp_path: Path) -> None:
    (tmp_path / "again.ready").write_text("ready")
    with pytest.raises(ProcessFailed):
        wait_ready([launch("again", "raise SystemExit(1)")], 20)


def test_a_recorded_process_is_found_until_it_ends(launch: Launcher, tmp_path: Path) -> None:
    book = ProcessBook(tmp_path / "process")
    process = launch("sp0", WAIT).process
    book.record("sp0", process.pid)
    found = book.running("sp0")
    assert found is not None
    assert found.pid == process.pid
    stop([found], kill=False, grace_s=20)
    assert book.running("sp0") is None  # nobody has asked for its exit code: what is left of it does not count


def test_a_process_that_got_a_recorded_number_later_is_neither_found_nor_signalled(
    launch: Launcher, tmp_path: Path
) -> None:
    process = launch("stranger", WAIT).process
    now = identity(process.pid)
    assert now is not None
    earlier = replace(now, started="an-earlier-boot/1")
    stop([earlier], kill=True, grace_s=1)
    assert process.poll() is None
    (tmp_path / "process").mkdir()
    (tmp_path / "process" / "sp0.json").write_text(f'{{"pid": {process.pid}, "started": "an-earlier-boot/1"}}')
    assert ProcessBook(tmp_path / "process").running("sp0") is None


def test_who_does_not_listen_to_sigterm_is_killed_after_the_grace(launch: Launcher) -> None:
    deaf = launch("deaf", DEAF)
    wait_ready([deaf], 20)
    process = identity(deaf.process.pid)
    assert process is not None
    stop([process], kill=False, grace_s=0.2)
    assert deaf.process.wait(timeout=10) == -9


def test_no_process_has_the_identity_of_one_that_ended() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(timeout=20)
    assert identity(ended.pid) is None


def test_a_log_is_quoted_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"line {i}\n" for i in range(10_000)))
    assert log_tail(path, lines=2) == "line 9998\nline 9999"
    assert log_tail(tmp_path / "absent") == ""


# --- ports


def test_ports_are_distinct_and_below_those_of_outgoing_connections() -> None:
    with claimed_ports(25, None) as ports:
        assert len(set(ports)) == 25
        assert max(ports) < 32_768


def test_two_networks_made_at_once_never_get_the_same_port() -> None:
    program = (
        "import sys; from cli.testnet.ports import claimed_ports\n"
        "with claimed_ports(3, None) as ports:\n print(*ports, flush=True); sys.stdin.read()"
    )
    with ExitStack() as stack:
        other = stack.enter_context(
            subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        assert other.stdout is not None
        taken = [int(port) for port in other.stdout.readline().split()]
        assert len(taken) == 3
        with pytest.raises(NoFreePorts), claimed_ports(1, taken[0]):
            pytest.fail("a claimed port was given away")


# --- layout

NETWORK = Network(
    Path("/tmp/t"), "", "127.0.0.1:1", 1000, 16, Account("default", "0x1", "ab", "AK", "secret-key"),
    (NetworkSp("sp0", "http://127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4", "0xAA", split=True),
     NetworkSp("sp1", "http://127.0.0.1:5", "127.0.0.1:6", "127.0.0.1:7", "0xBB")),
)  # fmt: skip


def test_a_network_reads_back_as_it_was_written_wherever_its_folder_is_now(tmp_path: Path) -> None:
    layout.save(replace(NETWORK, dir=tmp_path / "one"))
    (tmp_path / "one").rename(tmp_path / "two")
    assert layout.load(tmp_path / "two") == replace(NETWORK, dir=tmp_path / "two")


def test_the_file_with_the_accounts_secrets_is_its_owners_alone(tmp_path: Path) -> None:
    layout.save(replace(NETWORK, dir=tmp_path))
    assert (tmp_path / "testnet.json").stat().st_mode & 0o777 == 0o600
    assert "secret-key" not in repr(NETWORK)


def test_an_empty_folder_holds_no_network(tmp_path: Path) -> None:
    with pytest.raises(NoTestnet):
        layout.load(tmp_path)


def test_the_name_of_a_split_sp_means_all_its_services() -> None:
    assert NETWORK.processes_of("sp1") == ("sp1",)
    assert len(NETWORK.processes_of("sp0")) == 7
    assert NETWORK.processes_of("sp0-tasknode") == ("sp0-tasknode",)
    assert NETWORK.processes_of("chain") == ("chain",)
    for unknown in ("sp2", "sp1-tasknode", "sp0-waiter"):
        with pytest.raises(NoSuchProcess):
            NETWORK.processes_of(unknown)
