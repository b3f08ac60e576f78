"""A testnet of real processes as tests drive it: the `sp` command, and looks at what it left on disk."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from piecestore.disk.layout import Layout
from sp.domain.ids import JobId, SegmentIndex
from sp.domain.pieces import SegmentKey
from tests.e2e.conftest import REPOSITORY

COMMAND_TIMEOUT_S = 90

MORE_ENVIRONMENT: dict[str, str] = {}


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SP_", "SIGNER_", "AWS_"))}
    return {**kept, "PYTHONPATH": str(REPOSITORY), **MORE_ENVIRONMENT}


class Network:
    """`sp ... --dir DIR`."""

    def __init__(self, dir: Path) -> None:
        self.dir = dir

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "cli.main", *words, "--dir", str(self.dir)]

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(*words), capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, env=environment()
        )

    def sp(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.sp(*words, "--json"))

    def pids(self, name: str) -> list[int]:
        found = self.json("testnet", "info")
        if name == "chain":
            return list(found["chain"]["pids"])
        return next(list(sp["pids"]) for sp in found["sps"] if sp["name"] == name)

    def all_pids(self) -> list[int]:
        found = self.json("testnet", "info")
        return [*found["chain"]["pids"], *(pid for sp in found["sps"] for pid in sp["pids"])]

    def put(self, target: str, payload: bytes, *words: str) -> None:
        path = self.dir / "to-put"
        path.write_bytes(payload)
        self.sp("put", str(path), target, *words)

    def get(self, target: str) -> bytes:
        path = self.dir / "got"
        path.unlink(missing_ok=True)
        self.sp("get", target, str(path))
        return path.read_bytes()

    def lose_segment(self, sp: str, job_id: int, index: int) -> None:
        key = SegmentKey(JobId(job_id), SegmentIndex(index))
        Layout(self.dir / sp / "pieces").path(key).unlink()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def eventually(condition: Callable[[], bool], what: str, timeout_s: float = 60.0, every_s: float = 0.02) -> None:
    """Wait until something in another process is so; there is no event for it to tell us by."""
    pause, deadline = threading.Event(), time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"after {timeout_s} s still not: {what}"
        pause.wait(every_s)


def job_states(network: Network, sp: str) -> dict[str, int]:
    """State of every job by object name, straight from the SP's database file."""
    path = network.dir / sp / "spdb.sqlite"
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        return dict(connection.execute("SELECT object_name, state FROM jobs").fetchall())
    finally:
        connection.close()


def segment_files(network: Network, sp: str) -> list[Path]:
    """Every committed segment (not the pieces held for others) in an SP's store."""
    return sorted((network.dir / sp / "pieces").glob("*/*/u*_s*"))


def temporary_files(network: Network, sp: str) -> list[Path]:
    """Pieces that were being written."""
    return [path for path in Layout(network.dir / sp / "pieces").temporary.iterdir() if path.is_file()]
