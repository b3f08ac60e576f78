"""`sp peers`: the other providers as one SP sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Config, Dir, Json, Sp
from cli.output import instant, print_json, print_table, size

if TYPE_CHECKING:
    from cli.context import Where
    from p2p.client import Peer
    from sp.domain.ledger import StorageProvider


def peers(
    ping: Annotated[bool, typer.Option("--ping/--no-ping", help="Ask each now, or show what is remembered.")] = True,
    dir: Dir = None,
    sp: Sp = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List the other SPs: reachable, free space, approvals given and refused, frozen after failures."""
    from cli.context import Where, run

    rows = run(_list(Where(dir, sp, config), ping))
    if as_json:
        print_json(rows)
        return
    columns = ("sp", "status", "p2p endpoint", "reachable", "ping", "height", "free", "accepting", "given", "refused")
    print_table((*columns, "frozen"), (_row(row) for row in rows))


async def _list(where: Where, ping: bool) -> list[dict[str, Any]]:
    from cli.context import connect_chain, opened
    from p2p.client import connect

    async with opened(where.config_path()) as parts:
        providers = await (await connect_chain(parts)).storage_providers()
        peers = await (await connect(parts)).list_peers(ping)
    return [_record(peer, providers.get(peer.operator)) for peer in peers]


def _record(peer: Peer, provider: StorageProvider | None) -> dict[str, Any]:
    """status: as the chain says, for example GRACEFUL_EXITING"""
    from dataclasses import asdict

    record = asdict(peer)
    record["status"] = provider.status.name if provider is not None else "NOT_REGISTERED"
    record["frozen_until"] = instant(record.pop("frozen_until_ms"))
    return record


def _row(row: dict[str, Any]) -> tuple[object, ...]:
    return (
        row["moniker"] or row["operator"],
        row["status"],
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
