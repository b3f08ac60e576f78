"""The network of the crash matrix: sp0 as one process per service, seven other SPs and the chain, one process each, all
with failpoints; and what is found on the disks of all of them."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cli.testnet import supervisor
from cli.testnet.layout import Network as Testnet
from cli.testnet.making import making
from cli.testnet.processes import ProcessId, identity, stop
from piecestore.disk.layout import Layout
from sp.domain.jobs import ReceivedState
from sp.domain.lifecycle import FINAL, JobState
from sp.domain.pieces import EcPieceKey, SegmentKey, parse_key
from tests.e2e.matrix.failpoints import FOLDER_VARIABLE, Failpoints
from tests.e2e.matrix.zygote import Zygote

SEGMENT: Final = 64 * 1024
READY_S: Final = 60.0

QUICK: Final = {
    "SP_UPLOADER__LEASE_MS": "1500",
    "SP_UPLOADER__COLLECT_INTERVAL_S": "0.3",
    "SP_UPLOADER__KEEP_FAILED_MS": "0",
    "SP_UPLOADER__KEEP_REPLACED_MS": "200",
    "SP_UPLOADER__MIN_PART_BYTES": "1",
    "SP_UPLOADER__STAGED_PIECE_BYTES": str(SEGMENT),
    "SP_TASKNODE__LEASE_MS": "1500",
    "SP_TASKNODE__POLL_INTERVAL_S": "0.3",
    "SP_TASKNODE__RETRY_FIRST_DELAY_MS": "100",
    "SP_TASKNODE__RETRY_MAX_DELAY_MS": "1000",
    "SP_TASKNODE__OPEN_TIMEOUT_S": "5",
    "SP_TASKNODE__PIECE_TIMEOUT_S": "5",
    "SP_TASKNODE__DELETION_INTERVAL_S": "0.3",
    "SP_P2P__FREEZE_FIRST_S": "0.2",
    "SP_P2P__FREEZE_MAX_S": "0.5",
    "SP_RECEIVER__COLLECT_INTERVAL_S": "0.5",
}
"""Leases, polls and delays that a test can wait for. No promise depends on them."""


class NotYet(AssertionError):
    """Time is over, and it is still not so."""


def eventually(true: Callable[[], Any], what: str, timeout_s: float = 60.0, every_s: float = 0.02) -> Any:
    """The first true answer. NotYet."""
    pause, deadline = threading.Event(), time.monotonic() + timeout_s
    while not (answer := true()):
        if time.monotonic() > deadline:
            raise NotYet(f"after {timeout_s:.0f} s still not: {what}")
        pause.wait(every_s)
    return answer


@dataclass(frozen=True, slots=True)
class JobRow:
    id: int
    state: JobState
    segments: int
    kept: bool  # its segments are to be there
    object_id: int | None
    given_up: bool


@dataclass
class MatrixNetwork:
    testnet: Testnet
    zygote: Zygote
    failpoints: Failpoints
    _pids: dict[str, ProcessId] = field(default_factory=dict)

    # --- processes

    def start(self, *names: str) -> None:
        """Ready when it returns."""
        launches = [supervisor._launch(self.testnet, name) for name in names]
        for launch in launches:
            launch.log.parent.mkdir(parents=True, exist_ok=True)
            launch.ready.parent.mkdir(parents=True, exist_ok=True)
            launch.ready.unlink(missing_ok=True)
            module_and_arguments = launch.command[launch.command.index("-m") + 1 :]
            pid = self.zygote.start(
                launch.name, module_and_arguments, launch.folder, launch.log, launch.ready, {"PYTHONUNBUFFERED": "1"}
            )
            found = identity(pid)
            assert found is not None, f"{launch.name} ended at once: {launch.log}"
            self._pids[launch.name] = found
            supervisor.process_book(self.testnet).record(launch.name, pid)  # so that `sp --dir` knows them
        for launch in launches:
            eventually(launch.ready.exists, f"{launch.name} is ready", READY_S, 0.005)

    def await_death(self, name: str) -> None:
        eventually(lambda: identity(self._pids[name].pid) != self._pids[name], f"{name} has died", 20, 0.002)

    def kill(self, name: str) -> None:
        os.kill(self._pids[name].pid, signal.SIGKILL)
        self.await_death(name)

    def thaw(self, name: str) -> None:
        os.kill(self._pids[name].pid, signal.SIGCONT)

    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self._pids.items()}

    def running(self) -> list[str]:
        return [name for name, process in self._pids.items() if identity(process.pid) == process]

    def stop_all(self) -> None:
        for process in self._pids.values():
            with contextlib.suppress(ProcessLookupError):
                if identity(process.pid) == process:
                    os.kill(process.pid, signal.SIGCONT)
        stop(list(self._pids.values()), kill=True, grace_s=20)

    # --- clients

    def s3(self, sp: str = "sp0") -> Any:
        """A client that asks once: what the network does of itself is to be seen."""
        account = self.testnet.account
        return boto3.client(
            "s3",
            endpoint_url=self.testnet.sp(sp).gateway,
            aws_access_key_id=account.access_key_id,
            aws_secret_access_key=account.secret_access_key,
            region_name=account.region,
            config=Config(
                retries={"total_max_attempts": 1},
                connect_timeout=5,
                read_timeout=60,
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    # --- what is on the disks

    def query(self, sp: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
        path = self.testnet.sp_dir(sp) / "spdb.sqlite"
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
        try:
            return list(connection.execute(statement, values))
        finally:
            connection.close()

    def jobs(self, sp: str, name: str = "%") -> list[JobRow]:
        """Oldest first."""
        columns = "id, state, length(segment_checksums) / 32, collect, object_id, given_up"
        rows = self.query(sp, f"SELECT {columns} FROM jobs WHERE object_name LIKE ? ORDER BY id", name)
        return [
            JobRow(id_, JobState(state), segments, not collect, object_id, bool(given_up))
            for id_, state, segments, collect, object_id, given_up in rows
        ]

    def litter(self) -> list[str]:
        """What is on any disk without a row that wants it there, or missing though a row says that it is there, or
        still waiting to be done."""
        found: list[str] = []
        for sp in self.testnet.sps:
            found += [f"{sp.name}: {text}" for text in self._litter_of(sp.name)]
        return found

    def _litter_of(self, sp: str) -> Iterator[str]:
        root = self.testnet.sp_dir(sp) / "pieces"
        files = {path.name for path in root.glob("?/??/*")}
        yield from (f"temporary {path.name}" for path in Layout(root).temporary.iterdir())
        files |= {f"u{job_id}_s0" for (job_id,) in self.query(sp, "SELECT job_id FROM small_segments")}
        wanted: set[str] = set()
        for job in self.jobs(sp):
            if job.state not in FINAL:
                yield f"job {job.id} is in {job.state.name}"
            if job.state is JobState.SEAL_OBJECT_DONE and job.kept:
                wanted |= {f"u{job.id}_s{segment}" for segment in range(job.segments)}
        for object_id, version, index, state, checksums in self.query(
            sp, "SELECT object_id, version, redundancy_index, state, length(piece_checksums) / 32 FROM received"
        ):
            if state != ReceivedState.SEALED:
                yield f"group {object_id}/{version}/{index} is {ReceivedState(state).name}"
            suffix = f"_v{version}" if version else ""
            wanted |= {f"e{object_id}_s{segment}_p{index}{suffix}" for segment in range(checksums)}
        parts = self.query(sp, "SELECT upload_id, part_number, attempt FROM multipart_parts")
        yield from (f"part {upload_id}/{number}/{attempt}" for upload_id, number, attempt in parts)
        yield from (f"deletion of {name}" for (name,) in self.query(sp, "SELECT object_name FROM deletions"))
        yield from (f"{name} is nobody's" for name in sorted(files - wanted))
        yield from (f"{name} is missing" for name in sorted(wanted - files))

    def complaints(self) -> list[str]:
        """What any process has logged as an error or with a trace. A neighbour that has died is none."""
        found = []
        for path in sorted((self.testnet.dir / "log").glob("*.log")):
            lines = path.read_text("utf-8", "replace").splitlines()
            found += [f"{path.stem}: {line}" for line in lines if "[error" in line or "Traceback" in line]
        return found

    def segment_paths(self, sp: str, job_id: int) -> list[Path]:
        found = (self.testnet.sp_dir(sp) / "pieces").glob(f"?/??/u{job_id}_s*")
        return sorted(found, key=lambda path: _segment(path.name))

    def piece_paths(self, sp: str, object_id: int) -> list[Path]:
        found = (self.testnet.sp_dir(sp) / "pieces").glob(f"?/??/e{object_id}_s*")
        return sorted(found, key=lambda path: _segment(path.name))


def _segment(name: str) -> int:
    key = parse_key(name)
    assert isinstance(key, SegmentKey | EcPieceKey)
    return key.segment


@contextlib.contextmanager
def running_network(dir: Path, database: str = "") -> Iterator[MatrixNetwork]:
    """Eight SPs in 15 processes, all ready, with the buckets `first` (of sp0) and `second` (of sp1).

    database: URL of sp0's, instead of its own SQLite file"""
    failpoints = Failpoints(dir / "failpoints")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SP_", "SIGNER_", "AWS_"))}
    root = str(Path(__file__).parents[3])
    environ = {
        **kept,
        **QUICK,
        "PYTHONPATH": root,
        "GRPC_ENABLE_FORK_SUPPORT": "false",
        FOLDER_VARIABLE: str(failpoints.folder),
    }
    wanted = supervisor.Wanted(split=frozenset({"sp0"}), block_interval_ms=150, max_segment_size=SEGMENT)
    zygote = Zygote(environ, dir / "zygote.log")
    try:
        with making(dir / "net", wanted) as testnet:
            if database:
                with (testnet.sp_dir("sp0") / "sp.toml").open("a") as file:
                    file.write(f'\n[spdb]\nurl = "{database}"\n')
            network = MatrixNetwork(testnet, zygote, failpoints)
            network.start(*testnet.processes)
            try:
                for bucket, sp in (("first", "sp0"), ("second", "sp1")):
                    _insist(partial(network.s3(sp).create_bucket, Bucket=bucket))
                yield network
            finally:
                network.stop_all()
    finally:
        zygote.close()


def _insist(call: Callable[[], Any]) -> None:
    def answered() -> bool:
        try:
            call()
        except (BotoCoreError, ClientError):
            return False
        return True

    eventually(answered, "the network takes requests", READY_S, 0.1)
