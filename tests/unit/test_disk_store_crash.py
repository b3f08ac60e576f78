"""kill -9 at any moment leaves each piece absent or whole, and the next start tidies up. Also: sharing a root."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from piecestore.disk import open_disk_store
from sp.domain.errors import PieceNotFound
from sp.domain.ids import JobId, SegmentIndex
from sp.domain.pieces import SegmentKey

MIB = 1 << 20
KEY = SegmentKey(JobId(7), SegmentIndex(0))

pytestmark = pytest.mark.slow

PRELUDE = """
import asyncio, hashlib, pathlib, sys
import structlog
from piecestore.disk import open_disk_store
from piecestore.disk.temporary import TemporaryPiece
from sp.domain.pieces import SegmentKey

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # what is told on stdout is counted
root = pathlib.Path(sys.argv[1])
def piece(job, size=3 * 1048576 + 17):
    return hashlib.shake_128(str(job).encode()).digest(size)
def stop_here(*_):
    print("here", flush=True)
    sys.stdin.read()
"""

MID_WRITE = """
async def main():
    async with open_disk_store(root) as store, store.writer(SegmentKey(7, 0)) as writer:
        await writer.write(piece(7))
        stop_here()
asyncio.run(main())
"""

BEFORE_THE_NAME = """
async def main():
    async with open_disk_store(root) as store:
        TemporaryPiece._link = stop_here
        await store.put(SegmentKey(7, 0), piece(7))
asyncio.run(main())
"""

AFTER_THE_NAME = """
async def main():
    async with open_disk_store(root) as store:
        TemporaryPiece._end = stop_here
        await store.put(SegmentKey(7, 0), piece(7))
asyncio.run(main())
"""

PUT_FOR_EVER = """
async def main():
    async with open_disk_store(root) as store:
        job = 0
        while True:
            job += 1
            await store.put(SegmentKey(job, 0), piece(job))
            print(job, flush=True)
asyncio.run(main())
"""

SHARE = """
async def main():
    own = int(sys.argv[2])
    for turn in range(25):
        async with open_disk_store(root) as store:
            common, mine = SegmentKey(1000 + turn, 0), SegmentKey(turn, own)
            await asyncio.gather(store.put(common, piece(1000 + turn)), store.put(mine, piece(turn, 200_000)))
            assert await store.get(common) == piece(1000 + turn)
asyncio.run(main())
"""


def _piece(job: int, size: int = 3 * MIB + 17) -> bytes:
    return hashlib.shake_128(str(job).encode()).digest(size)


@contextmanager
def _child(program: str, root: Path) -> Iterator[subprocess.Popen[str]]:
    """Runs `program`; killed with SIGKILL at the end of the block."""
    command = [sys.executable, "-c", PRELUDE + program, str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


@pytest.mark.parametrize(("moment", "visible"), [(MID_WRITE, False), (BEFORE_THE_NAME, False), (AFTER_THE_NAME, True)])
async def test_killed_around_the_commit_the_piece_is_absent_or_whole_and_the_temporary_file_is_removed(
    tmp_path: Path, moment: str, visible: bool
) -> None:
    with _child(moment, tmp_path) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "here\n"
    assert len(list((tmp_path / "tmp").iterdir())) == 1, "the crash has left its file"
    async with open_disk_store(tmp_path) as store:
        assert list((tmp_path / "tmp").iterdir()) == []
        if visible:
            assert await store.get(KEY) == _piece(7)
        else:
            with pytest.raises(PieceNotFound):
                await store.size(KEY)
        await store.put(KEY, _piece(7))
        assert await store.get(KEY) == _piece(7)


@pytest.mark.parametrize("acknowledged", [1, 2, 5, 9])
async def test_killed_at_any_moment_every_acknowledged_piece_is_kept_and_no_visible_one_is_partial(
    tmp_path: Path, acknowledged: int
) -> None:
    with _child(PUT_FOR_EVER, tmp_path) as child:
        assert child.stdout is not None
        told = [int(child.stdout.readline()) for _ in range(acknowledged)]
        child.kill()
        told += [int(line) for line in child.stdout if line.endswith("\n")]
    async with open_disk_store(tmp_path) as store:
        stored = [key async for key in store.keys()]  # noqa: SIM118 - a store is no dict
        assert set(told) <= {key.job_id for key in stored if isinstance(key, SegmentKey)}
        assert len(stored) - len(told) in (0, 1)
        for key in stored:
            assert isinstance(key, SegmentKey)
            assert await store.get(key) == _piece(key.job_id)
    assert list((tmp_path / "tmp").iterdir()) == []


def _run_two_at_once(program: str, root: Path) -> None:
    command = [sys.executable, "-c", PRELUDE + program, str(root)]
    children = [subprocess.Popen([*command, own], stderr=subprocess.PIPE, text=True) for own in ("1", "2")]
    for child in children:
        _, errors = child.communicate(timeout=120)
        assert child.returncode == 0, errors


async def test_processes_that_share_a_root_neither_sweep_nor_overwrite_each_other(tmp_path: Path) -> None:
    _run_two_at_once(SHARE, tmp_path)
    async with open_disk_store(tmp_path) as store:
        for turn in range(25):
            assert await store.get(SegmentKey(JobId(1000 + turn), SegmentIndex(0))) == _piece(1000 + turn)
            for own in (1, 2):
                assert await store.get(SegmentKey(JobId(turn), SegmentIndex(own))) == _piece(turn, 200_000)
