"""`sp testnet`: a network of processes below one folder."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from cli.options import DEFAULT_DIR, Json, NetworkDir
from cli.output import note, print_json, print_table, say
from cli.testnet import containers, layout
from cli.testnet.layout import CHAIN, Network

if TYPE_CHECKING:
    from cli.testnet.supervisor import Wanted

app = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="chain, sp0, ..., or sp0-SERVICE of a split SP.")]
Sps = Annotated[int | None, typer.Option("--sps", min=7, max=200, help="Number of SPs.", show_default="8, or as it is")]
Detach = Annotated[bool, typer.Option("--detach", help="Return when all is ready, and leave it running.")]
Split = Annotated[list[str] | None, typer.Option("--split", help="Run this SP as one process per service (repeat).")]
BlockInterval = Annotated[
    int | None, typer.Option("--block-interval-ms", min=10, help="Of the chain.", show_default="1000")
]
BasePort = Annotated[
    int | None, typer.Option("--base-port", min=1, max=65000, help="First TCP port.", show_default="free ones")
]
SegmentSize = Annotated[
    int | None, typer.Option("--max-segment-size", min=1, help="Bytes, in the genesis.", show_default="16777216")
]


@app.command()
def up(
    dir: NetworkDir = DEFAULT_DIR,
    detach: Detach = False,
    sps: Sps = None,
    split: Split = None,
    block_interval_ms: BlockInterval = None,
    base_port: BasePort = None,
    max_segment_size: SegmentSize = None,
) -> None:
    """Start a network: a chain and its SPs. A folder that has one already goes on with its data."""
    from cli.testnet.supervisor import Wanted

    wanted = Wanted(sps, frozenset(split or ()), block_interval_ms, base_port, max_segment_size)
    signal.signal(signal.SIGTERM, _interrupt)
    if detach:
        _up(dir, wanted)
    else:
        _in_foreground(dir, wanted)


@app.command()
def down(
    dir: NetworkDir = DEFAULT_DIR,
    remove: Annotated[bool, typer.Option("--remove", help="Delete the folder and all data in it.")] = False,
) -> None:
    """Stop the network. Its data stay, unless --remove says otherwise."""
    from cli.testnet.supervisor import remove_folders, stop_processes

    testnet = layout.load(dir)
    stopped = stop_processes(testnet, testnet.processes)
    if remove:
        remove_folders(testnet)
    say(f"{len(stopped)} processes stopped{', folder removed' if remove else ''}")


app.command("files")(containers.files)
app.command("account")(containers.account)


@app.command()
def start(name: Name, dir: NetworkDir = DEFAULT_DIR) -> None:
    """Start what does not run of the chain, an SP, or one of its services. Returns when it is ready."""
    from cli.testnet.supervisor import start_processes

    testnet = layout.load(dir)
    started = start_processes(testnet, testnet.processes_of(name))
    say(f"{name}: {len(started)} started" if started else f"{name}: runs already")


@app.command()
def stop(
    name: Name,
    dir: NetworkDir = DEFAULT_DIR,
    kill: Annotated[bool, typer.Option("--kill", help="SIGKILL instead of SIGTERM: no goodbye.")] = False,
) -> None:
    """Stop the chain, an SP, or one of its services. Returns when it has ended."""
    from cli.testnet.supervisor import stop_processes

    testnet = layout.load(dir)
    stopped = stop_processes(testnet, testnet.processes_of(name), kill=kill)
    say(f"{name}: {len(stopped)} {'killed' if kill else 'stopped'}" if stopped else f"{name}: did not run")


@app.command()
def status(dir: NetworkDir = DEFAULT_DIR, as_json: Json = False) -> None:
    """Which processes run. `sp status` asks them how they are."""
    from cli.testnet.supervisor import running_pids

    testnet = layout.load(dir)
    rows = [(name, running_pids(testnet, [name])) for name in testnet.processes]
    if as_json:
        print_json([{"name": name, "running": bool(pids), "pid": pids[0] if pids else None} for name, pids in rows])
        return
    print_table(
        ("name", "pid", "log"),
        ((name, pids[0] if pids else "stopped", testnet.log_path(name)) for name, pids in rows),
    )


@app.command()
def info(dir: NetworkDir = DEFAULT_DIR, as_json: Json = False) -> None:
    """Addresses, processes and the ready account, with its secrets."""
    testnet = layout.load(dir)
    if as_json:
        print_json(info_record(testnet))
    else:
        print_usage(testnet)


@app.command()
def demo(
    dir: Annotated[Path | None, typer.Option("--dir", help="Folder to use.", show_default="a temporary one")] = None,
    size_mib: Annotated[int, typer.Option("--size-mib", min=1, help="Size of the file that is put.")] = 64,
) -> None:
    """Start a network, put a file, watch it being sealed, lose a segment, read the file back, stop."""
    from cli.testnet.demo import run_demo

    signal.signal(signal.SIGTERM, _interrupt)
    run_demo(dir, size_mib)


def info_record(testnet: Network) -> dict[str, Any]:
    from dataclasses import asdict

    from cli.testnet.supervisor import running_pids

    sps = [
        {
            "name": sp.name,
            "gateway": sp.gateway,
            "operator_address": sp.operator_address,
            "dir": str(testnet.sp_dir(sp.name)),
            "pids": running_pids(testnet, sp.processes),
        }
        for sp in testnet.sps
    ]
    chain = {
        "address": testnet.chain_address,
        "block_interval_ms": testnet.block_interval_ms,
        "pids": running_pids(testnet, [CHAIN]),
    }
    return {"dir": str(testnet.dir), "chain": chain, "sps": sps, "account": asdict(testnet.account)}


def print_usage(testnet: Network) -> None:
    """How to use the network with any S3 client."""
    account, endpoint = testnet.account, testnet.sps[0].gateway
    print_table(("sp", "gateway", "operator"), ((sp.name, sp.gateway, sp.operator_address) for sp in testnet.sps))
    say(f"chain at {testnet.chain_address}, logs in {testnet.dir / 'log'}")
    say(f"account {account.name} {account.address}; for any S3 client:")
    say()
    say(f"export AWS_ACCESS_KEY_ID={account.access_key_id}")
    say(f"export AWS_SECRET_ACCESS_KEY={account.secret_access_key}")
    say(f"export AWS_DEFAULT_REGION={account.region}")
    say(f"export AWS_ENDPOINT_URL={endpoint}")
    say()
    say(f"sp mb --dir {testnet.dir} photos && sp put --dir {testnet.dir} --wait FILE photos/a.jpg")


def _up(dir: Path, wanted: Wanted) -> None:
    from cli.testnet.supervisor import up as start_all

    print_usage(start_all(dir, wanted, note))


def _in_foreground(dir: Path, wanted: Wanted) -> None:
    from cli.testnet.supervisor import stop_processes

    try:
        _up(dir, wanted)
        note("Ctrl-C stops it")
        while True:
            signal.pause()
    except KeyboardInterrupt:
        note("stopping")
    finally:
        if layout.exists(dir):
            testnet = layout.load(dir)
            stop_processes(testnet, testnet.processes)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM ends a command as Ctrl-C does: with what it has to clean up."""
    raise KeyboardInterrupt
