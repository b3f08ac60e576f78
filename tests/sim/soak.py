"""Many seeds for a given time. `python -m tests.sim.soak`; SOAK_SECONDS, SOAK_FIRST_SEED, SOAK_PROCESSES."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field

from tests.sim.run import Outcome, simulate


@dataclass(slots=True)
class Total:
    seeds: int = 0
    hours: float = 0.0
    steps: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    failed: dict[int, list[str]] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.hours += outcome.hours
        self.steps += outcome.steps
        self.faults += outcome.faults
        self.done += outcome.done
        self.states += outcome.states
        if outcome.violations:
            self.failed[outcome.seed] = outcome.violations
            print(f"seed {outcome.seed} ({outcome.profile}):", *outcome.violations[:5], sep="\n  ", flush=True)

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.seeds} seeds, {self.hours:.1f} simulated hours of 8 providers and a chain, {self.steps} steps",
                *(f"{count:9} {kind}" for kind, count in sorted(self.done.items())),
                *(f"{count:9} jobs ended in {kind}" for kind, count in sorted(self.states.items())),
                f"{sum(self.faults.values()):9} faults:",
                *(f"{count:9} {kind}" for kind, count in sorted(self.faults.items())),
                f"{sum(map(len, self.failed.values())):9} violations"
                + (f", of seeds {sorted(self.failed)}" if self.failed else ""),
            ]
        )


def soak(seconds: float, first: int, processes: int) -> Total:
    """Seeds from `first` on, in as many processes, until the time is over."""
    total, seed, until = Total(), first, time.monotonic() + seconds
    with ProcessPoolExecutor(processes, max_tasks_per_child=200) as pool:
        running: set[Future[Outcome]] = set()
        while running or time.monotonic() < until:
            while len(running) < processes and time.monotonic() < until:
                running.add(pool.submit(simulate, seed))
                seed += 1
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for outcome in finished:
                total.add(outcome.result())
    return total


if __name__ == "__main__":
    result = soak(
        float(os.environ.get("SOAK_SECONDS", "600")),
        int(os.environ.get("SOAK_FIRST_SEED", "10000")),
        int(os.environ.get("SOAK_PROCESSES", "2")),
    )
    print(result)
    sys.exit(bool(result.failed))
