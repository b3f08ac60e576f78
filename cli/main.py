"""The `sp` command: puts the commands of this folder together, and turns errors into one line and an exit code.

Exit codes: 0, 1 the operation failed, 2 the command line is wrong, 130 interrupted.
Commands import what they need when they run, so that `sp --help` and completion stay quick.
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from cli import (
    accounts,
    certificates,
    chain,
    config,
    exiting,
    init,
    jobs,
    keys,
    objects,
    peers,
    run,
    scrub,
    status,
    transfer,
    uploads,
)
from cli.bench.commands import bench
from cli.output import note
from cli.testnet import commands as testnet
from sp.domain.errors import SpError


class Commands(TyperGroup):
    """Nobody sees a traceback of an error that says itself what is wrong."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SpError as error:
            note(f"error: {error}")
            raise typer.Exit(1) from error


app = typer.Typer(
    name="sp",
    cls=Commands,
    help="Run and operate BNB Greenfield storage providers.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("init")(init.init)
app.command("status")(status.status)
for command in (transfer.put, transfer.get, transfer.ls, transfer.rm, transfer.mb):
    app.command(command.__name__)(command)
app.add_typer(testnet.app, name="testnet", help="A whole network on this machine: a chain and its SPs.")
app.add_typer(objects.app, name="objects", help="Stored objects: where their pieces are, and what proves them.")
app.add_typer(jobs.app, name="jobs", help="Puts, from the first byte to the seal.")
app.add_typer(uploads.app, name="uploads", help="Multipart uploads that have not ended.")
app.command("peers")(peers.peers)
app.command("bench")(bench)
app.command("audit")(scrub.audit)
app.command("repair")(scrub.repair)
app.command("challenge")(scrub.challenge)
app.add_typer(scrub.recover, name="recover", help="Bring back what a primary has lost with a disk.")
app.add_typer(exiting.app, name="exit", help="Leave the network; who takes over what leaving SPs keep.")
app.add_typer(chain.app, name="chain", help="What the chain says.")
app.add_typer(accounts.app, name="accounts", help="Chain accounts whose keys an SP keeps for S3 users.")
app.add_typer(keys.app, name="keys", help="The five keys of an SP (public addresses only).")
app.command("certificates")(certificates.certificates)
app.add_typer(config.app, name="config", help="The configuration of an SP.")


def main() -> None:
    app(prog_name="sp")


if __name__ == "__main__":
    main()
