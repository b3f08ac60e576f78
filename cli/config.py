"""`sp config`: what an SP will understand of its sp.toml and the environment, before it starts."""

from __future__ import annotations

import typer

from cli.options import Config, Dir, Sp
from cli.output import say

app = typer.Typer(no_args_is_help=True)


@app.command()
def dump(dir: Dir = None, sp: Sp = None, config: Config = None) -> None:
    """Print the effective configuration as TOML, defaults and environment included, passwords not."""
    from cli.context import Where, config_file
    from cli.sections import all_sections
    from sp.runtime import config as runtime

    say(runtime.dump(config_file(Where(dir, sp, config)), all_sections()).rstrip())


@app.command()
def check(dir: Dir = None, sp: Sp = None, config: Config = None) -> None:
    """Read every section as the services will; the first mistake is printed, and the exit code is 1."""
    from cli.context import Where, config_file
    from cli.sections import all_sections
    from sp.runtime import config as runtime

    file = config_file(Where(dir, sp, config))
    runtime.dump(file, all_sections())
    runtime.common(file)
    say(f"{file.path}: ok")
