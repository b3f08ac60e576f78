"""Processes by name: how one is started, found and ended. A process is never signalled by its number alone: the
number may have been given to another one since."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.errors import ProcessFailed

READY_FILE_VARIABLE: Final = "SP_READY_FILE"
"""As in sp.runtime.process, which is not imported here: it brings half of the system with it."""

_LOOK_EVERY_S: Final = 0.02
"""How often a start looks for ready files. A process's end wakes it at once."""


@dataclass(frozen=True, slots=True)
class ProcessId:
    """pid, and when that process started: boot id and clock ticks since boot. Together unique."""

    pid: int
    started: str


def identity(pid: int) -> ProcessId | None:
    """None when there is no such process, or only what is left of one that ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    after_name = stat.rpartition(")")[2].split()  # the name may hold blanks and brackets
    state, start_ticks = after_name[0], after_name[19]  # fields 3 and 22 of proc(5)
    return None if state in "ZX" else ProcessId(pid, f"{boot}/{start_ticks}")


class ProcessBook:
    """Which process runs under which name: one small file each, so that two commands never write the same one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def record(self, name: str, pid: int) -> None:
        found = identity(pid)
        if found is not None:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = self._directory / f".{name}.{pid}"
            temporary.write_text(json.dumps({"pid": found.pid, "started": found.started}))
            temporary.replace(self._path(name))

    def running(self, name: str) -> ProcessId | None:
        """The process if it still runs."""
        try:
            document = json.loads(self._path(name).read_text())
        except FileNotFoundError:
            return None
        recorded = ProcessId(document["pid"], document["started"])
        return recorded if identity(recorded.pid) == recorded else None

    def forget(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.json"


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start one process. folder: its working directory; log: where its output is appended; ready: the file
    that it writes when it serves"""

    name: str
    command: tuple[str, ...]
    folder: Path
    log: Path
    ready: Path


@dataclass(frozen=True, slots=True)
class Started:
    """pid: nobody else's before `exit_code` is called
    exit_code: waits for its end; below 0 when a signal ended it
    """

    launch: Launch
    pid: int
    exit_code: Callable[[], int]


def wait_ready(started: Sequence[Started], timeout_s: float) -> None:
    """Until all serve. ProcessFailed as soon as one ends, or when the time is over."""
    deadline = time.monotonic() + timeout_s
    with contextlib.ExitStack() as stack:
        waiting: dict[int, Started] = {}
        for each in started:
            handle = os.pidfd_open(each.pid)
            stack.callback(os.close, handle)
            waiting[handle] = each
        while waiting:
            ended, _, _ = select.select(list(waiting), [], [], _LOOK_EVERY_S)
            for handle in ended:
                raise _failure(waiting[handle], _ending(waiting[handle].exit_code()))
            waiting = {h: each for h, each in waiting.items() if not each.launch.ready.exists()}
            if waiting and time.monotonic() > deadline:
                raise _failure(next(iter(waiting.values())), f"was not ready after {timeout_s:.0f} s")


def stop(processes: Sequence[ProcessId], *, kill: bool, grace_s: float) -> None:
    """End all of them, and wait until they have: SIGTERM, and SIGKILL for who is left after `grace_s`."""
    with contextlib.ExitStack() as stack:
        handles = [handle for each in processes if (handle := _handle(each, stack)) is not None]
        left = handles
        if not kill:
            _signal(handles, signal.SIGTERM)
            left = _wait(handles, grace_s)
        _signal(left, signal.SIGKILL)
        _wait(left, grace_s)


def _handle(process: ProcessId, stack: contextlib.ExitStack) -> int | None:
    """A descriptor of exactly this process; None when it is gone. It cannot come to mean another one."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    stack.callback(os.close, handle)
    return handle if identity(process.pid) == process else None


def _signal(handles: Sequence[int], number: signal.Signals) -> None:
    for handle in handles:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)


def _wait(handles: Sequence[int], timeout_s: float) -> list[int]:
    """Wait for their ends; those that are left after `timeout_s`. A process's descriptor is readable once it ended."""
    left = set(handles)
    deadline = time.monotonic() + timeout_s
    while left and (remaining := deadline - time.monotonic()) > 0:
        ended, _, _ = select.select(list(left), [], [], remaining)
        left.difference_update(ended)
    return list(left)


def log_tail(path: Path, lines: int = 12) -> str:
    """The last lines of a log, of at most 16 KiB; "" when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16 * 1024))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def python(*arguments: str) -> tuple[str, ...]:
    """This interpreter on installed packages only: the working directory holds data, never code."""
    return (sys.executable, "-P", "-m", *arguments)


def _ending(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _failure(started: Started, why: str) -> ProcessFailed:
    log = started.launch.log
    return ProcessFailed(started.launch.name, why, str(log), log_tail(log))
