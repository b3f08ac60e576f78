"""Whether jobs that wait slow the front down: `python -m tests.bench.queued [--jobs 10000] [--split] [--quick]`.

Two SPs of one test network take turns: "sp0" gets a queue, "sp1" has none. Small puts and gets, lists of 1000 and large
puts are measured

- before there is a queue: how far two equal SPs differ on this machine,
- while the jobs wait and the task node rests: what the queue costs,
- while the task node works on them and no secondary can be reached: what its work costs beside that.

What a turn puts is taken off the queue after it, where the task node rests, so that the queues stay as they are.
Prints ratios and writes queued.json. The exit code is 1 if the waiting jobs alone (the second state) leave an operation
less than LIMIT of the rate without them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count, cycle
from pathlib import Path
from typing import Any

from sqlalchemy import text

from cli.bench.load import Load
from cli.bench.report import machine
from cli.bench.requests import Request
from cli.bench.usage import Meter
from cli.output import note, print_table
from cli.testnet.layout import CHAIN, Network
from cli.testnet.supervisor import running_pids
from spdb.database import Database, open_database
from spdb.statements.queue import backlog
from tests.bench.compare.rounds import Rounds
from tests.bench.compare.targets import Target, network, restart, sp_target

SMALL, BIG, LISTED = 4096, 64 << 20, 1000
JOBS = 10_000
LIMIT = 0.8
WITH, WITHOUT = "sp0", "sp1"
EMPTY, WAITING, WORKING = "no jobs", "jobs wait, task node rests", "jobs wait, task node works in vain"
MOST = 10_000_000


@dataclass(frozen=True)
class Operation:
    """clients: at once; large: its rate is in bytes; requests: of one turn, made before the clock starts"""

    name: str
    clients: int
    large: bool
    requests: Callable[[Target], Iterator[Request]]


@dataclass(frozen=True)
class Budget:
    """turn_s: of small operations; large_puts: in one turn; rest_s: how long the idle CPU is watched"""

    turn_s: float
    rounds: int
    large_puts: int
    rest_s: float


FULL, QUICK = Budget(0.8, 5, 2, 4.0), Budget(0.3, 2, 1, 2.0)


def operations(budget: Budget) -> list[Operation]:
    numbers = count()
    small, big = memoryview(os.urandom(SMALL)), memoryview(os.urandom(BIG))
    ahead = int(3000 * budget.turn_s) + 8

    def puts(target: Target, body: memoryview, most: int) -> Iterator[Request]:
        return iter([target.signer.put(target.bucket, f"put/{next(numbers)}", body) for _ in range(most)])

    def gets(target: Target) -> Iterator[Request]:
        return cycle([target.signer.get(target.bucket, f"read/{n}", SMALL) for n in range(LISTED)])

    def lists(target: Target) -> Iterator[Request]:
        return cycle([target.signer.list_objects(target.bucket, LISTED)])

    return [
        Operation("put 4 KiB", 8, False, lambda target: puts(target, small, ahead)),
        Operation("get 4 KiB", 8, False, gets),
        Operation("list 1000", 1, False, lists),
        Operation("put 64 MiB", 1, True, lambda target: puts(target, big, budget.large_puts)),
    ]


@dataclass
class Measured:
    """One state. idle_cpus: cores that an SP or the chain uses while no client asks anything; queued: jobs of the first
    SP, at the begin and the end"""

    rounds: Rounds
    idle_cpus: dict[str, float]
    queued: tuple[int, int]

    def record(self, wanted: Sequence[Operation]) -> dict[str, Any]:
        cells = {f"{name}, {operation}": cell.record() for (name, operation, _), cell in self.rounds.cells.items()}
        ratios = {each.name: self.ratio(each) for each in wanted}
        return {"cells": cells, "ratios": ratios, "idle_cpus": self.idle_cpus, "queued": self.queued}

    def ratio(self, operation: Operation) -> float:
        found = self.rounds.ratio(WITH, WITHOUT, operation.name, operation.clients)
        assert found is not None
        return found


class Sps:
    """The two SPs, and their databases beside them."""

    def __init__(self, testnet: Network) -> None:
        self.testnet = testnet
        self.targets = [sp_target(testnet, name, name) for name in (WITH, WITHOUT)]

    def fill(self, target: Target, bucket: str, names: Sequence[str]) -> None:
        body = memoryview(os.urandom(SMALL))
        with closing(Load(target.signer.address, 16)) as load:
            if bucket != target.bucket:
                load.one(target.signer.make_bucket(bucket))
            outcome = load.run(target.signer.put(bucket, name, body) for name in names)
        if outcome.failures:
            sys.exit(f"{target.name}: {dict(outcome.failures)}")

    def take_off(self, target: Target) -> None:
        """What was put into the target's own bucket waits no more: as a job that was given up."""

        async def take_off(database: Database) -> None:
            facts = {"bucket": target.bucket}
            words = "UPDATE jobs SET due_at_ms = NULL WHERE due_at_ms IS NOT NULL AND bucket = :bucket"
            await database.write(lambda c: c.execute(text(words), facts))

        asyncio.run(self._in_database(target, take_off))

    def queued(self, target: Target) -> int:
        found: list[int] = []

        async def ask(database: Database) -> None:
            found.append(await database.read(lambda c: backlog(c, MOST)))

        asyncio.run(self._in_database(target, ask))
        return found[0]

    async def _in_database(self, target: Target, work: Callable[[Database], Any]) -> None:
        path = self.testnet.sp_dir(target.name) / "spdb.sqlite"
        async with open_database(f"sqlite:///{path}") as database:
            await work(database)

    def idle_cpus(self, seconds: float) -> dict[str, float]:
        pids = {
            process: pid
            for name in (CHAIN, WITH, WITHOUT)
            for process in self.testnet.processes_of(name)
            for pid in running_pids(self.testnet, [process])
        }
        meter = Meter(pids)
        time.sleep(seconds)  # it is time itself that is measured
        cpus = dict.fromkeys((CHAIN, WITH, WITHOUT), 0.0)
        for process, usage in meter.read().items():
            cpus[process.partition("-")[0]] += usage.cpu_s / seconds
        return cpus


def measure(sps: Sps, wanted: Sequence[Operation], budget: Budget, *, works: bool) -> Measured:
    """works: the task node of the SP with the queue does"""
    rounds = Rounds(budget.turn_s)
    before = sps.queued(sps.targets[0])
    idle = sps.idle_cpus(budget.rest_s)
    for number in range(budget.rounds + 1):
        for operation in wanted:
            turns = sps.targets if number % 2 else sps.targets[::-1]
            for target in turns:
                requests = operation.requests(target)
                os.sync()
                seconds = None if operation.large else budget.turn_s if number else budget.turn_s / 3
                rounds.turn(
                    target,
                    operation.name,
                    operation.clients,
                    requests,
                    seconds,
                    by_bytes=operation.large,
                    counts=number > 0,
                )
                if operation.name.startswith("put") and not (works and target.name == WITH):
                    sps.take_off(target)
    return Measured(rounds, idle, (before, sps.queued(sps.targets[0])))


def run(folder: Path, jobs: int, budget: Budget, wanted: Sequence[Operation], *, split: bool) -> dict[str, Measured]:
    found = {}
    divided = frozenset({WITH, WITHOUT}) if split else frozenset[str]()
    with network(folder, split=divided, background=False) as testnet:
        sps = Sps(testnet)
        for target in sps.targets:
            sps.fill(target, target.bucket, [f"read/{number}" for number in range(LISTED)])
            sps.take_off(target)
        note(EMPTY)
        found[EMPTY] = measure(sps, wanted, budget, works=False)
        note(f"putting {jobs:,} objects")
        sps.fill(sps.targets[0], "queued", [f"{number:06}" for number in range(jobs)])
        note(WAITING)
        found[WAITING] = measure(sps, wanted, budget, works=False)
        note(WORKING)
        for target in sps.targets:
            restart(testnet, target.name, background=target.name == WITH)
        found[WORKING] = measure(sps, wanted, budget, works=True)
    return found


def show(found: dict[str, Measured], wanted: Sequence[Operation]) -> None:
    rows = []
    for state, measured in found.items():
        for operation in wanted:
            cells = [measured.rounds.cell(name, operation.name, operation.clients) for name in (WITH, WITHOUT)]
            rates = [f"{c.rate / 1e6:,.0f} MB/s" if operation.large else f"{c.rate:,.0f}/s" for c in cells]
            bad = "; ".join(f"{n} x {what}" for c in cells for what, n in c.failures.items())
            waits = [f"{c.record()['p50_ms']:.1f} / {c.record()['p99_ms']:.1f}" for c in cells]
            rows.append((state, operation.name, rates[0], rates[1], f"{measured.ratio(operation):.2f}", *waits, bad))
    columns = ("", "", "sp0 (queue)", "sp1 (none)", "ratio", "p50 / p99 ms, sp0", "sp1", "failures")
    print_table(columns, rows, title="With jobs that wait, and without")
    print_table(
        ("", "jobs, at first", "in the end", "CPUs of sp0 while idle", "of sp1", "of the chain"),
        [
            (state, *m.queued, *(f"{m.idle_cpus[name]:.2f}" for name in (WITH, WITHOUT, CHAIN)))
            for state, m in found.items()
        ],
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--split", action="store_true", help="both SPs as one process for each service")
    parser.add_argument("--rounds", type=int, help="of each state")
    parser.add_argument("--folder", type=Path, help="where the network keeps its data")
    parser.add_argument("--output", type=Path, default=Path("build/bench"))
    parser.add_argument("--quick", action="store_true", help="shorter turns, fewer rounds")
    arguments = parser.parse_args()
    budget = QUICK if arguments.quick else FULL
    if arguments.rounds is not None:
        budget = replace(budget, rounds=arguments.rounds)
    wanted = operations(budget)
    started = time.perf_counter()
    folder = Path(tempfile.mkdtemp(prefix="sp-queued-", dir=arguments.folder))
    try:
        found = run(folder / "network", arguments.jobs, budget, wanted, split=arguments.split)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(found, wanted)
    facts = machine()
    document = {
        "machine": facts,
        "jobs": arguments.jobs,
        "split": arguments.split,
        **{state: m.record(wanted) for state, m in found.items()},
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "queued.json").write_text(json.dumps(document, indent=1) + "\n")
    slow = [each.name for each in wanted if found[WAITING].ratio(each) < LIMIT]
    note(f"{time.perf_counter() - started:.0f} s, load {facts['load_average']}; slower: {', '.join(slow) or 'nothing'}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
