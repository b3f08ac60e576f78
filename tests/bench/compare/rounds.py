"""Interleaved rounds: every target has its turn before any has its next, so that a busy machine is busy for all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import chain, count
from statistics import median
from typing import Any

from cli.bench.load import Load, Outcome
from cli.bench.requests import Request
from cli.bench.usage import Meter
from tests.bench.compare.targets import FLOOR, FLOOR_SERIAL, Target

Key = tuple[str, str, int]
"""Target, operation, clients."""


@dataclass
class Cell:
    """What the turns of one target in one operation gave. rates: bytes or requests a second, one for each round"""

    rates: list[float] = field(default_factory=list)
    waits_ms: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    moved_bytes: int = 0
    requests: int = 0
    failures: dict[str, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return median(self.rates) if self.rates else 0.0

    def record(self) -> dict[str, Any]:
        waits = sorted(self.waits_ms)
        return {
            "rate": self.rate,
            "rates": self.rates,
            "p50_ms": median(waits) if waits else None,
            "p99_ms": waits[int(len(waits) * 0.99)] if waits else None,
            "requests": self.requests,
            "cpu_s_per_gb": self.cpu_s / (self.moved_bytes / 1e9) if self.moved_bytes else None,
            "cpu_us_per_request": self.cpu_s / self.requests * 1e6 if self.requests else None,
            "failures": self.failures,
        }


@dataclass
class Rounds:
    """cells: by target, operation and clients. deadline_s: of perf_counter; no round begins after it but the first, and
    no peer's turn half a minute later"""

    seconds: float
    deadline_s: float = 0.0
    cells: dict[Key, Cell] = field(default_factory=dict)
    _names: Iterator[int] = field(default_factory=count)

    def cell(self, target: str, operation: str, clients: int) -> Cell:
        return self.cells.setdefault((target, operation, clients), Cell())

    def ratio(self, target: str, other: str, operation: str, clients: int, other_operation: str = "") -> float | None:
        """The median over the rounds of target's rate by other's; None when one of them was not measured."""
        ours = self.cells.get((target, operation, clients), Cell()).rates
        theirs = self.cells.get((other, other_operation or operation, clients), Cell()).rates
        pairs = [a / b for a, b in zip(ours, theirs, strict=False) if b]
        return median(pairs) if pairs else None

    def raw(self, targets: Sequence[Target], operation: str, size: int, clients: int, rounds: int) -> None:
        """put or get of objects of this size by the load generator. The first round only warms up."""
        body = memoryview(os.urandom(size))
        by_bytes = size >= 1 << 20
        label = operation if by_bytes else f"small {operation}"
        stored = {target.name: self._stored(target, body) for target in targets} if operation == "get" else {}
        hard_s = max(self.deadline_s, time.perf_counter()) + 30.0
        for number in range(rounds + 1):
            if number > 1 and time.perf_counter() > self.deadline_s:
                return
            for target in targets:
                if target.is_peer and time.perf_counter() > hard_s:
                    continue
                os.sync()  # nobody writes back what another has left
                requests = stored[target.name] if operation == "get" else self._puts(target, body)
                seconds = self.seconds if number else self.seconds / 3
                self.turn(target, label, clients, requests, seconds, by_bytes=by_bytes, counts=number > 0)
                if operation == "put":
                    target.clean()
        for target in targets:
            target.clean()

    def boto(self, targets: Sequence[Target], operation: str, size: int, clients: int, rounds: int) -> None:
        for number in range(rounds):
            if number and time.perf_counter() > self.deadline_s:
                return
            for target in targets:
                if target.is_peer and time.perf_counter() > self.deadline_s + 30.0:
                    continue
                os.sync()
                with _boto_process() as ask:
                    answer = ask(target, operation, size, clients, self.seconds, f"boto/{next(self._names)}")
                cell = self.cell(target.name, f"boto3 {operation}", clients)
                for failure in answer["failures"]:
                    cell.failures[failure] = cell.failures.get(failure, 0) + 1
                cell.rates.append(answer["requests"] * size / answer["seconds"])
                cell.requests += answer["requests"]

    def turn(
        self,
        target: Target,
        operation: str,
        clients: int,
        requests: Iterator[Request],
        seconds: float | None,
        *,
        by_bytes: bool,
        counts: bool,
    ) -> None:
        meter = Meter(target.pids())
        with closing(Load(target.signer.address, clients)) as load:
            outcome = load.run(requests, seconds=seconds)
        if counts:
            self._add(self.cell(target.name, operation, clients), outcome, meter, by_bytes=by_bytes)

    def _add(self, cell: Cell, outcome: Outcome, meter: Meter, *, by_bytes: bool) -> None:
        cell.rates.append(outcome.bytes_per_s if by_bytes else outcome.per_s)
        cell.waits_ms += [wait * 1000 for wait in outcome.waits_s()]
        cell.cpu_s += sum(usage.cpu_s for usage in meter.read().values())
        cell.moved_bytes += outcome.moved_bytes
        cell.requests += len(outcome.samples)
        for what, times in outcome.failures.items():
            cell.failures[what] = cell.failures.get(what, 0) + times

    def _puts(self, target: Target, body: memoryview) -> Iterator[Request]:
        """Without end; the first ones are made now, before the clock starts."""
        names = (f"put-{next(self._names)}" for _ in count())
        requests = (target.signer.put(target.bucket, name, body) for name in names)
        ahead = [next(requests) for _ in range(8 if len(body) >= 1 << 20 else 4096)]
        return chain(ahead, requests)

    def _stored(self, target: Target, body: memoryview) -> Iterator[Request]:
        """Reads, without end, of objects that are put now and read once."""
        names = [f"get-{next(self._names)}" for _ in range(2 if len(body) >= 1 << 20 else 200)]
        written_to = "plain" if target.name in (FLOOR, FLOOR_SERIAL) else target.bucket
        with closing(Load(target.signer.address, 4)) as load:
            written = load.run(target.signer.put(written_to, name, body) for name in names)
            requests = [target.signer.get(target.bucket, name, len(body)) for name in names]
            read = load.run(iter(requests))
        cell = self.cell(target.name, "get", 0)
        cell.failures.update({**written.failures, **read.failures})
        return (requests[number % len(requests)] for number in count())


@contextmanager
def _boto_process() -> Iterator[Any]:
    command = [sys.executable, "-m", "tests.bench.compare.boto"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(target: Target, operation: str, size: int, clients: int, seconds: float, prefix: str) -> dict[str, Any]:
            assert process.stdin is not None
            assert process.stdout is not None
            keys = target.signer.credentials
            assert keys is not None
            order = {
                "endpoint": target.signer.endpoint,
                "key": keys.access_key_id,
                "secret": keys.secret_access_key,
                "bucket": target.bucket,
                "op": operation,
                "size": size,
                "clients": clients,
                "seconds": seconds,
                "prefix": prefix,
            }
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
            answer: dict[str, Any] = json.loads(process.stdout.readline())
            return answer

        try:
            yield ask
        finally:
            process.stdin.close()
            process.wait(60)
