"""Measurements that are no race between servers: coding, transitions, CPU floors, seals, starts."""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median

from cli.bench.load import Load
from cli.bench.requests import Signer
from cli.bench.sealing import Sealing, measure_sealing
from cli.bench.usage import Meter
from cli.context import Where, opened
from cli.testnet.layout import CHAIN, Network
from cli.testnet.supervisor import running_pids, start_processes, stop_processes
from sp.crypto.ec import kernel
from sp.crypto.ec.isal import IsalKernel
from sp.domain.erasure import coding_matrix, split
from sp.domain.jobs import JobFilter
from sp.domain.lifecycle import JobState
from spdb.database import open_database
from tasknode import client as tasknode
from tasknode.memory import SegmentMemory
from tests.bench import spdb as spdb_bench
from tests.bench.compare.targets import Target
from tests.contracts.spdb_world import World

MIB = 1 << 20
SEGMENT = 16 * MIB


def best_of(work: Callable[[], object], runs: int = 9) -> float:
    """Seconds; the median of some runs, after one that does not count."""
    work()
    spans = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        spans.append(time.perf_counter() - started)
    return median(spans)


def coding() -> dict[str, float]:
    """GB/s of payload, 4+2, segments of 16 MiB: our kernels, the bare library call, sha256. In turns. The kernels in
    memory that the task node uses for it."""
    region = SegmentMemory().take(SEGMENT, SEGMENT // 2)
    segment = os.urandom(SEGMENT)
    region.segment[:] = segment
    pieces = split(region.segment, 4)
    rows = coding_matrix(4, 2)[4:]
    bare = bare_isal(segment)
    room = split(region.parity, 2)
    works: dict[str, Callable[[], object]] = {
        "isal": lambda: kernel("isal").combine(rows, pieces, SEGMENT // 4, room),
        "bare call": bare,
        "numpy": lambda: kernel("numpy").combine(rows, pieces, SEGMENT // 4, room),
        "sha256": lambda: hashlib.sha256(segment).digest(),
    }
    spans: dict[str, list[float]] = {name: [] for name in works}
    for number in range(12):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            if number:
                spans[name].append(time.perf_counter() - started)
    return {name: SEGMENT / median(each) / 1e9 for name, each in spans.items()}


def bare_isal(segment: bytes) -> Callable[[], object]:
    """ec_encode_data on buffers and tables that are there already, its results' memory too: no wrapper can beat it."""
    isal = IsalKernel()
    rows = coding_matrix(4, 2)[4:]
    tables = isal._tables(bytes(c for row in rows for c in row), len(rows))
    size = len(segment) // 4
    sources = [ctypes.create_string_buffer(segment[n * size : (n + 1) * size], size) for n in range(4)]
    targets = [ctypes.create_string_buffer(size) for _ in rows]
    from_ = (ctypes.c_void_p * len(sources))(*(ctypes.addressof(s) for s in sources))
    to = (ctypes.c_void_p * len(targets))(*(ctypes.addressof(t) for t in targets))

    def call() -> int:
        isal._encode(size, len(sources), len(targets), tables, from_, to)
        return len(targets)  # named here, so that the buffers live as long as this call does

    return call


def transitions(rounds: int) -> tuple[float, float]:
    """Durable moves a second of 16 jobs at once: SPDB, and one async transaction for each."""

    async def compare(folder: Path) -> tuple[float, float]:
        ours, single = [], []
        for number in range(rounds):
            path = folder / f"transitions-{number}"
            async with open_database(f"sqlite:///{path}") as database:
                await World(database).put("job of worker 0")
                ours.append((await spdb_bench.transitions(database, 16, 150)).per_s)
            async with spdb_bench.one_by_one(path) as database:
                single.append((await spdb_bench.transitions(database, 16, 30)).per_s)
        return median(ours), median(single)

    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        return asyncio.run(compare(Path(folder)))


def cpu_floors(folder: Path) -> dict[str, float]:
    """CPU seconds per GB (10^9 bytes): sending on loopback, reading a cached file, coding 4+2."""
    payload = memoryview(os.urandom(SEGMENT))
    path = folder / "cached"
    path.write_bytes(payload)
    buffer = bytearray(MIB)

    def read() -> None:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass

    pieces = [payload[n * SEGMENT // 4 : (n + 1) * SEGMENT // 4] for n in range(4)]
    rows = coding_matrix(4, 2)[4:]
    found = {
        "read": _cpu_per_gb(read, 32),
        "code": _cpu_per_gb(lambda: kernel("isal").combine(rows, pieces, SEGMENT // 4), 32),
        "send": _send_cpu(payload, 48),
    }
    path.unlink()
    return found


def _cpu_per_gb(work: Callable[[], object], times: int) -> float:
    work()
    before = time.thread_time()
    for _ in range(times):
        work()
    return (time.thread_time() - before) / (times * SEGMENT / 1e9)


def _send_cpu(payload: memoryview, times: int) -> float:
    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = socket.create_connection(server.getsockname())
        receiver, _ = server.accept()
        buffer = bytearray(MIB)

        def drain() -> None:
            while receiver.recv_into(buffer):
                pass

        thread = threading.Thread(target=drain)
        thread.start()
        with closing(sender):
            result = _cpu_per_gb(lambda: sender.sendall(payload), times)
        thread.join()
        receiver.close()
    return result


def network_pids(testnet: Network) -> dict[str, int]:
    return {name: pid for name in testnet.processes for pid in running_pids(testnet, [name])}


def whole_network_cpu(testnet: Network, target: Target, objects: int) -> dict[str, float]:
    """CPU seconds per GB of payload, from the PUT to SEALED, of all SPs together; the chain's beside it."""
    body = memoryview(os.urandom(64 * MIB))
    names = [f"whole/{time.time_ns()}/{number}" for number in range(objects)]
    meter = Meter(network_pids(testnet))
    started = time.perf_counter()
    with closing(Load(target.signer.address, 2)) as load:
        outcome = load.run(target.signer.put(target.bucket, name, body) for name in names)
    assert not outcome.failures, outcome.failures
    put_s = time.perf_counter() - started
    left = until_sealed(target.signer, target.bucket, names, timeout_s=120.0)
    usage = meter.read()
    gigabytes = objects * len(body) / 1e9
    return {
        "SPs": sum(each.cpu_s for name, each in usage.items() if name != CHAIN) / gigabytes,
        "primary": sum(each.cpu_s for name, each in usage.items() if name.startswith("sp0")) / gigabytes,
        "chain": usage[CHAIN].cpu_s / gigabytes,
        "not sealed": float(left),
        "PUT MB/s": outcome.moved_bytes / put_s / 1e6,
        "to SEALED MB/s": gigabytes * 1e3 / (time.perf_counter() - started),
        "peak MiB, primary": max(u.peak_bytes for n, u in usage.items() if n.startswith("sp0")) / 2**20,
        "peak MiB, secondary": max(u.peak_bytes for n, u in usage.items() if n[:2] == "sp" and n[:3] != "sp0") / 2**20,
    }


def until_sealed(signer: Signer, bucket: str, names: list[str], timeout_s: float) -> int:
    """How many are not sealed in time."""
    ends = time.perf_counter() + timeout_s
    left = list(names)
    with closing(Load(signer.address, 1)) as load:
        while left and time.perf_counter() < ends:
            load.one(signer.head(bucket, left[0]))
            if load.last_answer.header("x-sp-object-status") == "SEALED":
                left.pop(0)
            else:
                time.sleep(0.2)
    return len(left)


def seal_waits(target: Target, seconds: float) -> Sealing:
    body = memoryview(os.urandom(MIB))
    return measure_sealing(
        target.signer, target.bucket, body, seconds=seconds, rate_per_s=20.0, clients=16, patience_s=60.0
    )


def sealed_per_s(testnet: Network, target: Target, seconds: float, rate_per_s: float) -> dict[str, float]:
    """Small objects are put at this rate; how many the chain has sealed for each second, the first tenth left out."""
    body = memoryview(os.urandom(4096))
    counts: list[tuple[float, int]] = []
    ended = threading.Event()
    reader = threading.Thread(target=lambda: asyncio.run(_count_seals(testnet, counts, ended)))
    reader.start()
    meter = Meter(network_pids(testnet))
    names = (f"sealed/{time.time_ns()}" for _ in iter(int, 1))
    with closing(Load(target.signer.address, 16)) as load:
        outcome = load.run(
            (target.signer.put(target.bucket, name, body) for name in names), seconds=seconds, rate_per_s=rate_per_s
        )
    usage = meter.read()
    ended.set()
    reader.join()
    begin = next(each for each in counts if each[0] >= counts[0][0] + seconds / 10)
    sealed = counts[-1][1] - begin[1]
    cpu = {name: each.cpu_s / seconds for name, each in usage.items()}
    return {
        "sealed a second": sealed / (counts[-1][0] - begin[0]),
        "put a second": outcome.per_s,
        "put failures": float(outcome.failures.total()),
        "CPUs, primary": sum(value for name, value in cpu.items() if name.startswith("sp0")),
        "CPUs, chain": cpu[CHAIN],
        "CPUs, secondaries": sum(v for n, v in cpu.items() if not n.startswith("sp0") and n != CHAIN),
    }


async def _count_seals(testnet: Network, counts: list[tuple[float, int]], ended: threading.Event) -> None:
    async with opened(Where(testnet.dir, "sp0").config_path()) as parts:
        node = await tasknode.connect(parts)
        while True:
            last = ended.is_set()
            _, by_state = await node.list_jobs(JobFilter(limit=1))
            counts.append((time.perf_counter(), by_state.get(JobState.SEAL_OBJECT_DONE, 0)))
            if last:
                return
            await asyncio.sleep(0.5)


def warm_start_s(testnet: Network) -> float:
    """Stop everything, and start it again until all is ready."""
    stop_processes(testnet, testnet.processes)
    started = time.perf_counter()
    start_processes(testnet, testnet.processes)
    return time.perf_counter() - started
