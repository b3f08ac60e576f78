"""`sp uploads`: multipart uploads that have not ended, and their end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Config, Dir, Json, Sp
from cli.output import instant, print_json, print_table, say, size

if TYPE_CHECKING:
    from cli.context import Where
    from sp.domain.ids import UploadId
    from sp.domain.multipart import Upload
    from uploader.multipart.client import Multipart

PAGE = 1000

app = typer.Typer(no_args_is_help=True)

Bucket = Annotated[str, typer.Argument(metavar="BUCKET")]


@app.command("ls")
def list_uploads(
    bucket: Bucket,
    prefix: Annotated[str, typer.Option("--prefix", help="Only names that begin so.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=PAGE, help="By name.")] = 100,
    dir: Dir = None,
    sp: Sp = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List the uploads of a bucket that were begun and neither completed nor aborted, with what they hold so far."""
    from cli.context import Where, run

    records = run(_list(Where(dir, sp, config), bucket, prefix, limit))
    if as_json:
        print_json(records)
        return
    columns = ("id", "object", "parts", "size", "begun (UTC)", "account")
    print_table(columns, (_row(record) for record in records))


@app.command()
def abort(
    bucket: Bucket,
    upload: Annotated[list[str], typer.Argument(metavar="ID...", help="16 hex digits, as `sp uploads ls` shows them.")],
    dir: Dir = None,
    sp: Sp = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """End uploads: what they hold is removed, and no part can be added. What they were to replace stays."""
    from cli.context import Where, run

    ids = [_upload_id(text) for text in upload]
    records = run(_abort(Where(dir, sp, config), bucket, ids))
    if as_json:
        print_json(records)
        return
    for record in records:
        say(f"upload {record['id']} of {record['bucket']}/{record['object']} is aborted")


async def _list(where: Where, bucket: str, prefix: str, limit: int) -> list[dict[str, Any]]:
    from cli.context import opened_for_bucket
    from sp.domain.multipart import UploadsQuery
    from uploader.multipart.client import connect

    async with opened_for_bucket(where, bucket) as parts:
        multipart = await connect(parts)
        page = await multipart.page(UploadsQuery(bucket, prefix, limit=limit))
        return [await _with_parts(multipart, upload) for upload in page.uploads]


async def _with_parts(multipart: Multipart, upload: Upload) -> dict[str, Any]:
    record = _record(upload) | {"parts": 0, "size_bytes": 0}
    after = 0
    while stored := await multipart.parts(upload.id, after, PAGE):
        record["parts"] += len(stored)
        record["size_bytes"] += sum(part.size for part in stored)
        after = stored[-1].number
    return record


async def _abort(where: Where, bucket: str, ids: list[UploadId]) -> list[dict[str, Any]]:
    """NoSuchUpload for one that is not of this bucket, or has ended; those before it are aborted then."""
    from cli.context import opened_for_bucket
    from sp.domain.errors import NoSuchUpload
    from sp.domain.multipart import upload_id_text
    from uploader.multipart.client import connect

    aborted = []
    async with opened_for_bucket(where, bucket) as parts:
        multipart = await connect(parts)
        for upload_id in ids:
            found = await multipart.find(upload_id)
            if found.order.bucket != bucket:
                raise NoSuchUpload(upload_id_text(upload_id))
            await multipart.abort(upload_id)
            aborted.append(_record(found))
    return aborted


def _record(upload: Upload) -> dict[str, Any]:
    from sp.domain.multipart import upload_id_text

    return {
        "id": upload_id_text(upload.id),
        "bucket": upload.order.bucket,
        "object": upload.order.object_name,
        "account": upload.order.account,
        "state": upload.state.name,
        "initiated_at": instant(upload.initiated_at_ms),
    }


def _row(record: dict[str, Any]) -> tuple[object, ...]:
    begun = str(record["initiated_at"])[:19].replace("T", " ")
    return record["id"], record["object"], record["parts"], size(record["size_bytes"]), begun, record["account"]


def _upload_id(text: str) -> UploadId:
    from sp.domain.ids import UploadId

    if not re.fullmatch(r"[0-7][0-9a-f]{15}", text):
        raise typer.BadParameter(f"{text!r} is no upload id: 16 hex digits")
    return UploadId(int(text, 16))
