"""`python -m signer --config sp.toml`"""

import argparse
import sys
from pathlib import Path

from sp.runtime.process import run_process

from signer.app import running

parser = argparse.ArgumentParser(prog="python -m signer", description="Hold the keys of one storage provider.")
parser.add_argument("--config", type=Path, default=Path("sp.toml"))
sys.exit(run_process(["signer"], {"signer": running}, parser.parse_args().config))
