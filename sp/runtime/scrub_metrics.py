"""Metrics of scrubbing and repair; what: "segments" of the primary, "pieces" held for others."""

from __future__ import annotations

from sp.domain.findings import DAMAGED as DAMAGED_HEALTH
from sp.domain.findings import Finding
from sp.runtime.metrics import counter, gauge

SCRUBBED = counter("sp_scrub_bytes_total", "Bytes read again to verify them", ["what"])
DAMAGED = counter("sp_scrub_damaged_total", "Segments and pieces found missing or damaged", ["what"])
REPAIRED = counter("sp_scrub_repaired_total", "Of those, made whole again", ["what"])
UNREPAIRABLE = counter("sp_scrub_unrepairable_total", "Of those, tried to make whole and failed", ["what"])
LAST_PASS = gauge("sp_scrub_last_pass_timestamp_seconds", "When the last full pass ended, unix time", ["what"])


def count_finding(what: str, finding: Finding, *, tried: bool) -> None:
    """tried: a repair was attempted"""
    if finding.health not in DAMAGED_HEALTH:
        return
    DAMAGED.labels(what).inc()
    if finding.repaired:
        REPAIRED.labels(what).inc()
    elif tried:
        UNREPAIRABLE.labels(what).inc()
