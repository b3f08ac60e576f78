"""`sp objects`: what the chain and the primary say of one object, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Config, Dir, Json, Sp, bucket_and_name
from cli.output import print_fields, print_json, print_table, size

if TYPE_CHECKING:
    from chain.client import Chain
    from cli.context import Where
    from cli.records import Providers
    from sp.domain.contents import Content
    from sp.domain.ids import Address
    from sp.domain.jobs import Job, Secondary
    from sp.domain.ledger import ChainObject

app = typer.Typer(no_args_is_help=True)

_SHOWN = ("redundancy_index", "sp", "operator", "status", "state", "integrity_hash")
"""Of each secondary. status: what the chain says of that SP; one that leaves is replaced, see `sp exit status`."""


@app.callback()
def _group() -> None:
    """Stored objects."""


@app.command()
def show(
    target: Annotated[str, typer.Argument(metavar="BUCKET/KEY")],
    dir: Dir = None,
    sp: Sp = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show an object: status, integrity hashes, segments, and which SP holds which column."""
    from cli.context import Where, run

    bucket, name = bucket_and_name(target)
    record = run(_show(Where(dir, sp, config), bucket, name))
    if as_json:
        print_json(record)
    else:
        _print(record)


async def _show(where: Where, bucket: str, name: str) -> dict[str, Any]:
    from cli.context import connect_chain, opened_for_bucket
    from sp.domain.contents import content_of
    from tasknode import client as tasknode

    async with opened_for_bucket(where, bucket) as parts:
        node = await tasknode.connect(parts)
        detail = await node.get_job_of(bucket, name)
        chain = await connect_chain(parts)
        primary = (await chain.head_bucket(bucket)).primary_sp
        providers = await chain.storage_providers()
        on_chain = await _on_chain(chain, detail.job)
    content = content_of(on_chain, detail.job.version) if on_chain is not None else None
    return object_record(detail.job, detail.secondaries, content, primary, providers)


async def _on_chain(chain: Chain, job: Job) -> ChainObject | None:
    """None before the chain has a delegated object, and after it was deleted."""
    from sp.domain.errors import NoSuchObjectId

    if job.object_id is None:
        return None
    try:
        return await chain.head_object_by_id(job.object_id)
    except NoSuchObjectId:
        return None


def object_record(
    job: Job, secondaries: tuple[Secondary, ...], content: Content | None, primary: Address, providers: Providers
) -> dict[str, Any]:
    """`sp objects show --json`. content: this version as the chain has it, None where it does not know it."""
    from cli.records import current, secondary_record

    rows = [secondary_record(s, providers) for s in current(secondaries)]
    known = providers.get(primary)
    return {
        "bucket": job.bucket,
        "object": job.object_name,
        "status": object_status(job, content),
        "job_id": job.id,
        "job_state": job.state.name,
        "object_id": job.object_id,
        "version": job.version,
        "payload_size": job.payload_size,
        "primary": {"sp": known.moniker if known else primary, "operator": primary},
        "checksums": _checksums(job, rows, content),
        "secondaries": [{key: row[key] for key in _SHOWN} for row in rows],
        "segments": _segments(job),
        "tx_hash": job.tx_hash,
        "headers": job.headers,
    }


def object_status(job: Job, content: Content | None) -> str:
    """SEALED as the chain says; CREATED from the acknowledged put until then; UPLOADING, FAILED, DISCONTINUED."""
    from sp.domain.lifecycle import UPLOADING, JobState

    if content is not None and content.sealed:
        return "SEALED"
    if job.state in UPLOADING:
        return "UPLOADING"
    if job.state is JobState.UPLOAD_OBJECT_ERROR:
        return "FAILED"
    if job.state is JobState.OBJECT_DISCONTINUED or (job.state is JobState.SEAL_OBJECT_DONE and content is None):
        return "DISCONTINUED"
    return "CREATED"


def _checksums(job: Job, secondaries: list[dict[str, Any]], content: Content | None) -> list[str]:
    """The chain's integrity hashes [primary, column 0, ...]; of a delegated object that is not sealed, those known."""
    if content is not None and content.checksums:
        return [checksum.hex() for checksum in content.checksums]
    if job.root is None:
        return []
    hashes = [row["integrity_hash"] for row in secondaries]
    return [job.root.hex(), *(text for text in hashes if text is not None)]


def _segments(job: Job) -> list[dict[str, Any]]:
    from sp.domain.ids import SegmentIndex
    from sp.domain.segments import piece_size, segment_size

    if job.payload_size is None:
        return []
    sizes = [
        segment_size(job.payload_size, job.params.max_segment_size, SegmentIndex(index))
        for index in range(len(job.segment_checksums))
    ]
    return [
        {
            "index": index,
            "size": size_bytes,
            "checksum": checksum.hex(),
            "piece_size": piece_size(size_bytes, job.params.data_chunks),
        }
        for index, (size_bytes, checksum) in enumerate(zip(sizes, job.segment_checksums, strict=True))
    ]


def _print(record: dict[str, Any]) -> None:
    plain = {k: v for k, v in record.items() if not isinstance(v, list | dict)}
    print_fields({**plain, "primary": record["primary"]["sp"], "integrity_hash": (record["checksums"] or [""])[0]})
    print_table(
        ("column", "sp", "operator", "status", "state", "integrity hash"),
        (tuple(s[key] for key in _SHOWN) for s in record["secondaries"]),
        "secondaries",
    )
    print_table(
        ("segment", "size", "piece size", "sha256"),
        ((s["index"], size(s["size"]), size(s["piece_size"]), s["checksum"]) for s in record["segments"]),
        "segments",
    )
