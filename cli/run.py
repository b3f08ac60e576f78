"""`sp run`: any set of one SP's services in this process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cli.testnet.layout import SERVICES
from cli.testnet.processes import python


def run(
    config: Annotated[Path, typer.Option("--config", envvar="SP_CONFIG", help="Configuration of the SP.")] = Path(
        "sp.toml"
    ),
    services: Annotated[str, typer.Option("--services", help="Comma-separated.", show_default="all seven")] = ",".join(
        SERVICES
    ),
) -> None:
    """Run services of one SP in this process, until SIGTERM or Ctrl-C."""
    words = serving(config, chosen_services(services))
    os.execv(words[0], words)  # noqa: S606 - this interpreter on our own module


def serving(config: Path, services: Sequence[str]) -> tuple[str, ...]:
    """The command that this process becomes (see cli/serve.py)."""
    return python("cli.serve", str(config), *services)


def chosen_services(text: str) -> list[str]:
    """In starting order, whatever the order in `text`. typer.BadParameter for a service that there is not."""
    wanted = {name.strip() for name in text.split(",") if name.strip()}
    unknown = wanted - set(SERVICES)
    if unknown or not wanted:
        raise typer.BadParameter(f"no service {', '.join(sorted(unknown)) or 'named'}; there are {', '.join(SERVICES)}")
    return [name for name in SERVICES if name in wanted]
