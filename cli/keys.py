"""`sp keys`: the keystore of one SP, opened with its password file or SP_KEYSTORE_PASSWORD. Never a private key."""

from __future__ import annotations

import os
import secrets

import typer

from cli.options import Config, Dir, Json, Sp
from cli.output import print_fields, print_json

app = typer.Typer(no_args_is_help=True)


@app.command()
def show(dir: Dir = None, sp: Sp = None, config: Config = None, as_json: Json = False) -> None:
    """Print the addresses of the operator, funding, seal, approval and gc keys."""
    from dataclasses import asdict

    from cli.context import Where, config_file
    from signer import keystore
    from signer.config import SignerConfig

    file = config_file(Where(dir, sp, config))
    signer = file.section("signer", SignerConfig)
    password_file = file.path_of(signer.password_file) if signer.password_file else None
    opened = keystore.load(file.path_of(signer.keystore), password_file, os.environ)
    _print(asdict(opened.addresses), as_json)


@app.command()
def create(dir: Dir = None, sp: Sp = None, config: Config = None, as_json: Json = False) -> None:
    """Make the five keys of an SP that has none yet, and print their addresses."""
    from dataclasses import asdict

    from cli.context import Where, config_file
    from cli.secrets import password_of
    from signer.config import SignerConfig
    from signer.keystore import create_keystore

    file = config_file(Where(dir, sp, config))
    signer = file.section("signer", SignerConfig)
    password = password_of(file, signer)
    _print(asdict(create_keystore(file.path_of(signer.keystore), password, secrets.token_bytes)), as_json)


def _print(addresses: dict[str, str], as_json: bool) -> None:
    if as_json:
        print_json(addresses)
    else:
        print_fields(addresses)
