"""Whole processes, started and stopped as operators do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import asyncio, os, sys
from contextlib import asynccontextmanager
from pathlib import Path
from sp.domain.errors import KeystoreLocked
from sp.runtime.process import run_process
from sp.runtime.rpc import serving

def say(text):
    print(text, flush=True)

@asynccontextmanager
async def plain(parts):
    async with serving("127.0.0.1:0", []) as address:
        parts.listens("plain", address)
        say("plain up")
        try:
            yield object()
        finally:
            say("plain down")

@asynccontextmanager
async def second(parts):
    say("second up")
    yield object()
    say("second down")

@asynccontextmanager
async def locked(parts):
    raise KeystoreLocked("keys.json")
    yield

@asynccontextmanager
async def broken(parts):
    raise KeyError("mistake in start")
    yield

@asynccontextmanager
async def crashing(parts):
    async def crash():
        raise KeyError("mistake in task")
    parts.spawn(crash(), "the crashing task")
    yield object()

@asynccontextmanager
async def slow_start(parts):
    say("starting")
    await asyncio.Event().wait()
    yield object()

@asynccontextmanager
async def stuck_stop(parts):
    yield object()
    say("stuck")
    await asyncio.Event().wait()

@asynccontextmanager
async def uses_uvloop(parts):
    say(type(asyncio.get_running_loop()).__module__)
    parts.stopping.set()
    yield object()

sys.exit(run_process(sys.argv[2:], {f.__name__: f for f in (
    plain, second, locked, broken, crashing, slow_start, stuck_stop, uses_uvloop)}, Path(sys.argv[1])))
"""


@contextmanager
def process(tmp_path: Path, *services: str, config: str = "", **environ: str) -> Iterator[subprocess.Popen[str]]:
    program, toml = tmp_path / "program.py", tmp_path / "sp.toml"
    program.write_text(PROGRAM)
    toml.write_text("[log]\nformat = 'json'\n" + config)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environ}
    with subprocess.Popen(
        [sys.executable, str(program), str(toml), *services],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def logged(stderr: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stderr.splitlines()]


def line_with(running: subprocess.Popen[str], event: str) -> dict[str, Any]:
    assert running.stderr is not None
    for line in running.stderr:
        parsed: dict[str, Any] = json.loads(line)
        if parsed["event"] == event:
            return parsed
    raise AssertionError(f"ended without {event}")


def test_a_process_says_that_it_is_ready_and_stops_in_reverse_order(tmp_path: Path) -> None:
    ready_file = tmp_path / "ready"
    monitor = "[monitor]\naddress = '127.0.0.1:0'"
    with process(tmp_path, "plain", "second", config=monitor, SP_READY_FILE=str(ready_file)) as running:
        ready = line_with(running, "ready")
        assert ready["services"] == ["plain", "second"]
        assert ready["addresses"]["plain"].startswith("127.0.0.1:")
        assert sorted(ready["addresses"]) == ["monitor", "plain"]
        running.send_signal(signal.SIGTERM)
        out, err = running.communicate(timeout=30)
        assert running.returncode == 0
    assert out.split("\n")[:-1] == ["plain up", "second up", "second down", "plain down"]
    assert [line["event"] for line in logged(err)] == ["told to stop", "stopping", "stopped"]
    first, *addresses = ready_file.read_text().splitlines()
    assert first == "ready"
    assert dict(line.split(" ") for line in addresses) == ready["addresses"]


def test_a_wrong_configuration_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    with process(tmp_path, "plain", config="[endpoint]\nuploadr = 'x'") as running:
        out, err = running.communicate(timeout=30)
        assert running.returncode == 1
    assert out == ""
    assert err.count("\n") == 1
    assert "uploadr" in err


def test_an_unknown_service_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    with process(tmp_path, "plian") as running:
        _, err = running.communicate(timeout=30)
        assert running.returncode == 1
    assert err.count("\n") == 1
    assert "plian" in err


def test_a_service_that_cannot_start_is_one_line_and_the_others_are_stopped(tmp_path: Path) -> None:
    with process(tmp_path, "plain", "locked") as running:
        out, err = running.communicate(timeout=30)
        assert running.returncode == 1
    (line,) = logged(err)
    assert line["error"] == "KeystoreLocked"
    assert "exception" not in line
    assert out.split() == ["plain", "up", "plain", "down"]


def test_a_mistake_at_the_start_is_exit_code_1_with_its_trace(tmp_path: Path) -> None:
    with process(tmp_path, "broken") as running:
        _, err = running.communicate(timeout=30)
        assert running.returncode == 1
    assert "mistake in start" in logged(err)[-1]["exception"]


def test_a_crashed_task_stops_the_process_with_exit_code_1_and_its_trace(tmp_path: Path) -> None:
    with process(tmp_path, "plain", "crashing") as running:
        out, err = running.communicate(timeout=30)
        assert running.returncode == 1
    (crash,) = [line for line in logged(err) if line["event"] == "task failed"]
    assert crash["task"] == "the crashing task"
    assert "mistake in task" in crash["exception"]
    assert out.split("\n")[:-1] == ["plain up", "plain down"]


def test_a_signal_during_the_start_ends_it(tmp_path: Path) -> None:
    with process(tmp_path, "plain", "slow_start") as running:
        assert running.stdout is not None
        assert [running.stdout.readline() for _ in range(2)] == ["plain up\n", "starting\n"]
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
        assert running.returncode == 0
    assert out == "plain down\n"
    assert "ready" not in [line["event"] for line in logged(err)]


def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    with process(tmp_path, "stuck_stop") as running:
        line_with(running, "ready")
        running.send_signal(signal.SIGTERM)
        assert running.stdout is not None
        assert running.stdout.readline() == "stuck\n"
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=30) == 128 + signal.SIGTERM


def test_the_loop_is_uvloops(tmp_path: Path) -> None:
    with process(tmp_path, "uses_uvloop") as running:
        out, _ = running.communicate(timeout=30)
        assert running.returncode == 0
    assert out == "uvloop\n"
