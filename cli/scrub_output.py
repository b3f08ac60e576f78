"""How findings and tallies are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cli.output import console, size

if TYPE_CHECKING:
    from sp.domain.findings import Finding, Tally

Names = Mapping[Any, str]
"""Names of providers on chain, by operator address."""

Table = tuple[Sequence[str], list[Sequence[object]]]


def finding_record(finding: Finding, names: Names) -> dict[str, Any]:
    return {
        "bucket": finding.bucket,
        "object": finding.object_name,
        "object_id": finding.object_id,
        "version": finding.version,
        "segment": int(finding.segment),
        "redundancy_index": int(finding.redundancy_index),
        "sp": names.get(finding.provider) or finding.provider,
        "operator": finding.provider,
        "health": finding.health.value,
        "repaired": finding.repaired,
        "reason": finding.reason,
    }


def tally_record(tallies: Sequence[Tally]) -> dict[str, int]:
    """objects: of both roles together, so one that is held in pieces too counts again"""
    return {
        "objects": sum(t.objects for t in tallies),
        "parts": sum(t.parts for t in tallies),
        "size_bytes": sum(t.size_bytes for t in tallies),
        "damaged": sum(t.damaged for t in tallies),
        "repaired": sum(t.repaired for t in tallies),
        "unrepaired": sum(t.unrepaired for t in tallies),
        "unreachable": sum(t.unreachable for t in tallies),
    }


def summary(tallies: Sequence[Tally]) -> str:
    t = tally_record(tallies)
    line = f"{t['objects']} objects, {t['parts']} segments and pieces, {size(t['size_bytes'])} verified: "
    bad = [f"{t[name]} {name}" for name in ("damaged", "repaired", "unrepaired", "unreachable") if t[name]]
    return line + (", ".join(bad) or "all well")


def object_table(findings: Sequence[Finding], names: Names) -> Table:
    """One row per segment, one column per SP."""
    holders = sorted({(int(f.redundancy_index), f.provider) for f in findings})
    heads = [f"{'primary' if index < 0 else index} {names.get(who) or who}" for index, who in holders]
    cells = {(int(f.segment), int(f.redundancy_index), f.provider): _word(f) for f in findings}
    segments = sorted({int(f.segment) for f in findings})
    rows: list[Sequence[object]] = [
        [segment, *(cells.get((segment, index, who), "") for index, who in holders)] for segment in segments
    ]
    return ("segment", *heads), rows


def findings_table(findings: Sequence[Finding], names: Names) -> Table:
    rows: list[Sequence[object]] = [
        (
            f"{f.bucket}/{f.object_name}",
            f.segment,
            "" if f.redundancy_index < 0 else f.redundancy_index,
            names.get(f.provider) or f.provider,
            _word(f),
            "" if f.repaired else f.reason,
        )
        for f in findings
    ]
    return ("object", "segment", "column", "sp", "health", "reason"), rows


def _word(finding: Finding) -> str:
    return f"{finding.health.value}, repaired" if finding.repaired else finding.health.value


@contextmanager
def progress_line() -> Iterator[Callable[[Tally], None]]:
    """How far it is; on stderr, and only on a terminal."""
    terminal = console(stderr=True)
    if not terminal.is_terminal:
        yield lambda tally: None
        return
    with terminal.status("looking") as status:
        yield lambda tally: status.update(summary([tally]))
