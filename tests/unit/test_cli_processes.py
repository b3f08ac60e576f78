"""Processes of a test network: found by what they are, not by a number alone."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

import cli
from cli.errors import NoFreePorts, NoSuchProcess, NoTestnet, ProcessFailed
from cli.testnet import layout
from cli.testnet.layout import Account, Network, NetworkSp
from cli.testnet.nursery import Nursery
from cli.testnet.ports import claimed_ports
from cli.testnet.processes import Launch, ProcessBook, Started, identity, log_tail, python, stop, wait_ready

READY = "import os, pathlib; pathlib.Path(os.environ['SP_READY_FILE']).write_text('ready')"
WAIT = "import signal; signal.pause()"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {READY}; {WAIT}"


@dataclass
class Launcher:
    """Starts programs as a network's processes are started. modules: where the nursery's children look for them"""

    nursery: Nursery
    modules: Path
    folder: Path
    started: list[Started] = field(default_factory=list)
    ended: list[Started] = field(default_factory=list)

    def __call__(self, name: str, program: str, *arguments: str) -> Started:
        module = f"{name}_of_{self.folder.name.replace('-', '_')}"
        (self.modules / f"{module}.py").write_text(program)
        command = python(module, *arguments)
        launch = Launch(name, command, self.folder, self.folder / f"{name}.log", self.folder / f"{name}.ready")
        self.started.append(self.nursery.start(launch))
        return self.started[-1]

    def exit_code(self, started: Started) -> int:
        self.ended.append(started)
        return started.exit_code()

    def kill_all(self) -> None:
        for each in self.started:
            if each not in self.ended and identity(each.pid) is not None:
                os.kill(each.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("modules")


@pytest.fixture(scope="module")
def new_nursery(modules: Path) -> Callable[[], Nursery]:
    path = os.pathsep.join([str(Path(cli.__file__).parents[1]), str(modules)])
    return lambda: Nursery({**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}, modules / "nursery.log")


@pytest.fixture(scope="module")
def nursery(new_nursery: Callable[[], Nursery]) -> Iterator[Nursery]:
    with new_nursery() as opened:
        yield opened


@pytest.fixture
def launch(nursery: Nursery, modules: Path, tmp_path: Path) -> Iterator[Launcher]:
    launcher = Launcher(nursery, modules, tmp_path)
    yield launcher
    launcher.kill_all()


# --- the nursery


def test_a_process_is_what_its_command_says(launch: Launcher, tmp_path: Path) -> None:
    program = f"import os, sys; print(sys.argv[1:], os.getcwd(), os.getsid(0), sys.stdin.read()); {READY}; {WAIT}"
    started = launch("one", program, "--config", "sp.toml")
    wait_ready([started], 20)
    assert (tmp_path / "one.log").read_text() == f"['--config', 'sp.toml'] {tmp_path} {started.pid} \n"
    command = Path(f"/proc/{started.pid}/cmdline").read_bytes().rstrip(b"\0").decode()
    assert command == " ".join(started.launch.command)


def test_the_services_begin_without_a_word_of_python_itself(launch: Launcher, tmp_path: Path) -> None:
    """Such as that the module to run was imported before."""
    for module in ("cli.serve", "chain.dev"):
        where = Launch(module, python(module, "--help"), tmp_path, tmp_path / "log", tmp_path / "ready")
        launch.nursery.start(where).exit_code()
    assert "Warning" not in (tmp_path / "log").read_text()


def test_processes_share_nothing_that_one_of_them_changes(launch: Launcher) -> None:
    changes = f"import gateway.app; gateway.app.changed = True; {READY}; {WAIT}"
    looks = f"import gateway.app; assert not hasattr(gateway.app, 'changed'); {READY}; {WAIT}"
    wait_ready([launch("changes", changes)], 20)
    wait_ready([launch("looks", looks)], 20)


def test_processes_go_on_when_their_nursery_has_ended(
    new_nursery: Callable[[], Nursery], modules: Path, tmp_path: Path
) -> None:
    with new_nursery() as short_lived:
        launcher = Launcher(short_lived, modules, tmp_path)
        started = launcher("lasting", f"{READY}; {WAIT}")
        wait_ready([started], 20)
    try:
        assert identity(started.pid) is not None
    finally:
        launcher.kill_all()


def test_a_nursery_that_ends_says_why(modules: Path, tmp_path: Path) -> None:
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "__init__.py").write_text("raise ValueError('a broken installation')")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with pytest.raises(ProcessFailed, match="a broken installation"), Nursery(environ, tmp_path / "log") as broken:
        Launcher(broken, modules, tmp_path)("never", WAIT)


# --- starting and stopping


def test_starting_ends_when_all_have_said_that_they_serve(launch: Launcher) -> None:
    both = [launch("one", f"{READY}; {WAIT}"), launch("two", f"{READY}; {WAIT}")]
    wait_ready(both, 20)
    assert all(identity(each.pid) is not None for each in both)


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
    process = launch("sp0", WAIT)
    book.record("sp0", process.pid)
    found = book.running("sp0")
    assert found is not None
    assert found.pid == process.pid
    stop([found], kill=False, grace_s=20)
    assert book.running("sp0") is None  # nobody has asked for its exit code: what is left of it does not count


def test_a_process_that_got_a_recorded_number_later_is_neither_found_nor_signalled(
    launch: Launcher, tmp_path: Path
) -> None:
    process = launch("stranger", WAIT)
    now = identity(process.pid)
    assert now is not None
    earlier = replace(now, started="an-earlier-boot/1")
    stop([earlier], kill=True, grace_s=1)
    assert identity(process.pid) == now
    (tmp_path / "process").mkdir()
    (tmp_path / "process" / "sp0.json").write_text(f'{{"pid": {process.pid}, "started": "an-earlier-boot/1"}}')
    assert ProcessBook(tmp_path / "process").running("sp0") is None


def test_who_does_not_listen_to_sigterm_is_killed_after_the_grace(launch: Launcher) -> None:
    deaf = launch("deaf", DEAF)
    wait_ready([deaf], 20)
    process = identity(deaf.pid)
    assert process is not None
    stop([process], kill=False, grace_s=0.2)
    assert launch.exit_code(deaf) == -9


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
