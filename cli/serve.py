"""What `sp run` becomes: the services of one SP and nothing else in the process.

    python -m cli.serve CONFIG SERVICE... [--front N]

The libraries that read a command line and draw tables (typer, rich, pydantic) take 20 MB that an SP never uses again;
replacing the process leaves them behind. The process id stays, so whoever supervises `sp run` notices nothing.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from cli.fronts import BESIDE, beside, fronting
from sp.runtime.process import Runner, run_process


def runner_of(service: str) -> Runner:
    """The service's own `running`: its modules are loaded only where it runs."""
    runner: Runner = importlib.import_module(f"{service}.app").running
    return runner


def main() -> int:
    config, *services = sys.argv[1:]
    name, last = "", fronting(Path(config), services)
    if services[-2:-1] == [BESIDE]:
        *services, _, number = services
        name, last = f"front-{number}", beside
    return run_process(services, {each: runner_of(each) for each in services}, Path(config), name=name, last=last)


if __name__ == "__main__":
    sys.exit(main())
