"""The targets, as lines of a table: what was asked, what was measured, the ratio, reached or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from cli.bench.report import percentile
from cli.bench.sealing import Sealing
from tests.bench.compare.rounds import Rounds
from tests.bench.compare.targets import (
    BARE,
    FLOOR,
    FLOOR_SERIAL,
    FLOOR_SYNCED,
    ONE_PROCESS,
    SEPARATE,
    TWO_FRONTS,
    Target,
)

SWIFT = "Swift"
SEAWEED = "SeaweedFS"


@dataclass(frozen=True)
class Line:
    """reached None: not measured, and `measured` says why"""

    what: str
    target: str
    measured: str
    ratio: str
    reached: bool | None

    @property
    def verdict(self) -> str:
        return {True: "reached", False: "MISSED", None: "not measured"}[self.reached]


@dataclass
class Findings:
    """All that one run has measured."""

    rounds: Rounds
    peers: Sequence[Target]
    missing: dict[str, str] = field(default_factory=dict)
    coding: dict[str, float] = field(default_factory=dict)
    transitions: tuple[float, float] | None = None
    floors_cpu: dict[str, float] = field(default_factory=dict)
    network_cpu: dict[str, float] = field(default_factory=dict)
    sealing: Sealing | None = None
    sustained: dict[str, float] = field(default_factory=dict)
    warm_start_s: float | None = None

    def record(self) -> dict[str, Any]:
        cells = [
            {"target": name, "operation": operation, "clients": clients, **cell.record()}
            for (name, operation, clients), cell in self.rounds.cells.items()
            if cell.rates
        ]
        return {
            "lines": [{**asdict(line), "verdict": line.verdict} for line in lines(self)],
            "cells": cells,
            "missing peers": self.missing,
            "coding GB/s": self.coding,
            "transitions a second": self.transitions,
            "CPU s/GB of floors": self.floors_cpu,
            "whole network": self.network_cpu,
            "sustained seals": self.sustained,
            "warm start s": self.warm_start_s,
        }


def lines(found: Findings) -> list[Line]:
    return [
        *_puts(found, ONE_PROCESS, "services in one process", 0.80),
        *_puts(found, SEPARATE, "services in separate processes", 0.55),
        *_boto(found),
        *_gets(found),
        *_coding(found.coding),
        _network_cpu(found),
        *_small_puts(found),
        _transitions(found.transitions),
        *_against(found, "GET 4 KiB, 8 clients, two fronts", "get", 8, [SEAWEED], 1.0),
        *_seals(found),
        _start(found.warm_start_s),
    ]


def _puts(found: Findings, target: str, how: str, wanted: float) -> list[Line]:
    made = []
    for clients in (1, 4):
        what = f"PUT 64 MiB, {clients} client{'s' if clients > 1 else ''}, {how}"
        ours = found.rounds.cell(target, "put", clients)
        floor = found.rounds.cell(FLOOR_SYNCED, "put", clients)
        ratio = found.rounds.ratio(target, FLOOR_SYNCED, "put", clients)
        measured = f"{ours.rate / 1e6:,.0f} MB/s, Fd {floor.rate / 1e6:,.0f}"
        made.append(_line(what, f"{wanted:.2f} of Fd", measured, ratio, wanted))
    return made


def _boto(found: Findings) -> list[Line]:
    made = []
    for clients in (1, 4):
        what = f"PUT 64 MiB through boto3, {clients} client{'s' if clients > 1 else ''}"
        rates = {p.name: found.rounds.cell(p.name, "boto3 put", clients).rate for p in found.peers}
        for kind, wanted, names in (
            ("that syncs", 2.0, [p.name for p in found.peers if p.syncs]),
            ("of all", 1.2, [p.name for p in found.peers]),
        ):
            names = [name for name in names if rates[name]]
            if not names:
                made.append(Line(what, f"{wanted}x the fastest peer {kind}", "no such peer", "", None))
                continue
            fastest = max(names, key=lambda name: rates[name])
            ours = found.rounds.cell(ONE_PROCESS, "boto3 put", clients).rate
            ratio = found.rounds.ratio(ONE_PROCESS, fastest, "boto3 put", clients)
            measured = f"{ours / 1e6:,.0f} MB/s, {fastest} {rates[fastest] / 1e6:,.0f}"
            made.append(_line(what, f"{wanted}x the fastest peer {kind}", measured, ratio, wanted))
    return made


def _gets(found: Findings) -> list[Line]:
    made = []
    for floor, how in ((FLOOR_SERIAL, "one after the other"), (FLOOR, "overlapped")):
        ours, least = found.rounds.cell(ONE_PROCESS, "get", 1).rate, found.rounds.cell(floor, "get", 1).rate
        measured = f"{ours / 1e6:,.0f} MB/s, floor {least / 1e6:,.0f}"
        ratio = found.rounds.ratio(ONE_PROCESS, floor, "get", 1)
        made.append(_line("GET 64 MiB, 1 client", f"0.70 of read + sha256 + send, {how}", measured, ratio, 0.70))
    return made


def _coding(rates: Mapping[str, float]) -> list[Line]:
    isal, bare = rates["isal"], rates["bare call"]
    numpy, sha256 = rates["numpy"], rates["sha256"]
    return [
        _line("EC encode 4+2, ISA-L", "0.90 of the bare call", f"{isal:.1f} of {bare:.1f} GB/s", isal / bare, 0.90),
        _line("EC encode 4+2, numpy", "1.5x sha256", f"{numpy:.2f}, sha256 {sha256:.2f} GB/s", numpy / sha256, 1.5),
    ]


def floor_sum(found: Findings) -> tuple[float, str]:
    """CPU s/GB of the floors of a put from the first byte to its seal, and how it is made up."""
    synced = found.rounds.cell(FLOOR_SYNCED, "put", 1)
    keep = synced.cpu_s / (synced.moved_bytes / 1e9) if synced.moved_bytes else 0.0
    read, code, send = (found.floors_cpu[name] for name in ("read", "code", "send"))
    total = keep + read + code + 1.5 * send + 1.5 * keep
    text = f"receive, hash, write {keep:.2f} x 2.5 + read {read:.2f} + code {code:.2f} + send {send:.2f} x 1.5"
    return total, text


def _network_cpu(found: Findings) -> Line:
    total, text = floor_sum(found)
    used = found.network_cpu.get("SPs", 0.0)
    measured = f"{used:.2f} CPU s/GB; floors {total:.2f} = {text}"
    if not used or found.network_cpu["not sealed"]:
        return Line("CPU of all SPs, PUT to SEALED", "at most 1.8x the floors", measured, "", None)
    ratio = used / total
    return Line("CPU of all SPs, PUT to SEALED", "at most 1.8x the floors", measured, f"{ratio:.2f}", ratio <= 1.8)


def _small_puts(found: Findings) -> list[Line]:
    made = []
    for clients in (8, 32):
        what = f"PUT 4 KiB, {clients} clients, two fronts"
        made += _against(found, what, "put", clients, [SWIFT], 10.0)
        made += _against(found, what, "put", clients, [SEAWEED], 1.0)
        made += _against(found, what, "put", clients, [BARE], 0.15)
    return made


def _against(
    found: Findings, what: str, operation: str, clients: int, others: Sequence[str], wanted: float
) -> list[Line]:
    """By name: the first target that begins so."""
    small = f"small {operation}"
    names = [name for name, kind, _ in found.rounds.cells if kind == small]
    for start in others:
        other = next((name for name in names if name.startswith(start)), None)
        target = f"{wanted:g}x {start}"
        if other is None:
            why = next((text for name, text in found.missing.items() if start.lower().startswith(name)), "not run")
            return [Line(what, target, why[:90], "", None)]
        ours = found.rounds.cell(TWO_FRONTS, small, clients).rate
        theirs = found.rounds.cell(other, small, clients).rate
        ratio = found.rounds.ratio(TWO_FRONTS, other, small, clients)
        return [_line(what, target, f"{ours:,.0f}/s, {other} {theirs:,.0f}/s", ratio, wanted)]
    return []


def _transitions(rates: tuple[float, float] | None) -> Line:
    what, target = "durable transitions, 16 jobs at once, SQLite", "20x one async transaction each"
    if rates is None:
        return Line(what, target, "", "", None)
    return _line(what, target, f"{rates[0]:,.0f}/s, {rates[1]:,.0f}/s", rates[0] / rates[1], 20.0)


def _seals(found: Findings) -> list[Line]:
    made = []
    if found.sealing is not None:
        row = found.sealing.row
        for name, wait_ms, blocks in (("median", row.p50_ms, 2.0), ("p99", row.p99_ms, 3.0)):
            what = f"200 to SEALED, 1 MiB, {row.per_s:.0f} puts/s, {name}"
            reached = wait_ms / 1000 <= blocks and not found.sealing.left
            measured = f"{wait_ms / 1000:.2f} s, {found.sealing.left} not sealed"
            made.append(Line(what, f"within {blocks:g} blocks of 1 s", measured, f"{wait_ms / 1000:.2f}", reached))
    if found.sustained:
        rate = found.sustained["sealed a second"]
        measured = "; ".join(f"{name} {value:.2f}" for name, value in found.sustained.items())
        made.append(_line("sealed a second, 4 KiB, sustained", "30", measured, rate, 30.0))
    return made


def _start(warm_s: float | None) -> Line:
    what, target = "start of 8 SPs to ready, warm", "under 8 s"
    if warm_s is None:
        return Line(what, target, "", "", None)
    return Line(what, target, f"{warm_s:.1f} s", f"{warm_s:.1f}", warm_s < 8.0)


def _line(what: str, target: str, measured: str, ratio: float | None, wanted: float) -> Line:
    if ratio is None:
        return Line(what, target, "not measured", "", None)
    return Line(what, target, measured, f"{ratio:.2f}", ratio >= wanted)


def waits(cell_waits_ms: Sequence[float]) -> str:
    ordered = sorted(cell_waits_ms)
    if not ordered:
        return ""
    return f"{percentile(ordered, 50):.1f} / {percentile(ordered, 99):.1f}"
