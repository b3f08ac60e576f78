"""`python -m SERVICE --config sp.toml`: one service alone in a process."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from sp.runtime.process import Runner, run_process


def service_main(service: str, running: Runner) -> NoReturn:
    """Parse the one option, run until told to stop, exit with the process's code."""
    parser = argparse.ArgumentParser(prog=f"python -m {service}", description=f"Run the {service} service of one SP.")
    parser.add_argument("--config", type=Path, default=Path("sp.toml"), help="configuration file (default: sp.toml)")
    sys.exit(run_process([service], {service: running}, parser.parse_args().config))
