"""`make bench`: our SP, its floors and real S3 servers, in one run on one machine, in interleaved rounds.

    python -m tests.bench.compare [--quick] [--peers seaweedfs,rclone,swift] [--output FOLDER] [--folder FOLDER]

Prints the table of targets, and writes compare.json and compare.svg. The servers' data lie below --folder and are
removed; the peers' programs stay in the cache folder (SP_BENCH_CACHE).
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from cli.bench.chart import Bar, Panel, svg
from cli.bench.report import machine
from cli.bench.requests import Signer
from cli.output import note, print_table
from cli.testnet.layout import Network
from sp.runtime.malloc import tune_malloc
from tests.bench.compare import singles
from tests.bench.compare.lines import Findings, lines, waits
from tests.bench.compare.rounds import Rounds
from tests.bench.compare.targets import (
    FLOOR,
    FLOOR_SERIAL,
    FLOOR_SYNCED,
    ONE_PROCESS,
    SEPARATE,
    TWO_FRONTS,
    Target,
    bare_http,
    floor,
    network,
    sp_target,
    started_peers,
)

BIG, SMALL = 64 << 20, 4096


@dataclass(frozen=True)
class Budget:
    """turn_s, small_turn_s, boto_turn_s: of one turn; rounds: at most so many; *_limit_s: no further round of a group
    after that; network_objects: of 64 MiB; disk_bytes: free at least; limit_s: nothing new begins after that"""

    turn_s: float
    small_turn_s: float
    boto_turn_s: float
    rounds: int
    large_limit_s: float
    small_limit_s: float
    boto_limit_s: float
    network_objects: int
    seal_s: float
    sustained_s: float
    disk_bytes: int
    limit_s: float


FULL = Budget(1.0, 1.5, 1.5, 5, 210.0, 120.0, 130.0, 24, 30.0, 60.0, 30 << 30, 720.0)
QUICK = Budget(0.4, 0.5, 0.5, 2, 40.0, 20.0, 25.0, 8, 8.0, 12.0, 12 << 30, 140.0)


def main() -> None:
    tune_malloc()  # as the services do: the kernels' buffers come from it
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under three minutes, and less exact")
    parser.add_argument("--peers", default="seaweedfs,rclone,swift", help="comma-separated; none: no peers")
    parser.add_argument("--limit-s", type=float, help="begin nothing new after that; for a machine that is busy")
    parser.add_argument("--output", type=Path, default=Path("build/bench"))
    parser.add_argument("--folder", type=Path, help="where servers keep their data, on the disk to measure")
    arguments = parser.parse_args()
    budget = QUICK if arguments.quick else FULL
    if arguments.limit_s is not None:
        budget = replace(budget, limit_s=arguments.limit_s)
    names = [name for name in arguments.peers.split(",") if name and name != "none"]
    started = time.perf_counter()
    folder = Path(tempfile.mkdtemp(prefix="sp-bench-", dir=arguments.folder))
    try:
        if shutil.disk_usage(folder).free < budget.disk_bytes:
            sys.exit(f"{folder}: needs {budget.disk_bytes >> 30} GiB of free disk; choose another with --folder")
        found = measure(folder, budget, names)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report(found, arguments.output, time.perf_counter() - started)


def measure(folder: Path, budget: Budget, peer_names: list[str]) -> Findings:
    found = Findings(Rounds(budget.turn_s), ())
    steps = Steps(time.perf_counter() + budget.limit_s)
    note("coding and transitions")
    found.coding = singles.coding()
    found.transitions = singles.transitions(min(budget.rounds, 3))
    found.floors_cpu = singles.cpu_floors(folder)
    with ExitStack() as stack:
        note("starting the servers")
        floors = stack.enter_context(floor(folder / "floor"))
        bare = stack.enter_context(bare_http())
        net = stack.enter_context(
            network(folder / "front", split=frozenset({"sp1"}), background=False, fronts=("sp2",))
        )
        ours = [sp_target(net, "sp0", ONE_PROCESS), sp_target(net, "sp1", SEPARATE)]
        found.peers = started_peers(folder, peer_names, stack, found.missing)
        _race(found, budget, steps, floors, bare, ours, sp_target(net, "sp2", TWO_FRONTS))
    if steps.step("starting the whole network"):
        with network(folder / "whole") as net:
            _whole(found, budget, steps, net)
    return found


@dataclass(frozen=True)
class Steps:
    """deadline_s: of perf_counter"""

    deadline_s: float

    def step(self, what: str) -> bool:
        """Say what comes next. False when there is no time left for it."""
        late = time.perf_counter() > self.deadline_s
        note(f"{what}: left out, the time is over" if late else what)
        return not late


def _race(
    found: Findings,
    budget: Budget,
    steps: Steps,
    floors: list[Target],
    bare: Target,
    ours: list[Target],
    fronts: Target,
) -> None:
    """fronts: also ours, for small objects"""
    rounds, peers = found.rounds, list(found.peers)
    by_name = {target.name: target for target in floors}
    putters = [by_name[FLOOR], by_name[FLOOR_SYNCED], bare, *ours, *peers]
    getters = [by_name[FLOOR], by_name[FLOOR_SERIAL], *ours, *peers]
    for operation, clients in (("put", 1), ("get", 1), ("put", 4), ("get", 4)):
        if steps.step(f"{operation} 64 MiB, {clients} at once"):
            rounds.deadline_s = time.perf_counter() + budget.large_limit_s / 4
            rounds.raw(putters if operation == "put" else getters, operation, BIG, clients, budget.rounds)
    for operation, clients in (("put", 8), ("put", 32), ("get", 8)):
        if steps.step(f"{operation} 4 KiB, {clients} at once"):
            rounds.seconds, rounds.deadline_s = budget.small_turn_s, time.perf_counter() + budget.small_limit_s / 3
            targets = [*ours, fronts, *peers, *([bare] if operation == "put" else [])]
            rounds.raw(targets, operation, SMALL, clients, budget.rounds)
    for clients in (1, 4):
        if steps.step(f"boto3 put 64 MiB, {clients} at once"):
            rounds.seconds, rounds.deadline_s = budget.boto_turn_s, time.perf_counter() + budget.boto_limit_s / 2
            client = ours[0].signer.credentials  # boto3 signs, also for who does not look
            discarding = replace(bare, signer=Signer(bare.signer.endpoint, client))
            rounds.boto([*ours, *peers, discarding], "put", BIG, clients, budget.rounds)


def _whole(found: Findings, budget: Budget, steps: Steps, net: Network) -> None:
    target = sp_target(net, "sp0", ONE_PROCESS)
    if steps.step("whole network: 64 MiB objects to their seals"):
        singles.whole_network_cpu(net, target, 2)  # warms up
        found.network_cpu = singles.whole_network_cpu(net, target, budget.network_objects)
    if steps.step("whole network: time to the seal"):
        found.sealing = singles.seal_waits(target, budget.seal_s)
    if steps.step("whole network: sealed a second"):
        found.sustained = singles.sealed_per_s(net, target, budget.sustained_s, 100.0)
    if steps.step("whole network: start"):
        found.warm_start_s = singles.warm_start_s(net)


def report(found: Findings, output: Path, took_s: float) -> None:
    facts = machine()
    print_table(("", "target", "measured", "ratio", ""), [_cells(line) for line in lines(found)], title="Targets")
    rows = []
    for (name, operation, clients), cell in found.rounds.cells.items():
        if cell.rates:
            large = cell.moved_bytes / max(1, cell.requests) > 1 << 20 or operation.startswith("boto3")
            rate = f"{cell.rate / 1e6:,.0f} MB/s" if large else f"{cell.rate:,.0f}/s"
            cost = cell.record()["cpu_s_per_gb" if large else "cpu_us_per_request"]
            cpu = "" if not cost else f"{cost:.2f} s/GB" if large else f"{cost:,.0f} us"
            bad = "; ".join(f"{times} x {what}" for what, times in cell.failures.items())
            rows.append((operation, clients, name, rate, cpu, waits(cell.waits_ms), len(cell.rates), bad))
    rows.sort(key=lambda row: (row[0], row[1]))
    print_table(("", "at once", "server", "rate", "server's CPU", "p50 / p99 ms", "rounds", "failures"), rows)
    for name, why in found.missing.items():
        note(f"{name} is missing: {why}")
    for name, value in found.network_cpu.items():
        note(f"whole network, {name}: {value:.2f}")
    note(f"{took_s:.0f} s on {facts['cpu']}, {facts['cores']} cores, load {facts['load_average']}")
    output.mkdir(parents=True, exist_ok=True)
    document = {"machine": facts, "took_s": round(took_s), **found.record()}
    (output / "compare.json").write_text(json.dumps(document, indent=1) + "\n")
    (output / "compare.svg").write_text(_chart(found))
    note(f"{output}/compare.json, {output}/compare.svg")


def _cells(line: object) -> tuple[str, ...]:
    return tuple(str(getattr(line, name)) for name in ("what", "target", "measured", "ratio", "verdict"))


def _chart(found: Findings) -> str:
    panels = []
    for operation, clients, unit, scale in (
        ("put", 1, "MB/s", 1e6),
        ("put", 4, "MB/s", 1e6),
        ("get", 1, "MB/s", 1e6),
        ("boto3 put", 1, "MB/s", 1e6),
        ("small put", 8, "/s", 1.0),
        ("small put", 32, "/s", 1.0),
        ("small get", 8, "/s", 1.0),
    ):
        bars = [
            Bar(name, cell.rate / scale, f"{cell.rate / scale:,.0f} {unit}", "SP" if name.startswith("SP") else "other")
            for (name, kind, count), cell in found.rounds.cells.items()
            if (kind, count) == (operation, clients) and cell.rates
        ]
        panels.append(Panel(f"{operation}, {clients} at once", bars))
    return svg("greenfield-sp, its floors and other S3 servers", [panel for panel in panels if panel.bars])


if __name__ == "__main__":
    main()
