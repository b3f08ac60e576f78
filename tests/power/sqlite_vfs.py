"""What SQLite writes and syncs, recorded beneath it: a VFS that stands before the system's own.

Python's sqlite3 and this program share one libsqlite3, so a VFS registered here as the default is the one that every
later connection of this process uses. It hands all calls on; of the files opened, it replaces the three methods that
change or sync bytes. C structures: sqlite3.h, sqlite3_vfs and sqlite3_io_methods.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.power.recorder import Entry, Step, SyncFile, SyncFolder, Write

_P, _I, _L = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
_OPEN: Final = ctypes.CFUNCTYPE(_I, _P, _P, _P, _I, _P)
_DELETE: Final = ctypes.CFUNCTYPE(_I, _P, ctypes.c_char_p, _I)
_CLOSE: Final = ctypes.CFUNCTYPE(_I, _P)
_WRITE: Final = ctypes.CFUNCTYPE(_I, _P, _P, _I, _L)
_TRUNCATE: Final = ctypes.CFUNCTYPE(_I, _P, _L)
_SYNC: Final = ctypes.CFUNCTYPE(_I, _P, _I)

_OPEN_CREATE: Final = 0x4


class _Vfs(ctypes.Structure):
    _fields_ = (
        ("iVersion", _I),
        ("szOsFile", _I),
        ("mxPathname", _I),
        ("pNext", _P),
        ("zName", ctypes.c_char_p),
        ("pAppData", _P),
        ("xOpen", _P),
        ("xDelete", _P),
        ("others", _P * 14),
    )


class _Methods(ctypes.Structure):
    _fields_ = (
        ("iVersion", _I),
        ("xClose", _P),
        ("xRead", _P),
        ("xWrite", _P),
        ("xTruncate", _P),
        ("xSync", _P),
        ("others", _P * 13),
    )


class _File(ctypes.Structure):
    _fields_ = (("pMethods", ctypes.POINTER(_Methods)),)


class SqliteRecorder:
    """Files are numbered as they are opened for the first time. The -shm file is no matter: it is made anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps: list[Step] = []
        self._lock = threading.Lock()
        self._numbers: dict[str, int] = {}
        self._new: set[str] = set()  # logs and journals whose name is not synced yet
        self._open: dict[int, str] = {}  # address of a sqlite3_file: its name below the folder
        self._kept: list[Any] = []  # what C holds pointers to
        self._methods: dict[int, tuple[_Methods, Any]] = {}

    def mark(self, step: Step) -> None:
        with self._lock:
            self.steps.append(step)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Connections opened meanwhile are recorded; close them before the end."""
        library = ctypes.CDLL(ctypes.util.find_library("sqlite3") or "libsqlite3.so.0")
        library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        library.sqlite3_vfs_find.argtypes = [ctypes.c_char_p]
        library.sqlite3_vfs_register.argtypes = [ctypes.POINTER(_Vfs), _I]
        library.sqlite3_vfs_unregister.argtypes = [ctypes.POINTER(_Vfs)]
        true = library.sqlite3_vfs_find(None)
        mine = _Vfs.from_buffer_copy(true.contents)
        mine.zName, mine.pNext = b"recorded", None
        opened, deleted = self._opening(true.contents.xOpen), self._deleting(true.contents.xDelete)
        mine.xOpen, mine.xDelete = _address(opened), _address(deleted)
        self._kept += [mine, opened, deleted]
        assert library.sqlite3_vfs_register(ctypes.byref(mine), 1) == 0
        try:
            yield
        finally:
            library.sqlite3_vfs_unregister(ctypes.byref(mine))
            library.sqlite3_vfs_register(true, 1)

    def _opening(self, true: int) -> Any:
        call = _OPEN(true)

        def x_open(vfs: int, path: int | None, file: int, flags: int, out_flags: int) -> int:
            code: int = call(vfs, path, file, flags, out_flags)
            name = self._below(ctypes.string_at(path).decode()) if path and not code else None
            if name is not None and not name.endswith("-shm"):
                with self._lock:
                    self._number(name)
                    self._open[file] = name
                self._replace_methods(file)
            return code

        return _OPEN(x_open)

    def _deleting(self, true: int) -> Any:
        call = _DELETE(true)

        def x_delete(vfs: int, path: bytes, sync: int) -> int:
            code: int = call(vfs, path, sync)
            name = self._below(path.decode())
            if name in self._numbers and not code:
                with self._lock:
                    del self._numbers[name]
                    self.steps.append(Entry("", name))
                    if sync:
                        self.steps.append(SyncFolder(""))
            return code

        return _DELETE(x_delete)

    def _below(self, path: str) -> str | None:
        return Path(path).name if Path(path).parent == self.folder else None

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            self._numbers[name] = 1 + sum(isinstance(s, Entry) and s.file is not None for s in self.steps)
            self.steps.append(Entry("", name, file=self._numbers[name]))
            if name.endswith(("-wal", "-journal")):
                self._new.add(name)
        return self._numbers[name]

    def _sync_folder(self, file: int) -> None:
        """With the first sync of a new log or journal SQLite syncs its folder, beneath the VFS (os_unix.c, unixSync; so
        says strace)."""
        with self._lock:
            if (name := self._open[file]) in self._new:
                self._new.remove(name)
                self.steps.append(SyncFolder(""))

    def _replace_methods(self, file: int) -> None:
        held = ctypes.cast(file, ctypes.POINTER(_File)).contents
        address = ctypes.addressof(held.pMethods.contents)
        if address not in self._methods:
            self._methods[address] = self._recorded_methods(held.pMethods.contents)
        held.pMethods = ctypes.pointer(self._methods[address][0])

    def _recorded_methods(self, true: _Methods) -> tuple[_Methods, Any]:
        mine = _Methods.from_buffer_copy(true)
        write, sync, truncate, close = (
            _WRITE(true.xWrite),
            _SYNC(true.xSync),
            _TRUNCATE(true.xTruncate),
            _CLOSE(true.xClose),
        )

        def x_write(file: int, data: int, size: int, offset: int) -> int:
            code: int = write(file, data, size, offset)
            if not code:
                self._note(file, lambda number: Write(number, offset, ctypes.string_at(data, size)))
            return code

        def x_sync(file: int, flags: int) -> int:
            code: int = sync(file, flags)
            if not code:
                self._note(file, SyncFile)
                self._sync_folder(file)
            return code

        def x_truncate(file: int, size: int) -> int:
            # Not modelled: a file that is cut is taken to be as it was. SQLite must live with both.
            code: int = truncate(file, size)
            return code

        def x_close(file: int) -> int:
            with self._lock:
                self._open.pop(file, None)
            code: int = close(file)
            return code

        replaced = (_WRITE(x_write), _SYNC(x_sync), _TRUNCATE(x_truncate), _CLOSE(x_close))
        mine.xWrite, mine.xSync, mine.xTruncate, mine.xClose = map(_address, replaced)
        return mine, replaced

    def _note(self, file: int, step: Callable[[int], Step]) -> None:
        with self._lock:
            name = self._open[file]
            self.steps.append(step(self._numbers[name]))


def _address(function: Any) -> int | None:
    return ctypes.cast(function, _P).value
