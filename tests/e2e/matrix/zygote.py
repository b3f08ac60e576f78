"""The nursery of a network (cli.testnet.nursery) for the matrix: its processes have failpoints, and end with it.

`python -m tests.e2e.matrix.zygote` reads orders from stdin, one JSON object a line, and answers each with a pid. When
stdin ends, it kills what it has started and ends.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from cli.testnet.nursery import PRELOADED, become
from cli.testnet.processes import python
from tests.e2e.matrix import failpoints


class Zygote:
    """The test's side. Not for several threads at once."""

    def __init__(self, environ: Mapping[str, str], log: Path) -> None:
        command = [sys.executable, "-P", "-m", "tests.e2e.matrix.zygote"]
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, env=dict(environ), text=True
            )

    def start(
        self, name: str, arguments: tuple[str, ...], folder: Path, log: Path, ready: Path, more: Mapping[str, str]
    ) -> int:
        """The pid of a new process. arguments: what follows `python -m`"""
        order = {
            "start": python(*arguments),
            "folder": str(folder),
            "log": str(log),
            "environ": {**more, "SP_READY_FILE": str(ready), failpoints.PROCESS_VARIABLE: name},
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the zygote has ended: see its log"
        return int(answer)

    def close(self) -> None:
        """All processes end with it."""
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(60)


def main() -> None:
    for module in PRELOADED:
        importlib.import_module(module)
    failpoints.install()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks for exit codes: no zombies
    children: list[int] = []
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            become(order)
            return
        children.append(pid)
        print(pid, flush=True)
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            if _is_ours(pid):
                os.kill(pid, signal.SIGKILL)


def _is_ours(pid: int) -> bool:
    """A pid may have been given to a stranger after its process ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return int(stat.rpartition(")")[2].split()[1]) == os.getpid()


if __name__ == "__main__":
    main()
