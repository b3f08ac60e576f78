"""`sp accounts`: chain accounts whose keys an SP's Signer keeps, each with an S3 access key."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from cli.options import Config, Dir, Json, Sp
from cli.output import instant, print_fields, print_json, print_table

if TYPE_CHECKING:
    from cli.context import Where
    from signer.client import CustodialAccount, Signer

app = typer.Typer(no_args_is_help=True)

T = TypeVar("T")

Name = Annotated[str, typer.Argument(metavar="NAME")]


@app.command()
def create(name: Name, dir: Dir = None, sp: Sp = None, config: Config = None, as_json: Json = False) -> None:
    """Make an account. Its secret access key is shown here, and never again."""
    from cli.context import Where, run

    account, secret = run(_asked(Where(dir, sp, config), lambda signer: signer.create_account(name)))
    record = {**_record(account), "secret_access_key": secret}
    if as_json:
        print_json(record)
    else:
        print_fields(record)


@app.command("list")
def list_accounts(dir: Dir = None, sp: Sp = None, config: Config = None, as_json: Json = False) -> None:
    """List the accounts that an SP keeps; no secrets."""
    from cli.context import Where, run

    records = [_record(a) for a in run(_asked(Where(dir, sp, config), lambda signer: signer.list_accounts()))]
    if as_json:
        print_json(records)
        return
    columns = ("name", "address", "access_key_id", "created_at")
    print_table(columns, (tuple(record[column] for column in columns) for record in records))


@app.command("import")
def import_account(
    name: Name,
    access_key_id: Annotated[str, typer.Option("--access-key-id")],
    dir: Dir = None,
    sp: Sp = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Keep an account that exists. Standard input brings its private key and its secret access key, one a line."""
    from cli.context import Where, run

    private_key, secret = _secrets_from_stdin()
    account = run(
        _asked(
            Where(dir, sp, config),
            lambda signer: signer.import_account(name, private_key, access_key_id, secret),
        )
    )
    if as_json:
        print_json(_record(account))
    else:
        print_fields(_record(account))


def _secrets_from_stdin() -> tuple[bytes, str]:
    """Not from options: any user of the machine can read another's command lines."""
    lines = sys.stdin.read().split()
    if len(lines) != 2:
        raise typer.BadParameter("two lines are expected on standard input: private key (hex), secret access key")
    try:
        return bytes.fromhex(lines[0].removeprefix("0x")), lines[1]
    except ValueError as error:
        raise typer.BadParameter("a private key is written in hex digits") from error


async def _asked(where: Where, question: Callable[[Signer], Awaitable[T]]) -> T:
    from cli.context import opened
    from signer.client import connect

    async with opened(where.config_path()) as parts:
        return await question(await connect(parts))


def _record(account: CustodialAccount) -> dict[str, Any]:
    return {
        "name": account.name,
        "address": account.address,
        "access_key_id": account.access_key_id,
        "created_at": instant(account.created_at_s * 1000),
    }
