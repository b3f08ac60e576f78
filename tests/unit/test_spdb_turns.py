"""Processes that write one file take turns."""

import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest

from spdb.turns import Turns

ROUNDS = 300
WRITER = f"""
import sys, time
from pathlib import Path
from spdb.turns import Turns
path, mark = sys.argv[1:]
turns = Turns(path)
print("ready", flush=True)
sys.stdin.readline()
for _ in range({ROUNDS}):
    with turns.turn(), Path(path).open("a") as file:
        file.write(mark)
        time.sleep(0.0005)
"""
HOLDER = """
import sys
from spdb.turns import Turns
with Turns(sys.argv[1]).turn():
    print("mine", flush=True)
    sys.stdin.readline()
"""


def started(script: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", script, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


@pytest.mark.timeout(60)
def test_who_wants_every_turn_gets_every_second_one_while_another_waits(tmp_path: Path) -> None:
    path = tmp_path / "file"
    writers = [started(WRITER, str(path), mark) for mark in "ab"]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=50)
        assert writer.returncode == 0
    written = path.read_text()
    both = written[max(written.index("a"), written.index("b")) : min(written.rindex("a"), written.rindex("b")) + 1]
    in_a_row = [len(list(run)) for _, run in groupby(both)]
    assert len(both) > ROUNDS  # they ran beside each other
    assert sum(length > 1 for length in in_a_row) < len(in_a_row) / 10  # a writer may have been late by itself


@pytest.mark.timeout(60)
def test_the_turn_of_a_process_that_is_killed_is_over(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    holder = started(HOLDER, path)
    waiting = subprocess.Popen([sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(1.0)
    holder.kill()
    holder.communicate()
    out, _ = waiting.communicate(b"\n", timeout=30)
    assert out == b"mine\n"
    turns = Turns(path)
    with turns.turn():
        assert Path(f"{path}.turn").exists()
    turns.close()
