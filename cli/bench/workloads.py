"""What `sp bench` does to a gateway: each workload in rounds, the first of which only warms up."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, count
from typing import Final

from cli.bench.load import Load, Outcome
from cli.bench.report import Row, row_of
from cli.bench.requests import Request, Signer
from cli.bench.usage import Meter, Usage
from cli.errors import BenchFailed

KINDS: Final = ("put", "get", "range", "small-put", "small-get", "mixed", "seal")
_OBJECTS_READ: Final = 8
"""So many large objects are read in turns."""

_SMALL_READ: Final = 256
_MADE_AT_ONCE: Final = 2048
"""Requests that are signed ahead, between two rounds."""

_DELETED_LATER: Final = 256
"""The mixed workload deletes what it has put so many puts before."""

_MIXED: Final = {"get": 70, "put": 25, "delete": 5}
"""Percent of the requests of the mixed workload."""


@dataclass(frozen=True, slots=True)
class Plan:
    """size_bytes, small_bytes: of an object; range_bytes: of a range; seconds: of a round; rounds: that count"""

    bucket: str
    size_bytes: int
    small_bytes: int
    range_bytes: int
    seconds: float
    rounds: int
    warm_up_s: float


@dataclass
class Bench:
    """pids: the processes to measure, by name; none for a server that is elsewhere"""

    signer: Signer
    plan: Plan
    pids: Mapping[str, int]

    def __post_init__(self) -> None:
        self._numbers = count()
        self._run = os.urandom(4).hex()
        self._chance = random.Random(7)  # noqa: S311 - to be the same every time
        self._big = memoryview(os.urandom(self.plan.size_bytes))
        self._small = memoryview(os.urandom(self.plan.small_bytes))

    def measure(self, kind: str, clients: int) -> Row:
        """One of KINDS but `seal`. BenchFailed when nothing is answered as it should."""
        make, size = self._workload(kind, clients)
        outcomes: list[Outcome] = []
        usages: list[Mapping[str, Usage]] = []
        with closing(Load(self.signer.address, clients)) as load:
            load.run(make(), seconds=self.plan.warm_up_s)
            for _ in range(self.plan.rounds):
                requests = make()
                meter = Meter(self.pids)
                outcome = load.run(requests, seconds=self.plan.seconds)
                usages.append(meter.read())
                if not outcome.samples:
                    raise BenchFailed(kind, "; ".join(f"{n} x {what}" for what, n in outcome.failures.items()))
                outcomes.append(outcome)
        return row_of(kind, size, clients, outcomes, usages)

    def _workload(self, kind: str, clients: int) -> tuple[Callable[[], Iterator[Request]], int]:
        plan = self.plan
        if kind == "put":
            return lambda: self._puts("big", self._big), plan.size_bytes
        if kind == "small-put":
            return lambda: self._puts("small", self._small), plan.small_bytes
        if kind == "get":
            names = self._stored("read", self._big, _OBJECTS_READ)
            return lambda: self._gets(names, plan.size_bytes), plan.size_bytes
        if kind == "small-get":
            names = self._stored("small-read", self._small, _SMALL_READ)
            return lambda: self._gets(names, plan.small_bytes), plan.small_bytes
        if kind == "range":
            names = self._stored("read", self._big, _OBJECTS_READ)
            return lambda: self._ranges(names), plan.range_bytes
        if kind == "mixed":
            names = self._stored("small-read", self._small, _SMALL_READ)
            return lambda: self._mixed(names), plan.small_bytes
        raise BenchFailed(kind, f"unknown; there are {', '.join(KINDS)}")

    def _stored(self, prefix: str, body: memoryview, objects: int) -> list[str]:
        """Names of objects that were put for the occasion."""
        names = [f"{prefix}/{self._run}/{number}" for number in range(objects)]
        with closing(Load(self.signer.address, 4)) as load:
            outcome = load.run(self.signer.put(self.plan.bucket, name, body) for name in names)
        if outcome.failures:
            raise BenchFailed("put", "; ".join(f"{n} x {what}" for what, n in outcome.failures.items()))
        return names

    def _puts(self, prefix: str, body: memoryview) -> Iterator[Request]:
        return _made_ahead(self.signer.put(self.plan.bucket, self._fresh(prefix), body) for _ in count())

    def _gets(self, names: list[str], size: int) -> Iterator[Request]:
        made = [self.signer.get(self.plan.bucket, name, size) for name in names]
        return (made[number % len(made)] for number in count())

    def _ranges(self, names: list[str]) -> Iterator[Request]:
        size = min(self.plan.range_bytes, self.plan.size_bytes)
        made = [
            self.signer.ranged(self.plan.bucket, name, self._chance.randrange(self.plan.size_bytes - size + 1), size)
            for name in names
            for _ in range(16)
        ]
        return (made[number % len(made)] for number in count())

    def _mixed(self, names: list[str]) -> Iterator[Request]:
        """Deletes take away what was put a while before."""
        gets = self._gets(names, self.plan.small_bytes)
        written: list[str] = []

        def endless() -> Iterator[Request]:
            while True:
                kind = self._chance.choices(tuple(_MIXED), tuple(_MIXED.values()))[0]
                if kind == "put":
                    written.append(self._fresh("mixed"))
                    yield self.signer.put(self.plan.bucket, written[-1], self._small)
                elif kind == "delete" and len(written) > _DELETED_LATER:
                    yield self.signer.delete(self.plan.bucket, written.pop(0))
                else:
                    yield next(gets)

        return endless()

    def _fresh(self, prefix: str) -> str:
        return f"{prefix}/{self._run}/{next(self._numbers)}"


def _made_ahead(requests: Iterator[Request]) -> Iterator[Request]:
    """The same, some of them made before the clock starts; what comes after those is made when it is needed."""
    return chain([next(requests) for _ in range(_MADE_AT_ONCE)], requests)
