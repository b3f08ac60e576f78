"""Turns: processes that write one file wait for each other in the order in which they came.

SQLite alone makes who finds the file locked sleep and look again, up to 100 ms later: whoever writes all the time then
has it nearly always, and the others' waits are long while the disk is idle in between.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """For one thread of one process. The locks are the files' own: the system lets go of them when their holder dies,
    and who is stopped while it has its turn holds up the others until it goes on or ends.

    `queue` is held by who is next, `turn` by whose turn it is: who has just had one cannot have another before who
    waits has had his.
    """

    def __init__(self, path: str) -> None:
        """path: of the file that is written; the locks lie beside it"""
        self._queue, self._turn = opened_lock(f"{path}.queue"), opened_lock(f"{path}.turn")

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Blocks until it is this process's turn, which it is until exit."""
        fcntl.flock(self._queue, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._turn, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._queue, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._queue)
        os.close(self._turn)


def opened_lock(path: str) -> int:
    """The descriptor of a file (made when absent) that is there to be locked."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
