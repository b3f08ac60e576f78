"""`sp run`: any set of one SP's services in this process."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.testnet.layout import SERVICES

if TYPE_CHECKING:
    from sp.runtime.process import Runner


def run(
    config: Annotated[Path, typer.Option("--config", envvar="SP_CONFIG", help="Configuration of the SP.")] = Path(
        "sp.toml"
    ),
    services: Annotated[str, typer.Option("--services", help="Comma-separated.", show_default="all seven")] = ",".join(
        SERVICES
    ),
) -> None:
    """Run services of one SP in this process, until SIGTERM or Ctrl-C."""
    chosen = chosen_services(services)
    from sp.runtime.process import run_process

    raise typer.Exit(run_process(chosen, {name: runner_of(name) for name in chosen}, config))


def chosen_services(text: str) -> list[str]:
    """In starting order, whatever the order in `text`. typer.BadParameter for a service that there is not."""
    wanted = {name.strip() for name in text.split(",") if name.strip()}
    unknown = wanted - set(SERVICES)
    if unknown or not wanted:
        raise typer.BadParameter(f"no service {', '.join(sorted(unknown)) or 'named'}; there are {', '.join(SERVICES)}")
    return [name for name in SERVICES if name in wanted]


def runner_of(service: str) -> Runner:
    """The service's own `running`: its modules are loaded only where it runs."""
    runner: Runner = importlib.import_module(f"{service}.app").running
    return runner
