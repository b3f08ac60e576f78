"""`sp audit`, `sp repair`, `sp recover`, `sp challenge`: is every byte there, make it so, prove it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Config, Dir, Json, Sp, bucket_and_name
from cli.output import note, print_fields, print_json, print_table, say, size
from cli.scrub_output import Names, finding_record, findings_table, object_table, progress_line, summary, tally_record

if TYPE_CHECKING:
    from cli.context import Where
    from sp.domain.challenges import Challenge
    from sp.domain.findings import Finding, ScrubOrder, Tally
    from sp.runtime.parts import Parts

Target = Annotated[str | None, typer.Argument(metavar="[BUCKET/KEY]", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="Everything that one SP holds, its own objects and others' pieces.")]
Here = Annotated[bool, typer.Option("--here", help="Of one object: only what this SP holds, not its secondaries.")]
ObjectPath = Annotated[str, typer.Argument(metavar="BUCKET/KEY")]
Restart = Annotated[bool, typer.Option("--restart", help="From the beginning, though an earlier run was interrupted.")]

recover = typer.Typer(no_args_is_help=True)


@recover.callback()
def _recover() -> None:
    """Bring back what an SP has lost with its disk, with or without its database."""


def audit(
    target: Target = None,
    everything: All = False,
    here: Here = False,
    dir: Dir = None,
    sp: Sp = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Verify one object at all its SPs, or everything that one SP holds. Exit code 1: something is not well."""
    from cli.context import Where

    _run(Where(dir, sp, config), _order(target, everything), here, as_json)


def repair(
    target: Target = None,
    everything: All = False,
    here: Here = False,
    dir: Dir = None,
    sp: Sp = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """`sp audit`, and make again what is damaged or missing. Exit code 1: something still is not well."""
    from cli.context import Where

    _run(Where(dir, sp, config), replace(_order(target, everything), repair=True, resume=True), here, as_json)


@recover.command("bucket")
def recover_bucket(
    bucket: Annotated[str, typer.Argument(metavar="NAME")],
    restart: Restart = False,
    dir: Dir = None,
    sp: Sp = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Bring back every lost or damaged segment of a bucket at its primary; at another SP (--sp): the pieces it keeps of
    it. What the database has lost, too, is known from the chain. A run that was interrupted goes on where it was; what
    cannot be had back is named, and the rest goes on. Exit code 1: something is still missing."""
    from cli.context import Where
    from sp.domain.findings import ScrubOrder

    order = ScrubOrder(bucket, repair=True, resume=not restart, recover=True)
    _run(Where(dir, sp, config), order, True, as_json)


@recover.command("object")
def recover_object(
    target: ObjectPath, dir: Dir = None, sp: Sp = None, config: Config = None, as_json: Json = False
) -> None:
    """Bring back every lost or damaged segment of an object at its primary; at another SP (--sp): the pieces it keeps
    of it. Exit code 1: something is still missing."""
    from cli.context import Where
    from sp.domain.findings import ScrubOrder

    order = ScrubOrder(*bucket_and_name(target), repair=True, recover=True)
    _run(Where(dir, sp, config), order, True, as_json)


@recover.command("all")
def recover_all(
    restart: Restart = False, dir: Dir = None, sp: Sp = None, config: Config = None, as_json: Json = False
) -> None:
    """Bring back everything that one SP had: its own objects, and the pieces it keeps for others."""
    from cli.context import Where
    from sp.domain.findings import ScrubOrder

    order = ScrubOrder(repair=True, resume=not restart, recover=True)
    _run(Where(dir, sp, config), order, True, as_json)


def challenge(
    target: ObjectPath,
    segment: Annotated[int, typer.Option("--segment", min=0, help="From 0.")] = 0,
    column: Annotated[
        int | None, typer.Option("--column", min=0, help="Of a secondary.", show_default="the primary's segment")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the piece to this file.")] = None,
    dir: Dir = None,
    sp: Sp = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Let an SP prove that it has a piece: the piece and its column's checksums, held against the chain."""
    from cli.context import Where, run
    from sp.domain.ids import PRIMARY, RedundancyIndex

    index = PRIMARY if column is None else RedundancyIndex(column)
    proof = run(_challenge(Where(dir, sp, config), *bucket_and_name(target), index, segment))
    if out is not None:
        out.write_bytes(proof.piece)
    record = {
        "object_id": proof.object_id,
        "version": proof.version,
        "redundancy_index": int(proof.redundancy_index),
        "segment": int(proof.segment),
        "piece_size": len(proof.piece),
        "piece_checksum": proof.checksums[proof.segment].hex(),
        "checksums": [checksum.hex() for checksum in proof.checksums],
        "integrity_hash": proof.root.hex(),
        "proved": True,
    }
    if as_json:
        print_json(record)
    else:
        print_fields({**record, "checksums": len(proof.checksums), "piece_size": size(len(proof.piece))})


def _order(target: str | None, everything: bool) -> ScrubOrder:
    from sp.domain.findings import ScrubOrder

    if (target is None) is not everything:
        raise typer.BadParameter("give BUCKET/KEY or --all")
    return ScrubOrder(*bucket_and_name(target)) if target is not None else ScrubOrder()


@dataclass(slots=True)
class _Outcome:
    findings: list[Finding] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)
    names: Names = field(default_factory=dict)

    @property
    def well(self) -> bool:
        return all(tally.well for tally in self.tallies)


def _run(where: Where, order: ScrubOrder, here: bool, as_json: bool) -> None:
    from cli.context import run

    outcome = run(_scrubbed(where, order, here))
    if as_json:
        print_json(
            {
                "well": outcome.well,
                "findings": [finding_record(finding, outcome.names) for finding in outcome.findings],
                "tally": tally_record(outcome.tallies),
            }
        )
    elif order.object_name:
        print_table(*object_table(outcome.findings, outcome.names))
    elif outcome.findings:
        print_table(*findings_table(outcome.findings, outcome.names))
    if not as_json:
        for finding in outcome.findings:
            if order.object_name and not finding.well:
                note(f"segment {finding.segment}, column {finding.redundancy_index}: {finding.reason}")
        say(summary(outcome.tallies))
    if not outcome.well:
        raise typer.Exit(1)


async def _scrubbed(where: Where, order: ScrubOrder, here: bool) -> _Outcome:
    outcome = _Outcome()
    async with _opened(where, order.bucket) as parts:
        from cli.context import connect_chain

        chain = await connect_chain(parts)
        outcome.names = {operator: sp.moniker for operator, sp in (await chain.storage_providers()).items()}
        for stream in await _streams(parts, order, here):
            last: Tally | None = None
            with progress_line() as show:
                async with aclosing(stream) as frames:
                    async for each in frames:
                        last = _taken(each, outcome, show) or last
            if last is not None:
                outcome.tallies.append(last)
    return outcome


def _taken(each: Finding | Tally, outcome: _Outcome, show: Callable[[Tally], None]) -> Tally | None:
    from sp.domain.findings import Tally

    if not isinstance(each, Tally):
        outcome.findings.append(each)
        return None
    show(each)
    return each


@asynccontextmanager
async def _opened(where: Where, bucket: str) -> AsyncIterator[Parts]:
    from cli.context import opened, opened_for_bucket

    async with opened_for_bucket(where, bucket) if bucket else opened(where.config_path()) as parts:
        yield parts


async def _streams(parts: Parts, order: ScrubOrder, here: bool) -> list[Any]:
    """What is to be asked of this SP. An object at its primary: its segments and, through it, its secondaries' pieces.
    At another SP: the pieces it holds of it. Everything: both roles."""
    from cli.context import connect_chain
    from downloader import client as downloader
    from receiver import client as receiver
    from signer import client as signer

    own, held = await downloader.connect(parts), await receiver.connect(parts)
    if not order.bucket:
        return [own.scrub(order), held.scrub(order)]
    chain = await connect_chain(parts)
    me = (await (await signer.connect(parts)).keys()).operator
    if (await chain.head_bucket(order.bucket)).primary_sp != me:
        return [held.scrub(order)]
    return [own.scrub(replace(order, everywhere=bool(order.object_name) and not here))]


async def _challenge(where: Where, bucket: str, name: str, index: int, segment: int) -> Challenge:
    from cli.context import connect_chain
    from downloader import client as downloader
    from receiver import client as receiver
    from sp.domain.ids import PRIMARY, RedundancyIndex, SegmentIndex
    from sp.domain.integrity import expected_for

    async with opened_for_column(where, bucket, name, index) as parts:
        found = await (await connect_chain(parts)).head_object(bucket, name)
        column, number = RedundancyIndex(index), SegmentIndex(segment)
        expected = expected_for(found.checksums, column)
        if column == PRIMARY:
            proof = await (await downloader.connect(parts)).challenge(found.id, column, number)
        else:
            proof = await (await receiver.connect(parts)).challenge(found.id, column, number)
        proof.check(expected)
    return proof


@asynccontextmanager
async def opened_for_column(where: Where, bucket: str, name: str, index: int) -> AsyncIterator[Parts]:
    """The chosen SP, or the one of the test network that the chain names for this column."""
    from cli.context import connect_chain, opened, opened_for_bucket
    from sp.domain.errors import NotForThisSp

    if where.chosen or index < 0:
        async with opened_for_bucket(where, bucket) as parts:
            yield parts
        return
    testnet = where.testnet()
    async with opened(where.config_path()) as any_parts:
        found = await (await connect_chain(any_parts)).head_object(bucket, name)
    operator = found.secondaries[index] if index < len(found.secondaries) else ""
    holder = testnet.sp_of_operator(operator)
    if holder is None:
        raise NotForThisSp(bucket, f"{operator or 'nobody'} (column {index})")
    async with opened(testnet.config_path(holder.name)) as parts:
        yield parts
