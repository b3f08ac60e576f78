"""`sp jobs`: every put and its background, as the task node's table has it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Config, Dir, Json, Sp
from cli.output import clock_time, print_fields, print_json, print_table, say, size

if TYPE_CHECKING:
    from cli.context import Where
    from sp.domain.jobs import HistoryRow, Job, JobFilter
    from sp.domain.lifecycle import JobState

app = typer.Typer(no_args_is_help=True)

JobName = Annotated[str, typer.Argument(metavar="ID", help="A job's id, or BUCKET/KEY for the newest of that name.")]


@app.command("list")
def list_jobs(
    dir: Dir = None,
    sp: Sp = None,
    config: Config = None,
    state: Annotated[list[str] | None, typer.Option("--state", help="Only these states (repeat).")] = None,
    bucket: Annotated[str, typer.Option("--bucket", help="Only this bucket.")] = "",
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed or gave up.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Newest first.")] = 50,
    as_json: Json = False,
) -> None:
    """List jobs, newest first, and how many there are in each state."""
    from cli.context import Where, run
    from cli.records import job_record
    from sp.domain.jobs import JobFilter

    wanted = JobFilter(tuple(map(_state, state or [])), bucket, failed, None, limit)
    jobs, counts = run(_list(Where(dir, sp, config), wanted))
    if as_json:
        by_state = {state.name: count for state, count in sorted(counts.items())}
        print_json({"jobs": [job_record(job) for job in jobs], "counts": by_state})
        return
    columns = ("id", "state", "object", "size", "attempts", "updated (UTC)", "error")
    print_table(columns, (_row(job) for job in jobs))
    say("  ".join(f"{state.name}: {count}" for state, count in sorted(counts.items())) or "no jobs")


@app.command()
def show(job: JobName, dir: Dir = None, sp: Sp = None, config: Config = None, as_json: Json = False) -> None:
    """Show one job: its state, its secondaries and its whole history."""
    from cli.context import Where, run

    record = run(_show(Where(dir, sp, config), job))
    if as_json:
        print_json(record)
    else:
        _print_detail(record)


@app.command()
def watch(job: JobName, dir: Dir = None, sp: Sp = None, config: Config = None, as_json: Json = False) -> None:
    """Print a job's history as it happens, until it is final or given up. With --json one object a line."""
    from cli.context import Where, run

    sealed = run(_watch(Where(dir, sp, config), job, as_json))
    if not sealed:
        raise typer.Exit(1)


@app.command()
def retry(job: JobName, dir: Dir = None, sp: Sp = None, config: Config = None, as_json: Json = False) -> None:
    """Let a failed, waiting or given-up job go on now."""
    from cli.context import Where, run
    from cli.records import job_record

    record = job_record(run(_retry(Where(dir, sp, config), job)))
    if as_json:
        print_json(record)
    else:
        say(f"job {record['id']} goes on from {record['state']}")


def _state(text: str) -> JobState:
    from sp.domain.lifecycle import JobState

    if text.upper() not in JobState.__members__:
        raise typer.BadParameter(f"{text!r} is no state; there are {', '.join(JobState.__members__)}")
    return JobState[text.upper()]


async def _list(where: Where, wanted: JobFilter) -> tuple[list[Job], dict[JobState, int]]:
    from cli.context import opened
    from tasknode.client import connect

    async with opened(where.config_path()) as parts:
        return await (await connect(parts)).list_jobs(wanted)


async def _show(where: Where, name: str) -> dict[str, Any]:
    from cli.context import connect_chain, job_found
    from cli.records import detail_record

    async with job_found(where, name) as (parts, _, detail):
        chain = await connect_chain(parts)
        return detail_record(detail, await chain.storage_providers())


async def _watch(where: Where, name: str, as_json: bool) -> bool:
    from cli.context import job_found
    from cli.following import follow, is_sealed
    from cli.records import history_record

    async with job_found(where, name) as (_, tasknode, detail):
        async for latest, rows in follow(tasknode, detail.job.id):
            detail = latest
            for row in rows:
                say(json.dumps(history_record(row)) if as_json else history_line(row))
        return is_sealed(detail.job)


async def _retry(where: Where, name: str) -> Job:
    from cli.context import job_found

    async with job_found(where, name) as (_, tasknode, detail):
        return await tasknode.retry_job(detail.job.id)


def history_line(row: HistoryRow) -> str:
    what = f"{row.event}{f': {row.reason}' if row.reason else ''}{f' [{row.provider}]' if row.provider else ''}"
    return f"{clock_time(row.at_ms)}  {row.state.name:<22}  {what}"


def _row(job: Job) -> tuple[object, ...]:
    name = f"{job.bucket}/{job.object_name}"
    error = job.error if len(job.error) <= 60 else f"{job.error[:57]}..."
    return job.id, job.state.name, name, size(job.payload_size), job.attempts, clock_time(job.updated_at_ms), error


def _print_detail(record: dict[str, Any]) -> None:
    print_fields({k: v for k, v in record.items() if k not in ("secondaries", "history")}, f"job {record['id']}")
    columns = ("column", "sp", "state", "integrity hash", "attempts", "error")
    print_table(
        columns,
        (
            (s["redundancy_index"], s["sp"], s["state"], s["integrity_hash"], s["attempts"], s["error"])
            for s in record["secondaries"]
        ),
        "secondaries",
    )
    print_table(
        ("at (UTC)", "state", "event", "attempt", "reason", "provider", "actor"),
        (
            (h["at"], h["state"], h["event"], h["attempt"], h["reason"], h["provider"], h["actor"])
            for h in record["history"]
        ),
        "history",
    )
