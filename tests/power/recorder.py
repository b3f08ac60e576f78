"""The system calls that a program makes below one folder, in the order in which they returned.

Python's own `os` functions are wrapped, so this is for code that touches its files through them (the disk piece store
does). A call that would change a file in a way that is not modelled here fails the test, so nothing is missed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes of one file. file: a number that stands for its inode"""

    file: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class SyncFile:
    file: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in a directory now means something else. folder: below the recorded one, "" for itself
    file: what a name of a file means; made: it is a new directory; neither: it means nothing any more
    """

    folder: str
    name: str
    file: int | None = None
    made: bool = False


@dataclass(frozen=True, slots=True)
class SyncFolder:
    folder: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What the test says: an acknowledgement, for example."""

    what: Any


Step = Write | SyncFile | Entry | SyncFolder | Mark

_NOT_MODELLED: Final = ("rename", "replace", "truncate", "ftruncate", "symlink", "rmdir", "write", "pwritev", "writev")


@dataclass
class Recorder:
    root: Path
    steps: list[Step] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _files: int = 0
    _names: dict[str, int] = field(default_factory=dict)
    _open: dict[int, int | str] = field(default_factory=dict)  # fd: a file's number, or a folder

    def mark(self, what: Any) -> None:
        with self._lock:
            self.steps.append(Mark(what))

    @contextmanager
    def recording(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name, record in self._recorders().items():
                patch.setattr(os, name, self._wrapped(getattr(os, name), record))
            for name in _NOT_MODELLED:
                patch.setattr(os, name, self._refusing(name, getattr(os, name)))
            yield

    def _wrapped(self, call: Callable[..., Any], record: Callable[..., None]) -> Callable[..., Any]:
        def recorded(*given: Any, **named: Any) -> Any:
            with self._lock:
                result = call(*given, **named)
                record(result, *given)
                return result

        return recorded

    def _refusing(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def refused(target: Any, *given: Any, **named: Any) -> Any:
            below = target in self._open if isinstance(target, int) else self._below(target) is not None
            if below:
                _unknown(name)
            return call(target, *given, **named)

        return refused

    def _below(self, path: Any) -> str | None:
        """The path from the root, "" for the root; None when it lies elsewhere."""
        try:
            shown = str(Path(os.fspath(path)).relative_to(self.root))
        except (ValueError, TypeError):
            return None
        return "" if shown == "." else shown

    # --- one each

    def _recorders(self) -> dict[str, Callable[..., None]]:
        return {
            "open": self._opened,
            "close": self._closed,
            "pwrite": self._written,
            "fsync": self._synced,
            "fdatasync": self._synced,
            "mkdir": self._made,
            "link": self._linked,
            "unlink": self._unlinked,
        }

    def _made(self, _: None, path: Any, *__: Any) -> None:
        if (name := self._below(path)) is not None:
            self.steps.append(Entry(*_split(name), made=True))

    def _linked(self, _: None, source: Any, target: Any, *__: Any) -> None:
        from_, to = self._below(source), self._below(target)
        if from_ is not None and to is not None:
            self._names[to] = self._names[from_]
            self.steps.append(Entry(*_split(to), file=self._names[to]))

    def _unlinked(self, _: None, path: Any, *__: Any) -> None:
        if (name := self._below(path)) is not None:
            self._names.pop(name, None)
            self.steps.append(Entry(*_split(name)))

    def _closed(self, _: None, fd: int) -> None:
        self._open.pop(fd, None)

    def _written(self, written: int, fd: int, data: Any, offset: int) -> None:
        file = self._open.get(fd)
        if isinstance(file, int):
            self.steps.append(Write(file, offset, bytes(memoryview(data).cast("B")[:written])))

    def _synced(self, _: None, fd: int) -> None:
        found = self._open.get(fd)
        if isinstance(found, int):
            self.steps.append(SyncFile(found))
        elif found is not None:
            self.steps.append(SyncFolder(found))

    def _opened(self, fd: int, path: Any, flags: int, *_: Any) -> None:
        name = self._below(path)
        if name is None:
            return
        if flags & os.O_DIRECTORY:
            self._open[fd] = name
            return
        if flags & os.O_CREAT and name not in self._names:
            self._files += 1
            self._names[name] = self._files
            self.steps.append(Entry(*_split(name), file=self._files))
        if flags & os.O_TRUNC:
            _unknown("open with O_TRUNC")
        if name in self._names:
            self._open[fd] = self._names[name]


def _split(name: str) -> tuple[str, str]:
    folder, _, last = name.rpartition("/")
    return folder, last


def _unknown(call: str) -> NoReturn:
    raise AssertionError(f"the recorder does not know what a power cut makes of {call}: teach it")
