"""What a disk may hold after the power went at some point of a recording.

Only a sync orders anything. Of what was not synced, POSIX lets any part be there: of a file's bytes any sectors, others
being as before, or zero where the file has grown; of a directory's entries any changes, each of them made or not. A
directory whose own entry is not there is gone with all that is in it.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from tests.power.recorder import Entry, Step, SyncFile, SyncFolder, Write

SECTOR_BYTES: Final = 512


@dataclass(frozen=True, slots=True)
class Outcome:
    """entries: of each folder, what its names mean (a file's number; None: a folder); files: their bytes"""

    entries: dict[str, dict[str, int | None]]
    files: dict[int, bytes]

    def make(self, root: Path, folder: str = "") -> None:
        """On a disk, below `root`, which is there and empty."""
        made: dict[int, Path] = {}
        self._make(root, folder, made)

    def _make(self, root: Path, folder: str, made: dict[int, Path]) -> None:
        for name, file in self.entries.get(folder, {}).items():
            inside = f"{folder}/{name}" if folder else name
            path = root / inside
            if file is None:
                path.mkdir(mode=0o700)
                self._make(root, inside, made)
            elif file in made:
                os.link(made[file], path)
            else:
                path.write_bytes(self.files.get(file, b""))
                made[file] = path


def outcomes(steps: Sequence[Step], limit: int, random: Random) -> Iterator[Outcome]:
    """Those after all `steps`: every one if they are at most `limit`, else nothing kept, all kept, and a sample."""
    writes, entries = _pending(steps)
    of_writes = [_ways(steps[at], random) for at in writes]
    number = 2 ** len(entries)
    for ways in of_writes:
        number *= len(ways)
    if number <= limit:
        for kept in itertools.product((False, True), repeat=len(entries)):
            for ways_chosen in itertools.product(*of_writes):
                sectors = dict(zip(writes, ways_chosen, strict=True))
                yield _outcome(steps, dict(zip(entries, kept, strict=True)), sectors)
        return
    for extreme in (False, True):
        sectors = {at: (_all(steps[at]) if extreme else None) for at in writes}
        yield _outcome(steps, dict.fromkeys(entries, extreme), sectors)
    for _ in range(limit - 2):
        yield _outcome(
            steps,
            {at: random.random() < 0.5 for at in entries},
            {at: random.choice(ways) for at, ways in zip(writes, of_writes, strict=True)},
        )


Sectors = tuple[bool, ...] | None
"""Of one write: which sectors came through; None: not even the file's new size."""


def _pending(steps: Sequence[Step]) -> tuple[list[int], list[int]]:
    """Positions of the writes and of the entries that no sync has followed."""
    writes: list[int] = []
    entries: list[int] = []
    for at, step in enumerate(steps):
        match step:
            case Write():
                writes.append(at)
            case Entry():
                entries.append(at)
            case SyncFile(file):
                writes = [w for w in writes if _write(steps[w]).file != file]
            case SyncFolder(folder):
                entries = [e for e in entries if _entry(steps[e]).folder != folder]
    return writes, entries


def _ways(step: Step, random: Random) -> list[Sectors]:
    """Nothing, everything, only the size, the first part, some sectors."""
    count = _count(step)
    first = random.randrange(count)
    some = tuple(random.random() < 0.5 for _ in range(count))
    return [None, _all(step), (False,) * count, (True,) * first + (False,) * (count - first), some]


def _write(step: Step) -> Write:
    assert isinstance(step, Write)
    return step


def _entry(step: Step) -> Entry:
    assert isinstance(step, Entry)
    return step


def _outcome(steps: Sequence[Step], kept: dict[int, bool], sectors: dict[int, Sectors]) -> Outcome:
    entries: dict[str, dict[str, int | None]] = {}
    files: dict[int, bytearray] = {}
    for at, step in enumerate(steps):
        match step:
            case Write():
                _apply(files.setdefault(step.file, bytearray()), step, sectors.get(at, _all(step)))
            case Entry() if kept.get(at, True):
                names = entries.setdefault(step.folder, {})
                if step.made or step.file is not None:
                    names[step.name] = step.file
                else:
                    names.pop(step.name, None)
    return Outcome(entries, {file: bytes(held) for file, held in files.items()})


def _apply(file: bytearray, write: Write, sectors: Sectors) -> None:
    if sectors is None:
        return
    end = write.offset + len(write.data)
    if len(file) < end:
        file.extend(bytes(end - len(file)))
    for sector, came in enumerate(sectors):
        if came:
            start = sector * SECTOR_BYTES
            part = write.data[start : start + SECTOR_BYTES]
            file[write.offset + start : write.offset + start + len(part)] = part


def _count(step: Step) -> int:
    return -(-len(_write(step).data) // SECTOR_BYTES)


def _all(step: Step) -> Sectors:
    return (True,) * _count(step)
