"""`sp chain`: what the chain says, and the genesis of a development chain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Config, Dir, Json, Sp
from cli.output import instant, print_fields, print_json, print_table, say

if TYPE_CHECKING:
    from cli.context import Where
    from sp.domain.ids import TxHash

app = typer.Typer(no_args_is_help=True)


@app.command()
def status(dir: Dir = None, sp: Sp = None, config: Config = None, as_json: Json = False) -> None:
    """Show the chain's id, its newest block, and the registered SPs."""
    from cli.context import Where, run

    record = run(_status(Where(dir, sp, config)))
    if as_json:
        print_json(record)
        return
    print_fields({key: value for key, value in record.items() if key != "providers"})
    columns = ("id", "sp", "status", "operator", "gateway", "p2p", "receiver")
    names = ("id", "moniker", "status", "operator", "endpoint", "p2p_endpoint", "receiver_endpoint")
    print_table(columns, (tuple(provider[name] for name in names) for provider in record["providers"]))


@app.command()
def params(dir: Dir = None, sp: Sp = None, config: Config = None, as_json: Json = False) -> None:
    """Show the storage parameters that are valid now."""
    from cli.context import Where, run

    record = run(_params(Where(dir, sp, config)))
    if as_json:
        print_json(record)
    else:
        print_fields(record)


@app.command()
def tx(
    tx_hash: Annotated[str, typer.Argument(metavar="HASH", help="64 hex digits.")],
    dir: Dir = None,
    sp: Sp = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show what became of a transaction. Fails when it is in no block."""
    from cli.context import Where, run
    from sp.domain.ids import TxHash

    digits = tx_hash.lower().removeprefix("0x")
    if len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
        raise typer.BadParameter("a transaction's hash has 64 hex digits")
    record = run(_tx(Where(dir, sp, config), TxHash(digits)))
    if as_json:
        print_json(record)
    else:
        print_fields(record)


@app.command()
def genesis(
    providers: Annotated[list[Path], typer.Argument(metavar="SP_DIR...", help="Made by `sp init`.")],
    dir: Annotated[Path, typer.Option("--dir", help="Folder of the chain; made if missing.")],
    authority: Annotated[
        str, typer.Option("--authority", help="Account that may change parameters.", show_default="the first SP's")
    ] = "",
    listen: Annotated[str, typer.Option("--listen", help="host:port of the chain.")] = "127.0.0.1:9090",
    block_interval_ms: Annotated[int, typer.Option("--block-interval-ms", min=10)] = 1000,
    max_segment_size: Annotated[int, typer.Option("--max-segment-size", min=1)] = 16_777_216,
) -> None:
    """Make the folder of a development chain on which these SPs are registered: `python -m chain.dev --config ...`."""
    from chain.dev.genesis import Genesis
    from cli.sp_files import read_provider
    from cli.testnet.making import write_chain
    from sp.domain.addresses import parse_address
    from sp.domain.params import StorageParams

    registered = tuple(read_provider(path) for path in providers)
    chief = parse_address(authority) if authority else registered[0].operator
    write_chain(
        dir,
        Genesis(chief, params=StorageParams(max_segment_size=max_segment_size), providers=registered),
        listen,
        block_interval_ms,
    )
    say(f"{dir}: genesis.json with {len(registered)} SPs, chain.toml")


async def _status(where: Where) -> dict[str, Any]:
    from dataclasses import asdict

    from chain.config import ChainConfig
    from cli.context import connect_chain, opened

    async with opened(where.config_path()) as parts:
        chain = await connect_chain(parts)
        block = await chain.latest_block()
        providers = await chain.storage_providers()
        return {
            "chain_id": await chain.chain_id(),
            "address": parts.file.section("chain", ChainConfig).address,
            "height": block.height,
            "block_time": instant(block.time_s * 1000),
            "providers": [{**asdict(p), "status": p.status.name} for p in providers.values()],
        }


async def _params(where: Where) -> dict[str, Any]:
    from dataclasses import asdict

    from cli.context import connect_chain, opened

    async with opened(where.config_path()) as parts:
        chain = await connect_chain(parts)
        return asdict(await chain.params_at((await chain.latest_block()).time_s))


async def _tx(where: Where, tx_hash: TxHash) -> dict[str, Any]:
    from dataclasses import asdict

    from cli.context import connect_chain, opened

    async with opened(where.config_path()) as parts:
        chain = await connect_chain(parts)
        height = (await chain.latest_block()).height
        return asdict(await chain.wait_tx(tx_hash, height))
