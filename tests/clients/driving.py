"""A driver that runs: one process of a library's interpreter that answers line by line (see drivers/serving.py)."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

END_TIMEOUT_S: Final = 10


class ClientFailed(Exception):
    """The command, its exit status if it ended, and what it said."""


class DriverProcess:
    """timeout_s: for one answer; a driver that takes longer is killed, and the next question starts another one."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path, timeout_s: float) -> None:
        self._start = (list(command), dict(environment), folder)
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, verb: str, *words: str) -> bytes:
        """ClientFailed with the driver's traceback, or when it ends or does not answer in time."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([verb, *words]).encode() + b"\n")
        process.stdin.flush()
        late = threading.Timer(self._timeout_s, process.kill)
        late.start()
        line = process.stdout.readline()
        late.cancel()
        if not line:
            status = process.wait(END_TIMEOUT_S)
            self._process = None
            raise ClientFailed(f"{self._start[0]} {verb}: ended (exit status {status}) in at most {self._timeout_s} s")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ClientFailed(f"{self._start[0]} {verb} {words}:\n{answer['error']}")
        return base64.b64decode(answer["said"])

    def end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate(timeout=END_TIMEOUT_S)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            command, environment, folder = self._start
            with (folder / "driver.log").open("ab") as log:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment, cwd=folder
                )
        return self._process
