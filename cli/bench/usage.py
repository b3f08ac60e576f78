"""What processes have used: CPU time and peak memory, from /proc (Linux)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """cpu_s: user and system time of all threads; peak_bytes: of resident memory since `reset_peaks`"""

    cpu_s: float
    peak_bytes: int


def usage_of(pid: int) -> Usage:
    """Zero for a process that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return Usage(0.0, 0)
    peak = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")), "0")
    return Usage((int(fields[11]) + int(fields[12])) / _TICKS_PER_S, int(peak) * 1024)  # fields 14, 15 of proc(5)


def reset_peaks(pids: Mapping[str, int]) -> None:
    """Peak memory counts from now. Another user's process keeps its own."""
    for pid in pids.values():
        with suppress(PermissionError, FileNotFoundError, ProcessLookupError):
            Path(f"/proc/{pid}/clear_refs").write_text("5")


class Meter:
    """CPU time that named processes use from now on."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        reset_peaks(self._pids)
        self._before = {name: usage_of(pid) for name, pid in self._pids.items()}

    def read(self) -> dict[str, Usage]:
        """By name: CPU time since the start of this meter, and peak memory."""
        now = {name: usage_of(pid) for name, pid in self._pids.items()}
        return {
            name: Usage(max(0.0, each.cpu_s - self._before[name].cpu_s), each.peak_bytes) for name, each in now.items()
        }
