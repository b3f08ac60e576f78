"""SPDB on SQLite when the power goes, and when its processes are killed over and over: an acknowledged transaction is
there afterwards, an unanswered one is there whole or not at all. docs/power-loss.md."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

import pytest
from sqlalchemy import Connection, text

from sp.domain.ids import JobId
from sp.domain.lifecycle import JobState
from spdb.database import Database, open_database
from spdb.sqlite import SqliteDatabase
from tests.contracts.spdb_world import World
from tests.contracts.test_spdb_database import all_are_kept, puts_until_killed
from tests.power.outcomes import outcomes
from tests.power.recorder import Mark, Step, SyncFile, Write
from tests.power.sqlite_vfs import SqliteRecorder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PUTS: Final = 24
POINTS: Final = 60
"""Steps after which the power goes, of some hundreds: all syncs and marks, and others by chance."""
SMALL: Final = Random(3).randbytes(9_000)
"""What the small puts bring: some pages of the database."""
STATES: Final = int(os.environ.get("POWER_LOSS_STATES", "4"))


def url_of(folder: Path) -> str:
    return f"sqlite:///{folder}/spdb.sqlite"


async def test_the_files_settings_are_those_of_a_database_that_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    """WAL with synchronous=FULL: every commit is synced before it is answered. NORMAL would lose the last ones."""
    async with open_database(url_of(tmp_path)) as database:
        assert isinstance(database, SqliteDatabase)

        def setting(name: str) -> asyncio.Future[object]:
            return asyncio.ensure_future(database.write(lambda c: c.execute(text(f"PRAGMA {name}")).scalar_one()))

        assert await setting("journal_mode") == "wal"
        assert await setting("synchronous") == 2
        assert await setting("foreign_keys") == 1
        assert await setting("fullfsync") == 0  # means something on macOS only
        assert await database.read(lambda c: c.execute(text("PRAGMA query_only")).scalar_one()) == 1


@pytest.fixture
def memory() -> Iterator[Path]:
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


async def recorded_puts(folder: Path) -> tuple[list[Step], set[JobId]]:
    """What SQLite did for some puts, with a mark for each that was acknowledged; and the database's checkpoints."""
    recorder = SqliteRecorder(folder)
    acknowledged: set[JobId] = set()
    with recorder.recording():
        async with open_database(url_of(folder)) as database:
            world = World(database)

            async def put(number: int) -> None:
                small = number % 3 == 0
                job = await (world.put_small(f"n{number}", SMALL) if small else world.put(f"n{number}"))
                acknowledged.add(job.id)
                recorder.mark(Mark(job.id))

            for number in range(0, PUTS, 3):
                await asyncio.gather(*(put(number + i) for i in range(3)))
                if number == PUTS // 2:
                    await _checkpoint(database)
    return recorder.steps, acknowledged


async def _checkpoint(database: Database) -> None:
    """As SQLite does it by itself when the log has grown."""
    await asyncio.to_thread(_checkpointed, await database.read(lambda c: str(c.engine.url.database)))


def _checkpointed(path: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").close()
    connection.close()


def points(steps: list[Step]) -> list[int]:
    """Just before and after every sync, at every acknowledgement, and others by chance."""
    first = next(at for at, step in enumerate(steps) if isinstance(step, Mark))
    chosen = {at for at, step in enumerate(steps) if at >= first and isinstance(step, Mark | SyncFile)}
    chosen |= {at + 1 for at in chosen}
    rest = [at for at in range(first, len(steps)) if at not in chosen]
    chosen |= set(Random(1).sample(rest, min(POINTS, len(rest))))
    return sorted(Random(2).sample(sorted(chosen), min(POINTS, len(chosen))))


class Lost(AssertionError):
    """A promise is broken."""


def _job_states(connection: Connection) -> dict[JobId, int]:
    return {JobId(row.id): row.state for row in connection.execute(text("SELECT id, state FROM jobs"))}


async def check(folder: Path, promised: set[JobId]) -> None:
    async with open_database(url_of(folder)) as database:
        if (found := await database.read(lambda c: c.execute(text("PRAGMA integrity_check")).scalar())) != "ok":
            raise Lost(f"the file is damaged: {found}")
        world = World(database)
        states = await database.read(_job_states)
        for job_id in promised:
            if states.get(job_id) != JobState.UPLOAD_OBJECT_DONE:
                raise Lost(f"job {job_id} was acknowledged and is {states.get(job_id)}")
        for job_id, state in states.items():
            name = (await world.jobs.get(job_id)).object_name
            if int(name[1:]) % 3 == 0 and await world.small.get(job_id) != SMALL:
                raise Lost(f"the row of job {job_id} is there, its payload is not")
            history = await world.jobs.history(job_id)
            if [row.state for row in history] != [JobState(s) for s in range(state + 1)]:
                raise Lost(f"job {job_id} is there in part: {history}")


async def every_outcome(steps: list[Step], memory: Path) -> int:
    looked_at = 0
    for cut in points(steps):
        promised = {step.what for step in steps[:cut] if isinstance(step, Mark)}
        for outcome in outcomes(steps[:cut], STATES, Random(cut)):
            disk = memory / "disk"
            disk.mkdir()
            outcome.make(disk)
            try:
                await check(disk, promised)
            except Lost as lost:
                raise Lost(f"{lost}; power lost after step {cut} of {len(steps)}") from None
            finally:
                shutil.rmtree(disk)
            looked_at += 1
    return looked_at


async def test_an_acknowledged_transaction_outlives_a_power_cut(tmp_path: Path, memory: Path) -> None:
    steps, acknowledged = await recorded_puts(tmp_path)
    assert len(acknowledged) == PUTS
    first = next(at for at, step in enumerate(steps) if isinstance(step, Mark))
    written = [step.file for step in steps[first:] if isinstance(step, Write)]
    assert len(set(written)) == 2, "neither the log alone nor the file alone: a checkpoint was recorded"
    looked_at = await every_outcome(steps, memory)
    print(f"{len(steps)} steps, {looked_at} disks")
    assert looked_at > POINTS


async def test_a_database_that_does_not_sync_its_commits_is_caught(tmp_path: Path, memory: Path) -> None:
    """The check itself: with synchronous=NORMAL the log is synced by checkpoints only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spdb.sqlite._WRITER_PRAGMAS", ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"))
        steps, _ = await recorded_puts(tmp_path)
    with pytest.raises(Lost, match="acknowledged"):
        await every_outcome(steps, memory)


async def test_a_storm_of_kills_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """Two processes write into one file, and each is killed in the middle of it, again and again."""
    url = url_of(tmp_path)
    kept: list[JobId] = []
    for turn in range(3):
        told = await asyncio.gather(
            *(asyncio.to_thread(puts_until_killed, url, 10 * turn + writer, 5 + 20 * turn) for writer in (1, 2))
        )
        kept += [*told[0], *told[1]]
        await all_are_kept(url, kept)
