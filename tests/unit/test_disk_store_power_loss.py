"""The power goes at any moment, and the disk keeps whatever it likes of what was not synced: what was acknowledged is
there and whole, everything else is whole or absent, and the next start tidies up. docs/power-loss.md."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
import structlog

from piecestore.disk import DiskStore, open_disk_store
from piecestore.disk import store as store_module
from piecestore.disk import temporary as temporary_module
from piecestore.disk.layout import Layout, key_at, shard_name
from piecestore.disk.sync import ShardDirectories
from sp.domain.errors import PieceNotFound
from sp.domain.ids import JobId, SegmentIndex
from sp.domain.pieces import PieceKey, SegmentKey
from tests.power.outcomes import outcomes
from tests.power.recorder import Mark, Recorder, Step

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STATES: Final = int(os.environ.get("POWER_LOSS_STATES", "12"))
"""Outcomes looked at for each step of a recording, where there are more."""

BLOCK: Final = 1 << 20


def key(job: int, segment: int = 0) -> PieceKey:
    return SegmentKey(JobId(job), SegmentIndex(segment))


def piece(of: PieceKey) -> bytes:
    """Odd sizes. That of job 3 has more than a block: past the page cache, where the file system takes it."""
    random = Random(str(of))
    size = random.randrange(1, 3000) + (BLOCK + 4096 if of == key(3) else 0)
    return random.randbytes(size)


def same_shard(count: int) -> list[PieceKey]:
    """Keys whose files lie in one directory."""
    found: dict[str, list[PieceKey]] = {}
    for job in range(1, 100_000):
        names = found.setdefault(shard_name(str(key(job))), [])
        names.append(key(job))
        if len(names) == count:
            return names
    raise AssertionError


class Workload:
    """Puts and deletes, each marked in the recording when it begins and when it is acknowledged."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    async def put(self, store: DiskStore, *keys: PieceKey) -> None:
        for each in keys:
            self._recorder.mark(("begun", "put", each))
            await store.put(each, piece(each))
            self._recorder.mark(("done", "put", each))

    async def delete(self, store: DiskStore, *keys: PieceKey) -> None:
        for each in keys:
            self._recorder.mark(("begun", "delete", each))
            await store.delete(each)
            self._recorder.mark(("done", "delete", each))


async def one_after_the_other(root: Path, do: Workload) -> None:
    async with open_disk_store(root) as store:
        await do.put(store, key(1), key(2), key(1, 1))
        await do.delete(store, key(2))
        await do.put(store, key(1), key(4), key(3))  # the large one last, since every later disk holds it


async def beside_each_other_in_one_directory(root: Path, do: Workload) -> None:
    a, b, c, d = same_shard(4)
    async with open_disk_store(root) as store:
        await asyncio.gather(do.put(store, a), do.put(store, b), do.put(store, c))
        await asyncio.gather(do.delete(store, a), do.put(store, d))


async def two_processes_in_one_directory(root: Path, do: Workload) -> None:
    """Each remembers for itself which directories are durable."""
    a, b, c, _ = same_shard(4)
    async with open_disk_store(root) as one, open_disk_store(root) as other:
        await asyncio.gather(do.put(one, a, c), do.put(other, b, c))


async def a_writer_gives_up_and_the_process_starts_again(root: Path, do: Workload) -> None:
    async with open_disk_store(root) as store:
        async with store.writer(key(9)) as writer:
            await writer.write(bytes(BLOCK))
        await do.put(store, key(5))
    async with open_disk_store(root) as store:
        await do.put(store, key(6))


WORKLOADS: Final = (
    one_after_the_other,
    beside_each_other_in_one_directory,
    two_processes_in_one_directory,
    a_writer_gives_up_and_the_process_starts_again,
)


async def recorded(workload: Callable[[Path, Workload], Coroutine[Any, Any, None]], base: Path) -> list[Step]:
    recorder = Recorder(base)
    with recorder.recording():
        await workload(base / "pieces", Workload(recorder))
    return recorder.steps


class Lost(AssertionError):
    """A promise is broken."""


async def check(base: Path, steps: list[Step]) -> None:
    """Lost unless the store below `base`, opened as at the next start, keeps what it had promised by then."""
    promised, undecided = _promises(steps)
    async with open_disk_store(base / "pieces") as store:
        for path in (base / "pieces").glob("?/??/*"):  # store.keys() would look into all of its 4,096 directories
            each = key_at(path)
            if each is None or await store.get(each) != piece(each):
                raise Lost(f"{path.name} is there and damaged")
        for each, there in promised.items():
            try:
                await store.size(each)
            except PieceNotFound:
                if there:
                    raise Lost(f"{each} was acknowledged and is gone") from None
            else:
                if not there:
                    raise Lost(f"{each} was deleted and is back")
        if left := list(Layout(base / "pieces").temporary.iterdir()):
            raise Lost(f"temporary files are left: {left}")
        for each in undecided:  # who was not answered asks again
            await store.put(each, piece(each))


def _promises(steps: list[Step]) -> tuple[dict[PieceKey, bool], set[PieceKey]]:
    """Of each key whether it must be there; and those that may or may not be: something had begun, unanswered."""
    promised: dict[PieceKey, bool] = {}
    open_calls: dict[PieceKey, int] = {}
    for step in steps:
        if isinstance(step, Mark):
            stage, what, of = step.what
            if stage == "begun":
                open_calls[of] = open_calls.get(of, 0) + 1
                if what == "delete" or promised.get(of) is not True:  # a put of what is there changes nothing
                    promised.pop(of, None)
            else:
                open_calls[of] -= 1
                promised[of] = what == "put"
    return promised, {of for of, number in open_calls.items() if number and of not in promised}


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder for the outcomes: in memory where there is one, since syncs of a copy prove nothing."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


async def every_outcome(steps: list[Step], memory: Path, states: int) -> int:
    """How many were looked at. Lost, with the step after which the power went."""
    looked_at = 0
    for cut in range(len(steps) + 1):
        for outcome in outcomes(steps[:cut], states, Random(cut)):
            base = memory / "disk"
            base.mkdir()
            outcome.make(base)
            try:
                await check(base, steps[:cut])
            except Lost as lost:
                raise Lost(f"{lost}; power lost after step {cut} of {len(steps)}: {steps[cut - 1]!r:.200}") from None
            finally:
                shutil.rmtree(base)
            looked_at += 1
    return looked_at


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda each: each.__name__)
async def test_what_was_acknowledged_outlives_a_power_cut_at_any_step(
    workload: Callable[[Path, Workload], Coroutine[Any, Any, None]], tmp_path: Path, memory: Path
) -> None:
    steps = await recorded(workload, tmp_path)
    looked_at = await every_outcome(steps, memory, STATES)
    print(f"{workload.__name__}: {len(steps)} steps, {looked_at} disks")
    assert looked_at > 3 * len(steps)


# --- the check itself: a store that leaves out one sync is caught


@pytest.fixture
async def steps_without(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[Step]]:
    with pytest.MonkeyPatch.context() as patch:
        request.param(patch)
        yield await recorded(one_after_the_other, tmp_path)


def _no_sync_of_the_piece(patch: pytest.MonkeyPatch) -> None:
    class Without:
        def __getattr__(self, name: str) -> Any:
            return (lambda fd: None) if name == "fdatasync" else getattr(os, name)

    patch.setattr(temporary_module, "os", Without())


def _no_sync_of_the_name(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(temporary_module, "sync_directory", lambda path: None)


def _no_sync_of_the_directories(patch: pytest.MonkeyPatch) -> None:
    def ensure(self: ShardDirectories, shard: Path) -> None:
        shard.mkdir(parents=True, exist_ok=True)

    patch.setattr(ShardDirectories, "ensure", ensure)


def _no_sync_of_a_delete(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(store_module, "sync_directory", lambda path: None)


@pytest.mark.parametrize(
    ("steps_without", "found"),
    [
        (_no_sync_of_the_piece, "damaged"),
        (_no_sync_of_the_name, "gone"),
        (_no_sync_of_the_directories, "gone"),
        (_no_sync_of_a_delete, "back"),
    ],
    indirect=["steps_without"],
)
async def test_a_store_that_leaves_out_a_sync_is_caught(steps_without: list[Step], found: str, memory: Path) -> None:
    with pytest.raises(Lost, match=found):
        await every_outcome(steps_without, memory, STATES)
