"""A network of plain processes: made, started, stopped. Everything here blocks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.errors import NetworkDiffers
from cli.run import serving
from cli.testnet import layout
from cli.testnet.layout import CHAIN, Network
from cli.testnet.nursery import Nursery
from cli.testnet.processes import Launch, ProcessBook, ProcessId, Started, python, stop, wait_ready

START_TIMEOUT_S: Final = 60.0
GRACE_S: Final = 30.0
"""More than any service takes to end its calls in flight."""

_TELLS_SPS_APART: Final = (
    *(f"SP_{section}__" for section in ("SP", "SPDB", "PIECE_STORE", "ENDPOINT", "TLS", "MONITOR", "SIGNER")),
    "SP_CONFIG",
    "SP_KEYSTORE_PASSWORD",
    "SIGNER_",
)

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `sp testnet up` was asked for; None: as it is, or the default of a new network."""

    sps: int | None = None
    split: frozenset[str] = frozenset()
    block_interval_ms: int | None = None
    base_port: int | None = None
    max_segment_size: int | None = None


def up(dir: Path, wanted: Wanted, report: Report) -> Network:
    """Make the network unless it is there, and start whatever of it does not run. If one process fails, those started
    here are stopped again. NetworkDiffers, NoFreePorts, ProcessFailed."""
    with _testnet(dir.absolute(), wanted) as testnet:
        started = start_processes(testnet, testnet.processes)
        report(f"{len(started)} of {len(testnet.processes)} processes started")
    return testnet


def start_processes(testnet: Network, names: Sequence[str]) -> list[Started]:
    """Those of `names` that do not run yet, all at once; ready when it returns."""
    book = process_book(testnet)
    missing = [name for name in names if book.running(name) is None]
    if not missing:
        return []
    started: list[Started] = []
    try:
        with Nursery(_environment(), testnet.dir / "process" / "nursery.log") as nursery:
            for name in missing:
                each = nursery.start(_launch(testnet, name))
                started.append(each)
                book.record(name, each.pid)
            wait_ready(started, START_TIMEOUT_S)
    except BaseException:
        stop_processes(testnet, [each.launch.name for each in started], kill=True)
        raise
    return started


def stop_processes(testnet: Network, names: Sequence[str], *, kill: bool = False) -> list[str]:
    """The names of those that ran. SPs before the chain: they want to say goodbye to it."""
    book = process_book(testnet)
    running = {name: process for name in names if (process := book.running(name)) is not None}
    for group in (_without_chain(running), _chain_alone(running)):
        stop(group, kill=kill, grace_s=GRACE_S)
    for name in running:
        book.forget(name)
    return list(running)


def remove_folders(testnet: Network) -> None:
    """Everything that `up` has made. Nothing of it may run."""
    if testnet.sockets:
        shutil.rmtree(testnet.sockets, ignore_errors=True)  # somebody may have emptied /tmp
    shutil.rmtree(testnet.dir)


def running_pids(testnet: Network, names: Sequence[str]) -> list[int]:
    book = process_book(testnet)
    return [process.pid for name in names if (process := book.running(name)) is not None]


def process_book(testnet: Network) -> ProcessBook:
    return ProcessBook(testnet.dir / "process")


def monitor_address(testnet: Network, process: str) -> str | None:
    """host:port of /readyz and /metrics of a process, as its ready file says; None when it says nothing."""
    try:
        lines = _ready_file(testnet, process).read_text().splitlines()
    except FileNotFoundError:
        return None
    named = (line.partition(" ") for line in lines)
    return next((address for name, _, address in named if name == "monitor"), None)


@contextmanager
def _testnet(dir: Path, wanted: Wanted) -> Iterator[Network]:
    """The network in this folder, made if missing. Ports of a new one are kept from others until exit."""
    if layout.exists(dir):
        testnet = layout.load(dir)
        _check_same(testnet, wanted)
        if wanted.split:
            testnet = _split(testnet, wanted.split)
        yield testnet
        return
    from cli.testnet.making import making

    with making(dir, wanted) as testnet:
        yield testnet


def _check_same(testnet: Network, wanted: Wanted) -> None:
    """What is written into keys, genesis or data cannot be changed afterwards. NetworkDiffers."""
    present_and_wanted = {
        "number of SPs": (len(testnet.sps), wanted.sps),
        "block interval in ms": (testnet.block_interval_ms, wanted.block_interval_ms),
        "maximal segment size": (testnet.max_segment_size, wanted.max_segment_size),
    }
    for what, (present, asked) in present_and_wanted.items():
        if asked is not None and asked != present:
            raise NetworkDiffers(what, str(present), str(asked))


def _split(testnet: Network, names: frozenset[str]) -> Network:
    divided = testnet.with_split(names)
    joined = [sp.name for sp in testnet.sps if not sp.split and sp.name in names]
    stop_processes(testnet, joined)  # it may run as one process now
    layout.save(divided)
    return divided


def _launch(testnet: Network, process: str) -> Launch:
    config = testnet.config_path(process)
    if process == CHAIN:
        command = python("chain.dev", "--config", str(config))
    else:
        _, _, service = process.partition("-")
        command = serving(config, [service] if service else layout.SERVICES)
    return Launch(process, command, config.parent, testnet.log_path(process), _ready_file(testnet, process))


def _ready_file(testnet: Network, process: str) -> Path:
    return testnet.dir / "process" / f"{process}.ready"


def _environment() -> dict[str, str]:
    """Of the caller, but for what would make all SPs the same one; and the way to this source tree, if it is one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_TELLS_SPS_APART)}
    root = Path(__file__).parents[2]
    if root.name not in ("site-packages", "dist-packages"):
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, (str(root), kept.get("PYTHONPATH"))))
    return {**kept, "PYTHONUNBUFFERED": "1"}


def _without_chain(running: Mapping[str, ProcessId]) -> list[ProcessId]:
    return [process for name, process in running.items() if name != CHAIN]


def _chain_alone(running: Mapping[str, ProcessId]) -> list[ProcessId]:
    return [running[CHAIN]] if CHAIN in running else []
