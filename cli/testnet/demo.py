"""`sp testnet demo`: the promises of this system, seen on one real file in about half a minute."""

from __future__ import annotations

import contextlib
import hashlib
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cli.context import Where, connect_chain, job_found, opened_for_bucket, run
from cli.errors import WrongBytes
from cli.following import follow, require_sealed
from cli.jobs import history_line
from cli.output import note, print_table, say, size
from cli.records import current, secondary_record
from cli.testnet.supervisor import Wanted, remove_folders, stop_processes, up
from cli.transfer import progress_bar

if TYPE_CHECKING:
    from cli.testnet.layout import Network
    from tasknode.client import JobDetail

BUCKET: Final = "demo"
KEY: Final = "files/demo.bin"
_MIB: Final = 1024 * 1024
_LOST_SEGMENT: Final = 1
"""Which segment the primary loses; of a file of one segment it is that one."""


@dataclass(slots=True)
class Steps:
    """What was done and how long it took."""

    done: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        say(f"-- {what}")
        began = time.monotonic()
        yield
        self.done.append((what, time.monotonic() - began))

    def report(self) -> None:
        total = sum(took for _, took in self.done)
        rows = [*((what, f"{took:.2f} s") for what, took in self.done), ("all", f"{total:.2f} s")]
        print_table(("step", "took"), rows)


def run_demo(dir: Path | None, size_mib: int) -> None:
    """SpError when anything is not as promised. What it started is stopped; a temporary folder is removed when all
    went well."""
    temporary = dir is None
    dir = dir or Path(tempfile.mkdtemp(prefix="sp-demo-"))
    with contextlib.ExitStack() as stack:
        steps = Steps()
        testnet = _started(dir, steps, stack)
        sent = dir / "demo.bin"
        with steps.step(f"make a file of {size_mib} MiB"):
            digest = write_file(sent, size_mib)
        run(_put(testnet, sent, size_mib * _MIB, steps))
        detail = run(_follow(testnet, steps))
        with steps.step(f"delete the primary's copy of segment {_lost(detail)}"):
            removed = remove_segment(testnet, detail)
            say(f"   removed {removed}")
        read = dir / "read-back.bin"
        run(_get(testnet, read, steps))
        if removed.exists():
            say("   and the primary has repaired its copy")
        with steps.step("compare"):
            compare(digest, read)
        for path in (sent, read):
            path.unlink()
        with steps.step("stop everything"):
            stop_processes(testnet, testnet.processes)
        steps.report()
    if temporary:
        remove_folders(testnet)
    say(f"What was read back is what was put: sha256 {digest}")


def write_file(path: Path, size_mib: int) -> str:
    """Pseudo-random bytes, the same every time; their sha256 in hex."""
    chance, digest = random.Random(2024), hashlib.sha256()  # noqa: S311 - to be the same every time
    with path.open("wb") as file:
        for _ in range(size_mib):
            chunk = chance.randbytes(_MIB)
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def remove_segment(testnet: Network, detail: JobDetail) -> Path:
    """Delete one segment's file behind the primary's back; which it was."""
    from cli.context import config_file
    from piecestore.config import PieceStoreConfig
    from piecestore.disk.layout import Layout
    from sp.domain.ids import SegmentIndex
    from sp.domain.pieces import SegmentKey

    file = config_file(Where(testnet.dir, testnet.sps[0].name))
    store = file.section("piece_store", PieceStoreConfig)
    key = SegmentKey(detail.job.id, SegmentIndex(_lost(detail)))
    path = Layout(file.path_of(store.path)).path(key)
    path.unlink()
    return path


def compare(expected_sha256: str, path: Path) -> None:
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != expected_sha256:
        raise WrongBytes(expected_sha256, actual)


def _lost(detail: JobDetail) -> int:
    return min(_LOST_SEGMENT, len(detail.job.segment_checksums) - 1)


def _started(dir: Path, steps: Steps, stack: contextlib.ExitStack) -> Network:
    with steps.step("start a chain and 8 SPs"):
        testnet = up(dir, Wanted(), note)
    stack.callback(stop_processes, testnet, testnet.processes)
    say(f"   {dir}: gateway of sp0 at {testnet.sps[0].gateway}")
    return testnet


async def _put(testnet: Network, path: Path, size_bytes: int, steps: Steps) -> None:
    from cli.client_http import Credentials, s3_client
    from cli.errors import RequestRefused

    account = testnet.account
    keys = Credentials(account.access_key_id, account.secret_access_key, account.region)
    async with s3_client(testnet.sps[0].gateway, keys) as client:
        with steps.step(f"make bucket {BUCKET} on sp0 (a transaction)"):
            try:
                await client.make_bucket(BUCKET)
            except RequestRefused as error:  # a folder that was used before
                if error.status != 409:
                    raise
        with steps.step("PUT it over HTTP, signed with SigV4"), progress_bar(KEY, size_bytes) as sent:
            etag = await client.put(BUCKET, KEY, path, sent)
    say(f"   200, ETag {etag}: durable on the primary")


async def _follow(testnet: Network, steps: Steps) -> JobDetail:
    with steps.step("follow its job until the chain has sealed it"):
        async with job_found(Where(testnet.dir, testnet.sps[0].name), f"{BUCKET}/{KEY}") as (_, tasknode, detail):
            async for latest, rows in follow(tasknode, detail.job.id):
                detail = latest
                for row in rows:
                    say(f"   {history_line(row)}")
    require_sealed(detail.job)
    await _print_columns(testnet, detail)
    return detail


async def _print_columns(testnet: Network, detail: JobDetail) -> None:
    async with opened_for_bucket(Where(testnet.dir), BUCKET) as parts:
        providers = await (await connect_chain(parts)).storage_providers()
    rows = [secondary_record(secondary, providers) for secondary in current(detail.secondaries)]
    print_table(
        ("column", "sp", "integrity hash"), ((r["redundancy_index"], r["sp"], r["integrity_hash"]) for r in rows)
    )


async def _get(testnet: Network, path: Path, steps: Steps) -> None:
    from cli.client_http import Credentials, s3_client, save

    account = testnet.account
    keys = Credentials(account.access_key_id, account.secret_access_key, account.region)
    with steps.step("GET it over HTTP, the lost segment rebuilt from secondaries"):
        async with s3_client(testnet.sps[0].gateway, keys) as client, client.get(BUCKET, KEY) as (stored, chunks):
            with progress_bar(KEY, stored.size) as received:
                await save(chunks, path, received)
    say(f"   {size(stored.size)}, status {stored.status}")
