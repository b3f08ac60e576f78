"""What a benchmark has found: one row for each measurement, as a table, JSON and a chart."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from cli.bench.load import Outcome
from cli.bench.usage import Usage

GB = 1e9
MB = 1e6


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: medians over its rounds.

    mb_per_s: 10^6 bytes of payload; waits in ms: of single requests over all rounds
    cpu_s_per_gb: of all measured processes together; cpu_us_per_request: the same, by request
    peak_mib, cpu_s: by process, over all rounds; failures: of all rounds
    """

    workload: str
    size_bytes: int
    clients: int
    rounds: int
    requests: int
    mb_per_s: float
    per_s: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    cpu_s_per_gb: float | None = None
    cpu_us_per_request: float | None = None
    cpu_s: Mapping[str, float] = field(default_factory=dict)
    peak_mib: Mapping[str, float] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The least value that so many percent of the sorted values do not exceed; 0.0 of none."""
    if not ordered:
        return 0.0
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


def row_of(
    workload: str, size_bytes: int, clients: int, rounds: Sequence[Outcome], usages: Sequence[Mapping[str, Usage]] = ()
) -> Row:
    """usages: of each round, by process"""
    waits_ms = sorted(wait * 1000 for outcome in rounds for wait in outcome.waits_s())
    requests = sum(len(outcome.samples) for outcome in rounds)
    moved = sum(outcome.moved_bytes for outcome in rounds)
    names = sorted({name for usage in usages for name in usage})
    cpu = {name: sum(usage[name].cpu_s for usage in usages if name in usage) for name in names}
    failures: dict[str, int] = {}
    for outcome in rounds:
        for what, count in outcome.failures.items():
            failures[what] = failures.get(what, 0) + count
    total_s = sum(cpu.values())
    return Row(
        workload,
        size_bytes,
        clients,
        len(rounds),
        requests,
        mb_per_s=median(outcome.bytes_per_s for outcome in rounds) / MB,
        per_s=median(outcome.per_s for outcome in rounds),
        p50_ms=percentile(waits_ms, 50),
        p90_ms=percentile(waits_ms, 90),
        p99_ms=percentile(waits_ms, 99),
        cpu_s_per_gb=total_s / (moved / GB) if names and moved else None,
        cpu_us_per_request=total_s / requests * 1e6 if names and requests else None,
        cpu_s={name: round(value, 3) for name, value in cpu.items()},
        peak_mib={n: round(max(u[n].peak_bytes for u in usages if n in u) / 2**20, 1) for n in names},
        failures=failures,
    )


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ""
    )
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**20, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
    }


def write_json(path: Path, rows: Sequence[Row]) -> None:
    document = {"machine": machine(), "rows": [row.record() for row in rows]}
    path.write_text(json.dumps(document, indent=1) + "\n")


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
