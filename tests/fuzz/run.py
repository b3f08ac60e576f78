"""`make fuzz FUZZ_SECONDS=N [FUZZ_TARGETS="head auth"]`: all targets one after the other, and a table of what came out.

What an earlier run has learnt (.fuzz/corpus) is gone on from. Exit code 1 when something crashed, hung or ate memory.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fuzz.targets import HERE, TARGETS

WORK: Final = Path(".fuzz")
FINDINGS: Final = WORK / "findings"
_STAT = re.compile(r"^stat::(\w+):\s+(\d+)", re.MULTILINE)
_PROGRESS = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)/(\w+)")


@dataclass(frozen=True, slots=True)
class Outcome:
    """kinds: of crashes; ended: 0, or what libFuzzer stopped with (a hang, too much memory)"""

    name: str
    seconds: int
    executions: int
    branches: int
    corpus: str
    kinds: int
    ended: int


def fuzz(name: str, seconds: int) -> Outcome:
    learnt, artifacts = WORK / "corpus" / name, FINDINGS / name
    learnt.mkdir(parents=True, exist_ok=True)
    artifacts.mkdir(parents=True, exist_ok=True)
    known = [str(HERE / kind / name) for kind in ("corpus", "cases") if (HERE / kind / name).is_dir()]
    log = WORK / f"{name}.log"
    with log.open("wb") as output:
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "tests.fuzz.engine", name, str(learnt), *known),
                *(f"-max_total_time={seconds}", "-print_final_stats=1", "-timeout=20", "-rss_limit_mb=2048"),
                *("-max_len=4096", f"-dict={HERE / 'dictionary.txt'}", f"-artifact_prefix={artifacts}/"),
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "FUZZ_FINDINGS": str(FINDINGS)},
            check=False,
        ).returncode
    said = log.read_text(errors="replace")
    stats = {stat: int(value) for stat, value in _STAT.findall(said)}
    progress = _PROGRESS.findall(said) or [("0", "0", "0", "0b")]
    branches, _, files, size = progress[-1]
    return Outcome(
        name,
        seconds,
        stats.get("number_of_executed_units", 0),
        int(branches),
        f"{files}/{size}",
        said.count("\nFOUND "),
        ended,
    )


def main() -> int:
    names = sys.argv[1:] or list(TARGETS)
    seconds = max(1, int(os.environ.get("FUZZ_SECONDS", "300")) // len(names))
    print("| target | seconds | executions | branches | corpus | crashes |\n| --- | --- | --- | --- | --- | --- |")
    failed = False
    for name in names:
        outcome = fuzz(name, seconds)
        wrong = f"{outcome.kinds}" + (f", ended with {outcome.ended}" if outcome.ended else "")
        row = (name, outcome.seconds, f"{outcome.executions:,}", outcome.branches, outcome.corpus, wrong)
        print(f"| {' | '.join(map(str, row))} |", flush=True)
        failed = failed or bool(outcome.kinds or outcome.ended)
    if failed:
        print(f"inputs: {FINDINGS}/, what they raised: {WORK}/*.log", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
