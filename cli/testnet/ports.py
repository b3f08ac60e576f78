"""TCP ports for a network's processes: free, and such that they stay free while a process restarts."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from cli.errors import NoFreePorts

HOST: Final = "127.0.0.1"
_RANGE: Final = range(10_000, 32_000)
"""Below the ephemeral ports: the kernel never lends one of these to an outgoing connection."""


@contextmanager
def claimed_ports(count: int, base: int | None) -> Iterator[list[int]]:
    """`count` ports on which nobody listens: from `base` on, or any. Until exit no other test network of this user
    gets them; by then its processes must be listening. NoFreePorts."""
    lock = Path(tempfile.gettempdir()) / f"greenfield-sp-ports-{os.getuid()}"
    with lock.open("a+b") as claims:
        candidates = range(base, base + count) if base is not None else random.sample(_RANGE, len(_RANGE))
        found: list[int] = []
        for port in candidates:
            if len(found) == count:
                break
            if _claim(claims, port) and _is_free(port):
                found.append(port)
        if len(found) < count:
            raise NoFreePorts(count, len(found))
        yield found


def _claim(claims: IO[bytes], port: int) -> bool:
    """One byte of the file stands for one port; the kernel drops the lock when this process ends, however it ends."""
    try:
        fcntl.lockf(claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a closed connection's rest is no listener
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
