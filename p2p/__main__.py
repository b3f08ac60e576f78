"""`python -m p2p --config sp.toml`"""

import argparse
import sys
from pathlib import Path

from sp.runtime.process import run_process

from p2p.app import running

parser = argparse.ArgumentParser(prog="python -m p2p", description="Ask and answer other storage providers.")
parser.add_argument("--config", type=Path, default=Path("sp.toml"))
sys.exit(run_process(["p2p"], {"p2p": running}, parser.parse_args().config))
