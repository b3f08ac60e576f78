"""Starting a network's processes by fork from one that has imported everything: a start costs tens of milliseconds
instead of a second of a core for each, and what they have in common is in memory once.

Each is a process of its own all the same: forked before anything was opened or any thread begun, in a session of its
own, running and named as its command says. It outlives the nursery, which ends when its standard input does.

    python -m cli.testnet.nursery

reads orders from there, a JSON object a line: {"start": ...} is answered with a pid, {"ended": pid} with an exit code
when that process has ended.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import setproctitle

from cli.errors import ProcessFailed
from cli.testnet.layout import SERVICES
from cli.testnet.processes import READY_FILE_VARIABLE, Launch, Started, log_tail, python

PRELOADED: Final = ("cli.fronts", "chain.dev.app", *(f"{service}.app" for service in SERVICES))
"""All that cli.serve and chain.dev bring, but for the modules that are run."""


class Nursery:
    """The side of whoever starts processes; a context manager. Not for several threads at once.

    environ: of the processes; log: gets what goes wrong before one has its own
    """

    def __init__(self, environ: Mapping[str, str], log: Path) -> None:
        self._environ = dict(environ)
        self._log = log

    def __enter__(self) -> Nursery:
        self._log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter on our own module
                python("cli.testnet.nursery"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environ,
                start_new_session=True,  # no Ctrl-C of this terminal reaches it
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()

    def start(self, launch: Launch) -> Started:
        """ProcessFailed when there is no nursery to start it."""
        launch.log.parent.mkdir(parents=True, exist_ok=True)
        launch.ready.unlink(missing_ok=True)
        pid = self._ask(
            {
                "start": launch.command,
                "folder": str(launch.folder),
                "log": str(launch.log),
                "environ": {READY_FILE_VARIABLE: str(launch.ready)},
            }
        )
        return Started(launch, pid, partial(self._ask, {"ended": pid}))

    def _ask(self, order: Mapping[str, object]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        if not answer:
            why = f"ended with exit code {self._process.wait()}"
            raise ProcessFailed("the nursery", why, str(self._log), log_tail(self._log))
        return int(answer)


def main() -> None:
    for module in PRELOADED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # so that no child's collector writes into what they share
    for line in sys.stdin:
        order = json.loads(line)
        if "ended" in order:
            _, status = os.waitpid(order["ended"], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        pid = os.fork()
        if not pid:
            become(order)
            return
        print(pid, flush=True)


def become(order: dict[str, Any]) -> None:
    """In a child: run the command of an order to its end. What the command raises, SystemExit above all, comes out."""
    os.setsid()
    os.chdir(order["folder"])
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for target, source in ((0, null), (1, log), (2, log)):
        os.dup2(source, target)
    os.close(null)
    os.close(log)
    os.environ.update(order["environ"])
    command: list[str] = order["start"]
    setproctitle.setproctitle(" ".join(command))
    module, *arguments = command[len(python()) :]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
