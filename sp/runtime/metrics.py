"""Prometheus metrics, each made once per process, whoever asks first.

All go to the default registry, which already reports the process's memory, CPU time, open files and collector runs.
Tests run many services in one process: these share their metrics, as services that share a process do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

SECONDS_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)

_made: dict[str, MetricWrapperBase] = {}

M = TypeVar("M", bound=MetricWrapperBase)


def counter(name: str, documentation: str, labels: Sequence[str] = ()) -> Counter:
    """`name` begins with "sp_" and ends with "_total"."""
    assert name.endswith("_total")
    return _once(name, Counter, lambda: Counter(name, documentation, labels))


def gauge(name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
    return _once(name, Gauge, lambda: Gauge(name, documentation, labels))


def histogram(
    name: str, documentation: str, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS_BUCKETS
) -> Histogram:
    """`name` ends with its unit: "_seconds", "_bytes"."""
    return _once(name, Histogram, lambda: Histogram(name, documentation, labels, buckets=buckets))


def _once(name: str, kind: type[M], make: Callable[[], M]) -> M:
    assert name.startswith("sp_")
    metric = _made.get(name)
    if metric is None:
        metric = _made[name] = make()
    assert isinstance(metric, kind), f"{name} is a {type(metric).__name__} already"
    return metric
