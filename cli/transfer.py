"""`sp put|get|ls|rm|mb`: objects and buckets over HTTP, as the test network's account or with AWS_* keys."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Dir, Endpoint, Json, Sp, bucket_and_name
from cli.output import console, note, print_json, print_table, say, size

if TYPE_CHECKING:
    from cli.client_http import Credentials, Progress, S3Client
    from cli.context import Where
    from sp.domain.jobs import Job

ObjectPath = Annotated[str, typer.Argument(metavar="BUCKET/KEY")]


@dataclass(frozen=True, slots=True)
class At:
    """Which gateway: of a test network's SP, or any."""

    where: Where
    endpoint: str | None


def put(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True)],
    target: ObjectPath,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it until it is sealed.")] = False,
    dir: Dir = None,
    sp: Sp = None,
    endpoint: Endpoint = None,
    as_json: Json = False,
) -> None:
    """Store a file. When this returns, the bytes are durable on the primary; with --wait on six others too."""
    from cli.context import Where, run

    if wait and endpoint:
        raise typer.BadParameter("--wait asks the SP's task node: use --dir, not --endpoint")
    bucket, name = bucket_and_name(target)
    record = run(_put(At(Where(dir, sp), endpoint), file, file.stat().st_size, bucket, name, wait))
    if as_json:
        print_json(record)
    else:
        say(f"{record['bucket']}/{record['key']}  {size(record['size'])}  {record['status']}")


def get(
    source: ObjectPath,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="- is stdout.", show_default="the key's last part")
    ] = None,
    dir: Dir = None,
    sp: Sp = None,
    endpoint: Endpoint = None,
) -> None:
    """Read an object into a file, which appears only when it is whole."""
    from cli.context import Where, run

    bucket, name = bucket_and_name(source)
    path = file or Path(Path(name).name)
    read = run(_get(At(Where(dir, sp), endpoint), bucket, name, path))
    note(f"{source}  {size(read)}  -> {path}")


def ls(
    target: Annotated[str, typer.Argument(metavar="[BUCKET[/PREFIX]]", show_default="all buckets")] = "",
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="All keys, not one level.")] = False,
    dir: Dir = None,
    sp: Sp = None,
    endpoint: Endpoint = None,
    as_json: Json = False,
) -> None:
    """List buckets, or the objects of one."""
    from cli.context import Where, run

    bucket, _, prefix = target.removeprefix("s3://").partition("/")
    rows = run(_ls(At(Where(dir, sp), endpoint), bucket, prefix, "" if recursive else "/"))
    if as_json:
        print_json(rows)
    else:
        print_table(("modified", "size", "name"), ((r["modified"], size(r["size"]), r["name"]) for r in rows))


def rm(target: ObjectPath, dir: Dir = None, sp: Sp = None, endpoint: Endpoint = None) -> None:
    """Delete an object; BUCKET alone deletes an empty bucket."""
    from cli.context import Where, run

    bucket, _, name = target.removeprefix("s3://").partition("/")
    run(_rm(At(Where(dir, sp), endpoint), bucket, name))
    say(f"{target} deleted")


def mb(
    bucket: Annotated[str, typer.Argument(metavar="BUCKET")],
    dir: Dir = None,
    sp: Annotated[str | None, typer.Option("--sp", help="Its primary SP.", show_default="sp0")] = None,
    endpoint: Endpoint = None,
) -> None:
    """Make a bucket; the SP that is asked becomes its primary."""
    from cli.context import Where, run

    run(_mb(At(Where(dir, sp), endpoint), bucket))
    say(f"{bucket} made")


async def _put(at: At, file: Path, size_bytes: int, bucket: str, name: str, wait: bool) -> dict[str, Any]:
    async with _client(at, bucket) as client:
        with progress_bar(f"{bucket}/{name}", size_bytes) as sent:
            etag = await client.put(bucket, name, file, sent)
    record = {"bucket": bucket, "key": name, "size": size_bytes, "etag": etag, "status": "CREATED"}
    if not wait:
        return record
    job = await _sealed(at.where, bucket, name)
    return {**record, "status": "SEALED", "job_id": job.id, "object_id": job.object_id}


async def _sealed(where: Where, bucket: str, name: str) -> Job:
    """Follow the newest job of a name to its seal. NotSealed when it ends otherwise."""
    from cli.context import job_found
    from cli.following import follow, require_sealed
    from cli.jobs import history_line

    async with job_found(where, f"{bucket}/{name}") as (_, tasknode, detail):
        job = detail.job
        async for latest, rows in follow(tasknode, job.id):
            job = latest.job
            for row in rows:
                note(history_line(row))
    require_sealed(job)
    return job


async def _get(at: At, bucket: str, name: str, path: Path) -> int:
    from cli.client_http import save

    async with _client(at, bucket) as client, client.get(bucket, name) as (stored, chunks):
        if str(path) == "-":
            await _to_stdout(chunks)
            return stored.size
        with progress_bar(f"{bucket}/{name}", stored.size) as received:
            await save(chunks, path, received)
    return stored.size


async def _to_stdout(chunks: AsyncIterator[bytes]) -> None:
    async for chunk in chunks:
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


async def _ls(at: At, bucket: str, prefix: str, delimiter: str) -> list[dict[str, Any]]:
    async with _client(at, bucket) as client:
        if not bucket:
            return [{"name": name, "size": None, "modified": made} for name, made in await client.buckets()]
        rows: list[dict[str, Any]] = []
        token: str | None = None
        while True:
            page = await client.page(bucket, prefix, delimiter, token)
            rows += [{"name": o.name, "size": o.size, "modified": o.modified} for o in page.objects]
            rows += [{"name": common, "size": None, "modified": ""} for common in page.prefixes]
            token = page.next_token
            if token is None:
                return sorted(rows, key=lambda row: str(row["name"]).encode())


async def _rm(at: At, bucket: str, name: str) -> None:
    async with _client(at, bucket) as client:
        if name:
            await client.delete(bucket, name)
        else:
            await client.delete_bucket(bucket)


async def _mb(at: At, bucket: str) -> None:
    async with _client(at, "") as client:
        await client.make_bucket(bucket)


def environment_credentials() -> Credentials:
    """Those of AWS_*. NoCredentials."""
    from cli.client_http import Credentials
    from cli.errors import NoCredentials

    try:
        return Credentials(
            os.environ["AWS_ACCESS_KEY_ID"],
            os.environ["AWS_SECRET_ACCESS_KEY"],
            os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
        )
    except KeyError as error:
        raise NoCredentials from error


@asynccontextmanager
async def _client(at: At, bucket: str) -> AsyncIterator[S3Client]:
    """For the gateway that serves this bucket; "": the one that the options say, or the first."""
    from cli.client_http import Credentials, s3_client
    from cli.context import gateway_of_bucket

    if at.endpoint is not None:
        endpoint, keys = at.endpoint, environment_credentials()
    else:
        testnet = at.where.testnet()
        found = await gateway_of_bucket(at.where, bucket) if bucket else testnet.sp(at.where.sp or testnet.sps[0].name)
        account = testnet.account
        endpoint, keys = found.gateway, Credentials(account.access_key_id, account.secret_access_key, account.region)
    async with s3_client(endpoint, keys) as client:
        yield client


@contextmanager
def progress_bar(label: str, total: int) -> Iterator[Progress]:
    """On stderr, and only on a terminal."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
    from rich.text import Text

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    terminal = console(stderr=True)
    with Progress(*columns, console=terminal, disable=not terminal.is_terminal, transient=True) as progress:
        task = progress.add_task(Text(label).markup, total=total)
        yield lambda more: progress.advance(task, more)
