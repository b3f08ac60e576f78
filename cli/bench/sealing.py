"""Time from the 200 to SEALED, seen as a client sees it: by HEAD, until the gateway says so."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from cli.bench.load import Load, Outcome
from cli.bench.report import Row, percentile
from cli.bench.requests import Request, Signer

_LOOK_EVERY_S: Final = 0.05
_STATUS: Final = "x-sp-object-status"


@dataclass(slots=True)
class _Watch:
    """Looks at every stored object in turns, over one connection. waits_s: of those that are sealed."""

    signer: Signer
    bucket: str
    waits_s: list[float] = field(default_factory=list)
    waiting: dict[str, float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    ended: threading.Event = field(default_factory=threading.Event)

    def stored(self, name: str, at_s: float) -> None:
        with self.lock:
            self.waiting[name] = at_s

    def run(self) -> None:
        heads: dict[str, Request] = {}
        with closing(Load(self.signer.address, 1)) as load:
            while not self.ended.is_set():
                with self.lock:
                    names = list(self.waiting.items())
                for name, stored_s in names:
                    if name not in heads:
                        heads[name] = self.signer.head(self.bucket, name)
                    outcome = load.one(heads[name])
                    if outcome.samples and load.last_answer.header(_STATUS) == "SEALED":
                        self.waits_s.append(time.perf_counter() - stored_s)
                        with self.lock:
                            del self.waiting[name]
                self.ended.wait(_LOOK_EVERY_S)


@dataclass(frozen=True, slots=True)
class Sealing:
    """Row of waits from 200 to SEALED; sealed_per_s: over the time in which objects were put; left: not sealed in the
    end"""

    row: Row
    sealed_per_s: float
    left: int


def measure_sealing(
    signer: Signer, bucket: str, body: memoryview, *, seconds: float, rate_per_s: float, clients: int, patience_s: float
) -> Sealing:
    """Put objects at a fixed rate for `seconds`, then wait for their seals for at most `patience_s`."""
    watch = _Watch(signer, bucket)
    watcher = threading.Thread(target=watch.run, daemon=True)
    watcher.start()
    prefix = f"seal/{time.time_ns():x}"
    names = (f"{prefix}/{number}" for number in count())
    outcome, sealed = Outcome(), 0
    started_s = time.perf_counter()
    with closing(Load(signer.address, clients, on_answer=lambda name: watch.stored(name, time.perf_counter()))) as load:
        outcome = load.run(_puts(signer, bucket, names, body), seconds=seconds, rate_per_s=rate_per_s)
    sealed = len(watch.waits_s)
    elapsed_s = time.perf_counter() - started_s
    give_up_s = time.perf_counter() + patience_s
    while watch.waiting and time.perf_counter() < give_up_s:
        watch.ended.wait(_LOOK_EVERY_S)
    watch.ended.set()
    watcher.join()
    waits_ms = sorted(wait * 1000 for wait in watch.waits_s)
    row = Row(
        "seal",
        len(body),
        clients,
        1,
        len(outcome.samples),
        mb_per_s=outcome.bytes_per_s / 1e6,
        per_s=outcome.per_s,
        p50_ms=percentile(waits_ms, 50),
        p90_ms=percentile(waits_ms, 90),
        p99_ms=percentile(waits_ms, 99),
        failures=dict(Counter(outcome.failures) + Counter({"not sealed": len(watch.waiting)})),
    )
    return Sealing(row, sealed / elapsed_s, len(watch.waiting))


def _puts(signer: Signer, bucket: str, names: Iterator[str], body: memoryview) -> Iterator[Request]:
    return (signer.put(bucket, name, body, kind=name) for name in names)
