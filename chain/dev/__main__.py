"""`python -m chain.dev --config chain.toml`"""

import argparse
import sys
from pathlib import Path

from chain.dev.app import NAME, running
from sp.runtime.process import run_process

parser = argparse.ArgumentParser(prog="python -m chain.dev", description="One node of the development chain.")
parser.add_argument("--config", type=Path, default=Path("chain.toml"))
sys.exit(run_process([NAME], {NAME: running}, parser.parse_args().config))
