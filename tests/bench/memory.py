"""Whether memory is flat in the size of an object and bounded in the number of clients: `python -m tests.bench.memory
[--sizes 1MB,16MiB,...] [--clients 1,8,...] [--folder FOLDER] [--quick]`.

The most that is resident at once, as the kernel counts it (VmHWM, shared libraries included), in a test network of one
process for each SP:

- size: one object is put (one PUT: S3 allows 5 GiB), replicated and sealed, then read back; the primary and the largest
  of the others.
- clients: so many put an object of 16 MiB at once, then read them; the primary, its task node resting, against what its
  configuration allows.

Prints both tables and writes memory.json. The exit code is 1 if the largest object takes more than MARGIN_BYTES beyond
one of 64 MiB, if clients take more than they are allowed, or if a transfer fails that should not.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from cli.bench.load import Load, Outcome
from cli.bench.report import machine
from cli.bench.usage import reset_peaks, usage_of
from cli.output import note, print_table
from cli.testnet.layout import Network
from downloader.config import DownloaderConfig
from gateway.http_protocol import UNWANTED_BODY_BYTES
from piecestore.notes import BLOCK_BYTES
from sp.runtime import config
from tests.bench.compare.singles import network_pids, until_sealed
from tests.bench.compare.targets import ONE_PROCESS, Target, network, restart, sp_target
from uploader.config import UploaderConfig

MIB = 1 << 20
SIZES = "1MB,16MiB,64MiB,256MiB,1GiB,5GB"
CLIENTS = "1,8,64,256"
QUICK_SIZES, QUICK_CLIENTS = "1MB,64MiB,256MiB", "1,64"
OBJECT_BYTES = 16 * MIB
COMPARED_BYTES = 64 * MIB
"""Four segments: everything that an object of any size uses is in use."""

MARGIN_BYTES = 64 * MIB
COPIES = 2.5
"""Of every byte, on one disk here: the segment, and six pieces of a quarter of it."""

PRIMARY = "sp0"
REFUSED = "503 SlowDown"
"""How a client hears that the line for uploads is full: it comes back. Not a failure."""

UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 1 << 10, "MIB": MIB, "GIB": 1 << 30}


@dataclass(frozen=True)
class SizeRow:
    """Peaks in bytes: of the primary and of the largest of the others until the seal; of the primary while it is read.
    *_s: of the PUT, until SEALED (from its start), of the GET"""

    size_bytes: int
    primary: int
    secondary: int
    reading: int
    put_s: float
    sealed_s: float
    get_s: float


@dataclass(frozen=True)
class ClientsRow:
    """Peaks in bytes of the primary, and what they may be. refused: puts that were told to come back"""

    clients: int
    putting: int
    may_put: int
    refused: int
    reading: int
    may_read: int


class Failed(Exception):
    """A transfer that should have gone well."""


def bytes_of(word: str) -> int:
    """ "16MiB" -> 16777216."""
    found = re.fullmatch(r"(\d+)([A-Za-z]*)", word.strip())
    if found is None or found[2].upper() not in UNITS:
        raise argparse.ArgumentTypeError(f"{word}: a number and one of {', '.join(filter(None, UNITS))}")
    return int(found[1]) * UNITS[found[2].upper()]


def words_of_size(size: int) -> str:
    """1048576 -> "1 MiB", 1000000 -> "1 MB"."""
    units = ("GiB", "MiB", "KiB", "GB", "MB", "KB", "")
    unit = next(unit for unit in units if size % UNITS[unit.upper()] == 0)
    return f"{size // UNITS[unit.upper()]:,} {unit}".strip()


def sizes_of(words: str) -> list[int]:
    return sorted(bytes_of(word) for word in words.split(","))


def clients_of(words: str) -> list[int]:
    return sorted(int(word) for word in words.split(","))


def peak(pids: Mapping[str, int]) -> int:
    """Of the largest of these processes, since `reset_peaks`."""
    return max(usage_of(pid).peak_bytes for pid in pids.values())


def of_sizes(folder: Path, sizes: Sequence[int]) -> list[SizeRow]:
    with network(folder) as testnet:
        target = sp_target(testnet, PRIMARY, ONE_PROCESS)
        block = memoryview(os.urandom(OBJECT_BYTES))
        of_size(testnet, target, block, MIB)  # what every process needs once
        rows = []
        for size in sizes:
            note(f"one object of {words_of_size(size)}")
            rows.append(of_size(testnet, target, block, size))
        return rows


def of_size(testnet: Network, target: Target, block: memoryview, size: int) -> SizeRow:
    """Put, sealed, and read back."""
    signer, bucket, name = target.signer, target.bucket, f"size/{time.time_ns()}"
    pids = network_pids(testnet)
    primary = {PRIMARY: pids[PRIMARY]}
    others = {sp.name: pids[sp.name] for sp in testnet.sps if sp.name != PRIMARY}
    reset_peaks(pids)
    started = time.perf_counter()
    with closing(Load(signer.address, 1)) as load:
        put = succeeded(load.one(signer.put_repeated(bucket, name, block, size)), f"put of {size} bytes")
        if until_sealed(signer, bucket, [name], timeout_s=60.0 + size / 10e6):
            raise Failed(f"{size} bytes are not sealed after {time.perf_counter() - started:.0f} s")
        sealed_s = time.perf_counter() - started
        putting, receiving = peak(primary), peak(others)
        reset_peaks(primary)
        got = succeeded(load.one(signer.get(bucket, name, size)), f"get of {size} bytes")
    return SizeRow(size, putting, receiving, peak(primary), put.elapsed_s, sealed_s, got.elapsed_s)


def succeeded(outcome: Outcome, what: str) -> Outcome:
    if outcome.failures:
        raise Failed(f"{what}: {dict(outcome.failures)}")
    return outcome


def of_clients(folder: Path, clients: Sequence[int]) -> list[ClientsRow]:
    with network(folder, background=False) as testnet:
        target = sp_target(testnet, PRIMARY, ONE_PROCESS)
        settings = config.load(testnet.config_path(PRIMARY), {})
        uploads = settings.section("uploader", UploaderConfig).upload_memory_bytes
        reads = settings.section("downloader", DownloaderConfig).read_memory_bytes
        body = memoryview(os.urandom(OBJECT_BYTES))
        stored, _ = put_at_once(target, [f"read/{number}" for number in range(max(clients))], body, 2)
        rows = []
        for many in clients:
            note(f"{many} at once")
            at_rest = fresh(testnet, target, body)
            read_at_once(target, stored[:many])
            reading, may_read = peak(target.pids()), at_rest + reads + many * 2 * BLOCK_BYTES
            at_rest = fresh(testnet, target, body)
            _, refused = put_at_once(target, [f"put/{many}/{number}" for number in range(many)], body, many)
            putting, may_put = peak(target.pids()), at_rest + uploads + many * 2 * UNWANTED_BODY_BYTES
            rows.append(ClientsRow(many, putting, may_put, refused, reading, may_read))
        return rows


def fresh(testnet: Network, target: Target, body: memoryview) -> int:
    """Start the primary anew: the allocator keeps what a crowd has needed. Resident bytes once it has put and read."""
    restart(testnet, PRIMARY, background=False)
    name = f"first/{time.time_ns()}"
    put_at_once(target, [name], body, 1)
    read_at_once(target, [name])
    (pid,) = target.pids().values()
    reset_peaks({PRIMARY: pid})
    return resident_bytes(pid)


def put_at_once(target: Target, names: list[str], body: memoryview, clients: int) -> tuple[list[str], int]:
    """The names of those that were stored, and how many were told to come back."""
    stored: list[str] = []
    with closing(Load(target.signer.address, clients, on_answer=stored.append)) as load:
        outcome = load.run(target.signer.put(target.bucket, name, body, kind=name) for name in names)
    refused = outcome.failures.pop(REFUSED, 0)
    succeeded(outcome, f"{clients} at once")
    return stored, refused


def read_at_once(target: Target, names: list[str]) -> None:
    signer = target.signer
    with closing(Load(signer.address, len(names))) as load:
        outcome = load.run(signer.get(target.bucket, name, OBJECT_BYTES) for name in names)
    succeeded(outcome, f"{len(names)} reading")


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def is_flat(rows: Sequence[SizeRow]) -> bool:
    """The largest against the first that is as large as COMPARED_BYTES."""
    compared = next((row for row in rows if row.size_bytes >= COMPARED_BYTES), rows[-1])
    last = rows[-1]
    growths = (
        last.primary - compared.primary,
        last.secondary - compared.secondary,
        last.reading - compared.reading,
    )
    return max(growths) <= MARGIN_BYTES


def is_bounded(rows: Sequence[ClientsRow]) -> bool:
    return all(row.putting <= row.may_put and row.reading <= row.may_read for row in rows)


def show(sizes: Sequence[SizeRow], clients: Sequence[ClientsRow]) -> None:
    if sizes:
        print_table(
            (
                "peak, MiB",
                "primary, to the seal",
                "largest secondary",
                "primary, read back",
                "put s",
                "sealed s",
                "get s",
            ),
            [
                (
                    words_of_size(row.size_bytes),
                    *mib(row.primary, row.secondary, row.reading),
                    f"{row.put_s:.1f}",
                    f"{row.sealed_s:.1f}",
                    f"{row.get_s:.1f}",
                )
                for row in sizes
            ],
            title="One object",
        )
    if clients:
        print_table(
            ("clients, 16 MiB each", "putting, MiB", "may be", "told to come back", "reading, MiB", "may be"),
            [
                (row.clients, *mib(row.putting, row.may_put), row.refused, *mib(row.reading, row.may_read))
                for row in clients
            ],
            title="Many clients",
        )


def mib(*sizes: int) -> list[str]:
    return [f"{size / MIB:,.0f}" for size in sizes]


@contextmanager
def scratch(parent: Path | None, needed_bytes: float) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="sp-memory-", dir=parent))
    try:
        if shutil.disk_usage(folder).free < needed_bytes:
            sys.exit(f"{folder}: needs {needed_bytes / 2**30:.0f} GiB of free disk; choose another with --folder")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", help=f"comma-separated; none: not measured ({SIZES})")
    parser.add_argument("--clients", help=f"comma-separated; none: not measured ({CLIENTS})")
    parser.add_argument("--folder", type=Path, help="where the network keeps its data")
    parser.add_argument("--output", type=Path, default=Path("build/bench"))
    parser.add_argument("--quick", action="store_true", help="fewer and smaller ones: under a minute")
    arguments = parser.parse_args()
    size_words = arguments.sizes or (QUICK_SIZES if arguments.quick else SIZES)
    client_words = arguments.clients or (QUICK_CLIENTS if arguments.quick else CLIENTS)
    sizes = [] if size_words == "none" else sizes_of(size_words)
    clients = [] if client_words == "none" else clients_of(client_words)
    started = time.perf_counter()
    needed = max(sum(sizes) * COPIES, (sum(clients) + max(clients, default=0)) * OBJECT_BYTES) + (2 << 30)
    with scratch(arguments.folder, needed) as folder:
        by_size = of_sizes(folder / "sizes", sizes) if sizes else []
        by_clients = of_clients(folder / "clients", clients) if clients else []
    show(by_size, by_clients)
    facts = machine()
    document = {"machine": facts, "sizes": [asdict(r) for r in by_size], "clients": [asdict(r) for r in by_clients]}
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "memory.json").write_text(json.dumps(document, indent=1) + "\n")
    good = (not by_size or is_flat(by_size)) and is_bounded(by_clients)
    note(f"{time.perf_counter() - started:.0f} s, load {facts['load_average']}; {'flat' if good else 'IT GROWS'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
