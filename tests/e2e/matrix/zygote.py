"""Starting the network's processes by fork from one that has imported everything, so that a start costs tens of
milliseconds and not seconds of a core. Each is a process of its own all the same: forked before anything was opened or
any thread begun, in its own session, running `python -m MODULE ARGUMENTS` as its command line says.

`python -m tests.e2e.matrix.zygote` reads orders from stdin, one JSON object a line, and answers each with a pid. When
stdin ends, it kills what it has started and ends.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from tests.e2e.matrix import failpoints

SERVICES: Final = ("gateway", "uploader", "downloader", "tasknode", "receiver", "signer", "p2p")
_PRELOADED: Final = ("cli.run", "chain.dev.app", *(f"{service}.app" for service in SERVICES))


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
            "name": name,
            "arguments": arguments,
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
    for module in _PRELOADED:
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
            _become(order)
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


def _become(order: dict[str, Any]) -> NoReturn:
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.chdir(order["folder"])
        null = os.open(os.devnull, os.O_RDONLY)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for target, source in ((0, null), (1, log), (2, log)):
            os.dup2(source, target)
        os.environ.update(order["environ"])
        module, *arguments = order["arguments"]
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 1
    except BaseException:  # noqa: BLE001 - the last of this process
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
