"""`sp peers`: the other providers as one SP sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Config, Dir, Json, Sp
from cli.output import instant, print_json, print_table, size

if TYPE_CHECKING:
    from cli.context import Where
    from p2p.client import Peer


def peers(
    ping: Annotated[bool, typer.Option("--ping/--no-ping", help="Ask each now, or show what is remembered.")] = True,
    dir: Dir = None,
    sp: Sp = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List the other SPs: reachable, free space, approvals given and refused, frozen after failures."""
    from cli.context import Where, run

    rows = [_record(peer) for peer in run(_list(Where(dir, sp, config), ping))]
    if as_json:
        print_json(rows)
        return
    columns = ("sp", "p2p endpoint", "reachable", "ping", "height", "free", "accepting", "given", "refused", "frozen")
    print_table(columns, (_row(row) for row in rows))


async def _list(where: Where, ping: bool) -> list[Peer]:
    from cli.context import opened
    from p2p.client import connect

    async with opened(where.config_path()) as parts:
        return await (await connect(parts)).list_peers(ping)


def _record(peer: Peer) -> dict[str, Any]:
    from dataclasses import asdict

    record = asdict(peer)
    record["frozen_until"] = instant(record.pop("frozen_until_ms"))
    return record


def _row(row: dict[str, Any]) -> tuple[object, ...]:
    return (
        row["moniker"] or row["operator"],
        row["p2p_endpoint"],
        row["reachable"],
        f"{row['ping_us'] / 1000:.1f} ms" if row["reachable"] else row["last_error"],
        row["height"],
        size(row["free_bytes"]),
        row["accepting"],
        row["approvals_given"],
        row["approvals_refused"],
        row["frozen_until"] or "",
    )
