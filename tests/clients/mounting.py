"""A bucket as a folder: a program that serves FUSE until it is told to stop."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.clients.driving import ClientFailed

DEVICE: Final = Path("/dev/fuse")
MOUNT_TIMEOUT_S: Final = 20
END_TIMEOUT_S: Final = 60
"""An unmount writes what is still to be written."""

LOOK_EVERY_S: Final = 0.05


def fuse_is_missing() -> str:
    """Why nothing can be mounted on this machine; "" when it can."""
    try:
        os.close(os.open(DEVICE, os.O_RDWR))
    except OSError as error:
        return f"{DEVICE}: {error.strerror}"
    return "" if shutil.which("fusermount3") else "no fusermount3"


@contextmanager
def mounted(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Iterator[Path]:
    """command: stays in the foreground. ClientFailed when nothing is mounted in time, or its end is not a clean one."""
    folder.mkdir()
    log = folder.with_suffix(".log")
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=dict(environment))
    try:
        deadline = time.monotonic() + MOUNT_TIMEOUT_S
        while not folder.is_mount():
            if process.poll() is not None or time.monotonic() > deadline:
                raise ClientFailed(f"{command}: not mounted\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(LOOK_EVERY_S)  # there is no event for it
        yield folder
        subprocess.run(["fusermount3", "-u", str(folder)], check=True, timeout=END_TIMEOUT_S)
        if status := process.wait(END_TIMEOUT_S):
            raise ClientFailed(f"{command}: exit status {status}\n{log.read_text(errors='replace')[-3000:]}")
    finally:
        process.kill()
        process.wait(END_TIMEOUT_S)
        if folder.is_mount():
            subprocess.run(["fusermount3", "-u", "-z", str(folder)], check=False, timeout=END_TIMEOUT_S)
