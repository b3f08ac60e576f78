"""`sp bench`: how fast a gateway is, and what it costs the processes behind it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Dir, Endpoint, Json, Sp
from cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from cli.bench.report import Row
    from cli.bench.requests import Signer
    from cli.bench.workloads import Plan

_WORKLOADS = "put, get, range, small-put, small-get, mixed, seal"


def bench(
    workloads: Annotated[
        list[str] | None, typer.Argument(metavar="[WORKLOAD]...", help=_WORKLOADS, show_default="all")
    ] = None,
    dir: Dir = None,
    sp: Sp = None,
    endpoint: Endpoint = None,
    bucket: Annotated[str, typer.Option("--bucket", help="Is made unless it is there.")] = "bench",
    size_mib: Annotated[int, typer.Option("--size-mib", min=1, help="Of a large object.")] = 64,
    small_bytes: Annotated[int, typer.Option("--small-bytes", min=1, help="Of a small object.")] = 4096,
    range_kib: Annotated[int, typer.Option("--range-kib", min=1, help="Of a range of a large object.")] = 1024,
    clients: Annotated[str, typer.Option("--clients", help="At once, for large objects; several: 1,4.")] = "1,4",
    small_clients: Annotated[str, typer.Option("--small-clients", help="At once, for small objects.")] = "8,32",
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, help="Of one round.")] = 3.0,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="That count; figures are their medians.")] = 3,
    warm_up: Annotated[float, typer.Option("--warm-up", min=0.0, help="Seconds before the first round.")] = 1.0,
    seal_rate: Annotated[float, typer.Option("--seal-rate", min=0.1, help="Puts a second while seals are timed.")] = 20,
    seal_seconds: Annotated[float, typer.Option("--seal-seconds", min=0.1, help="For how long.")] = 20.0,
    seal_kib: Annotated[int, typer.Option("--seal-kib", min=1, help="Size of an object whose seal is timed.")] = 1024,
    chart: Annotated[Path | None, typer.Option("--chart", help="Write the figures as an SVG image.")] = None,
    output: Annotated[Path | None, typer.Option("--output", help="Write the figures as JSON.")] = None,
    as_json: Json = False,
) -> None:
    """Measure a gateway: throughput, waits, and CPU time and peak memory of the test network's processes."""
    from cli.bench.report import machine, write_json
    from cli.bench.workloads import KINDS, Plan

    kinds = _known(workloads or list(KINDS), KINDS)
    few, many = _numbers(clients), _numbers(small_clients)
    signer, pids = _target(dir, sp, endpoint)
    plan = Plan(bucket, size_mib << 20, small_bytes, range_kib << 10, seconds, rounds, warm_up)
    _make_bucket(signer, bucket)
    rows: list[Row] = []
    for kind in kinds:
        if kind == "seal":
            rows.append(_seal(signer, plan, seal_kib << 10, seal_seconds, seal_rate))
            continue
        for count in many if kind.startswith("small") or kind == "mixed" else few:
            note(f"{kind}, {count} at once")
            rows.append(_measure(signer, plan, pids, kind, count))
    if output is not None:
        write_json(output, rows)
    if chart is not None:
        chart.write_text(_chart(rows))
    if as_json:
        print_json({"machine": machine(), "rows": [row.record() for row in rows]})
    else:
        _print(rows)


def _measure(signer: Signer, plan: Plan, pids: dict[str, int], kind: str, clients: int) -> Row:
    from cli.bench.workloads import Bench

    return Bench(signer, plan, pids).measure(kind, clients)


def _seal(signer: Signer, plan: Plan, size_bytes: int, seconds: float, rate_per_s: float) -> Row:
    from cli.bench.sealing import measure_sealing

    note(f"seal, {rate_per_s:g} puts a second for {seconds:g} s")
    body = memoryview(os.urandom(size_bytes))
    sealing = measure_sealing(
        signer, plan.bucket, body, seconds=seconds, rate_per_s=rate_per_s, clients=16, patience_s=60.0
    )
    note(f"{sealing.sealed_per_s:.1f} sealed a second meanwhile, {sealing.left} not sealed a minute later")
    return sealing.row


def _target(dir: Path | None, sp: str | None, endpoint: str | None) -> tuple[Signer, dict[str, int]]:
    """Whom to measure, and the processes of its network by name, when it is a test network's."""
    from cli.bench.requests import Signer
    from cli.client_http import Credentials
    from cli.context import Where
    from cli.testnet.supervisor import running_pids
    from cli.transfer import environment_credentials

    if endpoint is not None:
        return Signer(endpoint, environment_credentials()), {}
    testnet = Where(dir, sp).testnet()
    account = testnet.account
    keys = Credentials(account.access_key_id, account.secret_access_key, account.region)
    pids = {name: pid for name in testnet.processes for pid in running_pids(testnet, [name])}
    return Signer(testnet.sp(sp or testnet.sps[0].name).gateway, keys), pids


def _make_bucket(signer: Signer, bucket: str) -> None:
    from contextlib import closing

    from cli.bench.load import Load
    from cli.errors import BenchFailed

    with closing(Load(signer.address, 1)) as load:
        outcome = load.one(signer.make_bucket(bucket))
        if outcome.failures and load.last_answer.status != 409:
            raise BenchFailed("make bucket", ", ".join(outcome.failures))


def _known(kinds: Sequence[str], known: Sequence[str]) -> list[str]:
    for kind in kinds:
        if kind not in known:
            raise typer.BadParameter(f"no workload {kind!r}; there are {', '.join(known)}")
    return list(kinds)


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(word) for word in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no list of numbers") from error
    if min(numbers) < 1:
        raise typer.BadParameter("at least one client")
    return numbers


def _print(rows: Sequence[Row]) -> None:
    columns = (
        "workload",
        "size",
        "at once",
        "MB/s",
        "a second",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "CPU s/GB",
        "CPU us",
        "peak",
    )
    print_table(columns, (_cells(row) for row in rows))
    for row in rows:
        for what, count in row.failures.items():
            note(f"{row.workload}, {row.clients} at once: {count} x {what}")


def _cells(row: Row) -> tuple[Any, ...]:
    from cli.output import size

    peak = max(row.peak_mib.items(), key=lambda item: item[1], default=None)
    return (
        row.workload,
        size(row.size_bytes),
        row.clients,
        f"{row.mb_per_s:,.1f}",
        f"{row.per_s:,.1f}",
        f"{row.p50_ms:.1f}",
        f"{row.p90_ms:.1f}",
        f"{row.p99_ms:.1f}",
        "" if row.cpu_s_per_gb is None else f"{row.cpu_s_per_gb:.2f}",
        "" if row.cpu_us_per_request is None else f"{row.cpu_us_per_request:,.0f}",
        "" if peak is None else f"{peak[0]} {peak[1]:.0f} MiB",
    )


def _chart(rows: Sequence[Row]) -> str:
    from cli.bench.chart import Bar, Panel, svg

    def bars(chosen: Sequence[Row], value: str, unit: str) -> list[Bar]:
        return [
            Bar(f"{r.workload}, {r.clients} at once", getattr(r, value), f"{getattr(r, value):,.1f} {unit}", r.workload)
            for r in chosen
        ]

    large = [row for row in rows if row.workload in ("put", "get", "range")]
    small = [row for row in rows if row.workload in ("small-put", "small-get", "mixed")]
    seals = [row for row in rows if row.workload == "seal"]
    panels = [
        Panel("Large objects, MB/s", bars(large, "mb_per_s", "MB/s")),
        Panel("Small objects, requests a second", bars(small, "per_s", "/s")),
        Panel("From the 200 to the seal, median", bars(seals, "p50_ms", "ms")),
    ]
    return svg("sp bench", [panel for panel in panels if panel.bars])
