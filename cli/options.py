"""Options that many commands share, and the names that they take apart."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

DEFAULT_DIR: Final = Path("testnet")

Dir = Annotated[
    Path | None,
    typer.Option("--dir", envvar="SP_TESTNET_DIR", help="Folder of the test network.", show_default="./testnet"),
]
NetworkDir = Annotated[Path, typer.Option("--dir", envvar="SP_TESTNET_DIR", help="Folder of the test network.")]
Sp = Annotated[
    str | None, typer.Option("--sp", help="SP of the test network.", show_default="the bucket's primary, or sp0")
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="The sp.toml of one SP, instead of a test network.",
        show_default="SP_CONFIG of the environment",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Endpoint = Annotated[
    str | None,
    typer.Option("--endpoint", help="Base URL of a gateway; keys from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."),
]


def bucket_and_name(text: str) -> tuple[str, str]:
    """BUCKET/KEY; typer.BadParameter for anything else. The key may hold slashes."""
    bucket, slash, object_name = text.removeprefix("s3://").partition("/")
    if not bucket or not slash or not object_name:
        raise typer.BadParameter(f"{text!r} is not BUCKET/KEY")
    return bucket, object_name
