"""What only the disk store promises: layout, order of syncs, errors of the system, cancellation, threads, memory."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import gc
import hashlib
import logging
import os
import stat
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from piecestore.disk import DiskStore, open_disk_store
from piecestore.disk.layout import Layout, key_at
from piecestore.disk.temporary import create_locked, sweep
from sp.domain.errors import PieceExists, StoreFailed, StoreFull
from sp.domain.ids import JobId, SegmentIndex
from sp.domain.pieces import SegmentKey

P = ParamSpec("P")
T = TypeVar("T")

pytestmark = pytest.mark.slow

MIB = 1 << 20
KEY = SegmentKey(JobId(7), SegmentIndex(0))


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4, thread_name_prefix="disk") as executor:
        yield executor


@pytest.fixture(params=[True, False], ids=["direct", "buffered"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, pool: ThreadPoolExecutor) -> AsyncIterator[DiskStore]:
    async with open_disk_store(tmp_path / "pieces", pool, direct_io=request.param) as opened:
        yield opened


def _files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


# --- layout -----------------------------------------------------------------------------------------------------------


async def test_a_piece_is_one_private_file_named_by_its_key_in_its_shard(store: DiskStore, tmp_path: Path) -> None:
    await store.put(KEY, b"abc")
    digits = hashlib.sha256(b"u7_s0").hexdigest()
    path = tmp_path / "pieces" / digits[0] / digits[1:3] / "u7_s0"
    assert _files(tmp_path / "pieces") == [str(path.relative_to(tmp_path / "pieces"))]
    assert path.read_bytes() == b"abc"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_ten_thousand_pieces_spread_over_the_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # where they go is asked, not whether they stay
    monkeypatch.setattr(os, "fdatasync", lambda _: None)
    keys = [SegmentKey(JobId(n // 100), SegmentIndex(n % 100)) for n in range(10_000)]
    async with open_disk_store(tmp_path) as store:
        for start in range(0, len(keys), 500):
            await asyncio.gather(*(store.put(key, str(key).encode()) for key in keys[start : start + 500]))
        assert {key async for key in store.keys()} == set(keys)  # noqa: SIM118 - a store is no dict
        assert await store.get(keys[1234]) == str(keys[1234]).encode()
    spread = Counter(str(Path(name).parent) for name in _files(tmp_path))
    assert len(spread) > 3000
    assert max(spread.values()) <= 15


async def test_a_listing_passes_over_files_the_store_did_not_put_there(store: DiskStore, tmp_path: Path) -> None:
    await store.put(KEY, b"abc")
    shard = Layout(tmp_path / "pieces").path(KEY).parent
    for stranger in ("README", "u7_s00", "u8_s0"):  # no key; no key in its one spelling; a key of another shard
        (shard / stranger).touch()
    assert [key async for key in store.keys()] == [KEY]  # noqa: SIM118 - a store is no dict
    assert key_at(shard / "u8_s0") is None


# --- durability -------------------------------------------------------------------------------------------------------


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The durable steps in the order in which they are taken; paths are relative to the store's root."""
    taken: list[str] = []

    def name(fd: int) -> str:
        path = Path(f"/proc/self/fd/{fd}").readlink().relative_to(tmp_path / "pieces")
        return "tmp/*" if path.parent.name == "tmp" else str(path)

    def record(step: str, true_call: object) -> None:
        def call(fd: int) -> None:
            taken.append(f"{step} {name(fd)}")
            true_call(fd)  # type: ignore[operator]  # os.fsync or os.fdatasync

        monkeypatch.setattr(os, step, call)

    record("fsync", os.fsync)
    record("fdatasync", os.fdatasync)
    true_link = Path.hardlink_to

    def link(path: Path, source: Path) -> None:
        taken.append("link")
        true_link(path, source)

    monkeypatch.setattr(Path, "hardlink_to", link)
    return taken


async def test_bytes_are_synced_before_the_name_and_the_name_before_commit_returns(
    store: DiskStore, steps: list[str]
) -> None:
    shard = str(Path(hashlib.sha256(b"u7_s0").hexdigest()[:1]) / hashlib.sha256(b"u7_s0").hexdigest()[1:3])
    await store.put(KEY, os.urandom(2 * MIB + 1))
    assert steps == ["fdatasync tmp/*", "fsync .", f"fsync {shard[0]}", "link", f"fsync {shard}"]
    steps.clear()
    await store.delete(KEY)
    assert steps == [f"fsync {shard}"]
    steps.clear()
    await store.put(KEY, b"abc")
    assert steps == ["fdatasync tmp/*", "link", f"fsync {shard}"]
    steps.clear()
    await store.put(KEY, b"abc")
    assert steps[-1] == f"fsync {shard}", "the name may be another process's, which has not synced it yet"


async def test_a_store_opened_again_holds_what_was_committed(tmp_path: Path) -> None:
    piece = os.urandom(MIB + 5)
    async with open_disk_store(tmp_path) as store:
        await store.put(KEY, piece)
    async with open_disk_store(tmp_path, direct_io=False) as store:
        assert await store.get(KEY) == piece


# --- errors of the system ---------------------------------------------------------------------------------------------


def _failing(number: int, *, after: int = 0) -> object:
    calls = iter(range(after))
    true_write = os.pwrite

    def pwrite(fd: int, block: memoryview, offset: int) -> int:
        if next(calls, None) is None:
            raise OSError(number, os.strerror(number))
        return true_write(fd, block, offset)

    return pwrite


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("size", [10, 5 * MIB])
async def test_a_full_disk_is_told_as_full_and_leaves_no_file(
    store: DiskStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, size: int
) -> None:
    monkeypatch.setattr(os, "pwrite", _failing(number, after=size // MIB // 2))
    with pytest.raises(StoreFull):
        await store.put(KEY, os.urandom(size))
    assert _files(tmp_path) == []


@pytest.mark.parametrize("step", ["pwrite", "fdatasync"])
async def test_any_other_error_carries_its_name_and_leaves_no_file(
    store: DiskStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "gone")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(StoreFailed) as failed:
        await store.put(KEY, os.urandom(2 * MIB))
    assert failed.value.reason == "EIO"
    assert _files(tmp_path) == []


async def test_a_short_write_is_carried_on_to_the_end(store: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    true_write = os.pwrite

    short: list[int] = []

    def half(fd: int, block: memoryview, offset: int) -> int:
        """A kernel that stops at an odd place once, as it may when the disk fills."""
        if short:
            return true_write(fd, block, offset)
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        fcntl.fcntl(fd, fcntl.F_SETFL, flags & ~os.O_DIRECT)
        short.append(true_write(fd, block[: len(block) // 2 - 3], offset))
        fcntl.fcntl(fd, fcntl.F_SETFL, flags)
        return short[0]

    monkeypatch.setattr(os, "pwrite", half)
    piece = os.urandom(2 * MIB + 4096 + 17)
    assert await store.put(KEY, piece) == hashlib.sha256(piece).digest()
    assert await store.get(KEY) == piece


async def test_a_write_that_failed_cannot_be_committed(store: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async with store.writer(KEY) as writer:
        monkeypatch.setattr(os, "pwrite", _failing(errno.ENOSPC))
        with pytest.raises(StoreFull):
            await writer.write(os.urandom(3 * MIB))
        monkeypatch.undo()
        with pytest.raises(StoreFailed):
            await writer.commit()


@pytest.mark.parametrize(("size", "jobs"), [(1, 1), (MIB, 1), (MIB + 1, 2), (4 * MIB, 4)])
async def test_the_last_block_and_the_commit_are_one_job(tmp_path: Path, size: int, jobs: int) -> None:
    with ThreadPoolExecutor(2) as threads:
        counted = _CountingExecutor(threads)
        async with open_disk_store(tmp_path, counted) as store:
            counted.jobs = 0
            await store.put(KEY, os.urandom(size))
            assert counted.jobs == jobs


async def test_a_cancelled_read_into_memory_ends_before_its_caller_goes_on(tmp_path: Path) -> None:
    began, go_on = threading.Event(), threading.Event()

    def absorb(_: memoryview) -> None:
        began.set()
        go_on.wait(10)
        buffer[:] = b"last"

    buffer = bytearray(4)
    async with open_disk_store(tmp_path) as store:
        await store.put(KEY, b"1234")
        reading = asyncio.create_task(store.get_into(KEY, memoryview(buffer), absorb))
        await asyncio.to_thread(began.wait, 10)
        reading.cancel()
        asyncio.get_running_loop().call_later(0.05, go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert buffer == b"last"


class _CountingExecutor(Executor):
    jobs = 0

    def __init__(self, inner: Executor) -> None:
        self._inner = inner

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        self.jobs += 1
        return self._inner.submit(fn, *args, **kwargs)


async def test_an_error_nobody_waits_for_is_not_left_to_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with ThreadPoolExecutor(1) as one, caplog.at_level(logging.ERROR, "asyncio"):
        async with open_disk_store(tmp_path, one) as store:
            monkeypatch.setattr(os, "pwrite", _failing(errno.EIO))
            async with store.writer(KEY) as writer:
                await writer.write(os.urandom(MIB + 1))  # a block is handed over, and nothing asks for the outcome
                for _ in range(2):  # the only worker has failed by now, and the loop has been told
                    await asyncio.get_running_loop().run_in_executor(one, int)
            del writer
            gc.collect()
    assert caplog.records == []


# --- cancellation -----------------------------------------------------------------------------------------------------


@pytest.fixture
def stuck_write(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """(a write has begun, let it go on)"""
    begun, go_on = threading.Event(), threading.Event()
    true_write = os.pwrite

    def pwrite(fd: int, block: memoryview, offset: int) -> int:
        begun.set()
        assert go_on.wait(30)
        return true_write(fd, block, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    yield begun, go_on
    go_on.set()


@pytest.mark.parametrize("cancels", [1, 2])
@pytest.mark.parametrize("size", [100, 4 * MIB])
async def test_a_put_cancelled_while_it_writes_leaves_no_file(
    store: DiskStore,
    tmp_path: Path,
    pool: ThreadPoolExecutor,
    stuck_write: tuple[threading.Event, threading.Event],
    cancels: int,
    size: int,
) -> None:
    begun, go_on = stuck_write
    put = asyncio.create_task(store.put(KEY, os.urandom(size)))
    assert await asyncio.to_thread(begun.wait, 30)
    put.cancel()
    await asyncio.wait([put], timeout=0.05)
    assert not put.done(), "the file is removed before the cancelled put ends"
    if cancels == 2:
        put.cancel()
        await asyncio.wait([put], timeout=30)
        assert put.done(), "whoever insists is not kept waiting by the disk"
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await put
    await asyncio.to_thread(pool.shutdown)
    leftover = [name for name in _files(tmp_path / "pieces") if name.startswith("tmp/")]
    assert leftover == []
    if size == 4 * MIB:
        assert _files(tmp_path / "pieces") == []


# --- threads and memory -----------------------------------------------------------------------------------------------


async def test_no_file_is_touched_on_the_event_loop(store: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[str] = set()
    for call in ("open", "pwrite", "pread", "fdatasync", "fsync", "unlink", "statvfs"):
        true_call = getattr(os, call)

        def recorded(*args: object, _true_call: object = true_call, **options: object) -> object:
            threads.add(threading.current_thread().name)
            return _true_call(*args, **options)  # type: ignore[operator]  # one of the os functions above

        monkeypatch.setattr(os, call, recorded)
    await store.put(KEY, os.urandom(3 * MIB + 1))
    await store.get(KEY)
    await store.free_bytes()
    await store.delete(KEY)
    assert threads
    assert all(name.startswith("disk") for name in threads)


async def test_one_worker_is_enough(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as one:
        async with open_disk_store(tmp_path, one) as store:
            keys = [SegmentKey(JobId(1), SegmentIndex(n)) for n in range(4)]
            async with asyncio.timeout(60):
                await asyncio.gather(*(store.put(key, os.urandom(3 * MIB)) for key in keys))
                with pytest.raises(PieceExists):
                    await store.put(keys[0], b"other")


STREAM_300_MB = """
import asyncio, pathlib, sys
from piecestore.disk import open_disk_store
from sp.domain.pieces import SegmentKey

def peak_kib():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1])

async def put(store, job, mib):
    chunk = bytes(1 << 16)
    async with store.writer(SegmentKey(job, 0)) as writer:
        for _ in range(mib * 16):
            await writer.write(chunk)
        await writer.commit()

async def main():
    async with open_disk_store(pathlib.Path(sys.argv[1]), direct_io=sys.argv[2] == "True") as store:
        await put(store, 1, 3)
        before = peak_kib()
        await put(store, 2, 300)
        print(peak_kib() - before)

asyncio.run(main())
"""


@pytest.mark.parametrize("direct_io", [True, False])
def test_a_streamed_piece_of_300_mb_takes_no_more_memory_than_one_of_three(tmp_path: Path, direct_io: bool) -> None:
    command = [sys.executable, "-c", STREAM_300_MB, str(tmp_path), str(direct_io)]
    grown_kib = int(subprocess.run(command, check=True, capture_output=True, timeout=120, text=True).stdout.split()[-1])
    assert grown_kib < 2048


# --- temporary files --------------------------------------------------------------------------------------------------


async def test_opening_removes_what_a_crash_left_and_spares_a_live_writer(tmp_path: Path) -> None:
    async with open_disk_store(tmp_path) as first, first.writer(KEY) as writer:
        await writer.write(os.urandom(2 * MIB + 1))  # more than two blocks: the first has reached the file
        (tmp_path / "tmp" / "123-abandoned").write_bytes(b"half a piece")
        async with open_disk_store(tmp_path) as second:
            assert len(_files(tmp_path)) == 1
            checksum = await writer.commit()
            assert hashlib.sha256(await second.get(KEY)).digest() == checksum
    assert _files(tmp_path / "tmp") == []


def test_a_temporary_file_swept_before_it_was_locked_is_replaced_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_lock = fcntl.flock
    swept: list[int] = []

    def lock(fd: int, operation: int) -> None:
        if not swept:
            swept.append(0)
            swept[0] = sweep(tmp_path)
        true_lock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", lock)
    fd, path = create_locked(tmp_path)
    os.close(fd)
    assert swept == [1]
    assert [path] == list(tmp_path.iterdir())
