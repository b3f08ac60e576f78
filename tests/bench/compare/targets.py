"""Everything that is measured, started: the floor, the bare HTTP server, our SPs, the peers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cli.bench.load import Load
from cli.bench.requests import Signer
from cli.client_http import Credentials
from cli.testnet.layout import Network
from cli.testnet.supervisor import Wanted, remove_folders, running_pids, start_processes, stop_processes, up
from tests.bench.compare import peers
from tests.bench.compare.peers import Peer, PeerMissing
from tests.bench.compare.swift import swift

FLOOR, FLOOR_SYNCED, FLOOR_SERIAL = "floor F", "floor Fd", "floor, in turn"
BARE = "bare HTTP"
ONE_PROCESS, SEPARATE = "SP, one process", "SP, separate processes"
TWO_FRONTS = "SP, two fronts"
BACKGROUND_OFF = {"SP_TASKNODE__MAX_JOBS": "0"}
"""Puts stay queued: the front is measured by itself."""
FRONTS = {"SP_GATEWAY__PROCESSES": "2"}

PEERS: dict[str, Callable[[Path], list[Peer]]] = {
    "seaweedfs": peers.seaweedfs,
    "rclone": peers.rclone,
    "swift": swift,
}


@dataclass(frozen=True)
class Target:
    """bucket: also the floor's mode; pids: asked each time, for servers start more; clean: removes what was stored"""

    name: str
    signer: Signer
    bucket: str
    pids: Callable[[], dict[str, int]]
    syncs: bool = True
    is_peer: bool = False
    clean: Callable[[], None] = field(default=lambda: None)


@contextmanager
def floor(folder: Path) -> Iterator[list[Target]]:
    folder.mkdir(parents=True)
    with _printing_port("tests.bench.compare.floor", str(folder)) as (port, pid):
        signer = Signer(f"http://127.0.0.1:{port}", None)

        def clean() -> None:
            with closing(Load(signer.address, 1)) as load:
                load.one(signer.delete("", ""))

        modes = ((FLOOR, "plain"), (FLOOR_SYNCED, "synced"), (FLOOR_SERIAL, "serial"), ("receive only", "discard"))
        yield [Target(name, signer, mode, lambda: {"floor": pid}, clean=clean) for name, mode in modes]


@contextmanager
def bare_http() -> Iterator[Target]:
    with _printing_port("tests.bench.compare.bare") as (port, pid):
        yield Target(BARE, Signer(f"http://127.0.0.1:{port}", None), "bare", lambda: {"bare": pid})


@contextmanager
def _printing_port(module: str, *arguments: str) -> Iterator[tuple[int, int]]:
    """A program of ours that prints its port; port and pid."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as program:
        try:
            assert program.stdout is not None
            yield int(program.stdout.readline()), program.pid
        finally:
            program.terminate()


@contextmanager
def network(
    folder: Path, *, split: frozenset[str] = frozenset(), background: bool = True, fronts: tuple[str, ...] = ()
) -> Iterator[Network]:
    """A test network. background: whether its task nodes work; without it only sp0, sp1 and `fronts` stay up
    fronts: SPs with a second process in front"""
    chosen = {} if background else BACKGROUND_OFF
    with _environment(chosen):
        testnet = up(folder, Wanted(split=split), lambda line: None)
    try:
        if not background:
            stop_processes(testnet, [name for sp in testnet.sps[2:] for name in sp.processes])
        if fronts:
            stop_processes(testnet, fronts)
            with _environment({**chosen, **FRONTS}):
                start_processes(testnet, fronts)
        yield testnet
    finally:
        stop_processes(testnet, testnet.processes, kill=not background)
        remove_folders(testnet)


@contextmanager
def _environment(chosen: Mapping[str, str]) -> Iterator[None]:
    os.environ.update(chosen)
    try:
        yield
    finally:
        for name in chosen:
            del os.environ[name]


def restart(testnet: Network, sp_name: str, *, background: bool) -> None:
    """A fresh process. background: whether its task node works"""
    names = testnet.sp(sp_name).processes
    stop_processes(testnet, names, kill=True)
    with _environment({} if background else BACKGROUND_OFF):
        start_processes(testnet, names)


def sp_target(testnet: Network, sp_name: str, label: str) -> Target:
    """With a bucket of its own."""
    sp, account = testnet.sp(sp_name), testnet.account
    keys = Credentials(account.access_key_id, account.secret_access_key, account.region)
    signer = Signer(sp.gateway, keys)
    bucket = f"bench-{sp_name}"
    with closing(Load(signer.address, 1)) as load:
        outcome = load.one(signer.make_bucket(bucket))
        assert not outcome.failures, outcome.failures

    def pids() -> dict[str, int]:
        found = {name: pid for name in sp.processes for pid in running_pids(testnet, [name])}
        return found | {f"{name}, front {child}": child for name, pid in found.items() for child in _children(pid)}

    return Target(label, signer, bucket, pids)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def started_peers(folder: Path, names: list[str], stack: ExitStack, missing: dict[str, str]) -> list[Target]:
    """Those that can be had; why the others cannot goes into `missing`."""
    found = []
    for name in names:
        try:
            started = PEERS[name](folder / name)
        except (PeerMissing, OSError, subprocess.SubprocessError) as error:
            missing[name] = str(error)
            continue
        stack.callback(started[0].programs.stop)
        found += [_peer_target(peer) for peer in started]
    return found


def _peer_target(peer: Peer) -> Target:
    return Target(peer.name, peer.signer, peer.bucket, peer.programs.pids, peer.syncs, is_peer=True)
