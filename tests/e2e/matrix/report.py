"""docs/crash-matrix.md: the table, and every kill with what it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.e2e.matrix.cells import SERVICES, Cell, Row

_HEAD = """# The crash matrix

Real processes, killed with SIGKILL (once: frozen with SIGSTOP) between two durable side effects, started again, and
held to the promises of [design.md](design.md): whoever had an answer finds what was promised, the job ends in
SEAL_OBJECT_DONE or a broken upload is collected, the object reads back equal, and no piece, temporary file, row or
deletion is left over on any provider's disk.

```
make crash-matrix                                    # all of it, and this file anew
pytest -m 'not crash_matrix' tests/e2e/test_crash_matrix.py    # the few cells that `make test` has, too
pytest tests/e2e/test_crash_matrix.py -k 'SIGN_DOING and tasknode'
```

The network: sp0 as one process per service, sp1 to sp7 and the chain one process each, blocks of 150 ms, segments of
64 KiB. The cells of the receiver, and some of signer and p2p, kill sp0's process while sp0 is a secondary of an object
of sp1, or a whole other provider while sp0 is the primary. The process that died is started again at once.

How a process is made to die: [tests/e2e/matrix/failpoints.py](../tests/e2e/matrix/failpoints.py) wraps methods in
processes that the test itself has forked. Production code has no failpoints, so nothing of them can be left on, and
they cost nothing: a test holds it to that. What is killed inside a database transaction, or between two writes of one
piece, is not here but in `tests/contracts/test_spdb_power_loss.py`, `tests/contracts/test_spdb_database.py` and
`tests/unit/test_disk_store_power_loss.py` ([power-loss.md](power-loss.md)).

## What it found

A receiver logged the error "named for a group that is not whole", which calls an operator, though all was well: its
collector had read the row, then asked the chain, and the group was signed and sealed in between. The row is read again
before the alarm now (`receiver/chores.py`, `tests/unit/test_receiver_chores.py`); and no process of the matrix may log
an error or a trace.
"""


@dataclass(frozen=True, slots=True)
class Result:
    """died: the process; failure: "" when all promises held"""

    cell: Cell
    died: str
    seconds: float
    failure: str = ""


def page(results: Sequence[Result], day: str, seconds: float, orderly: int) -> str:
    held = sum(not result.failure for result in results)
    parts = [
        _HEAD,
        f"\n## The table\n\n{day}: {len(results)} cells in {seconds:.0f} s, {held} held, {len(results) - held} failed; "
        f"{orderly} processes at the end, all alive. A number is how many different points of that service were "
        "tried in that state; a dash: the service does nothing there.\n",
        _table(results),
        "\n## Every cell\n",
        _list(results),
    ]
    return "\n".join(parts)


def _table(results: Sequence[Result]) -> str:
    lines = [f"| under way | {' | '.join(SERVICES)} |", f"|---|{'---|' * len(SERVICES)}"]
    for row in Row:
        cells = []
        for service in SERVICES:
            here = [r for r in results if r.cell.row is row and r.cell.service == service]
            failed = sum(bool(r.failure) for r in here)
            cells.append("-" if not here else f"{len(here)} held" if not failed else f"{failed} of {len(here)} FAILED")
        lines.append(f"| {row.value} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _list(results: Sequence[Result]) -> str:
    lines = ["| under way | killed | where | client | s |", "|---|---|---|---|---|"]
    for result in results:
        cell = result.cell
        how = f"{result.died or cell.process}{' (frozen)' if cell.freeze else ''}"
        turn = f", time {cell.count}" if cell.count > 1 else ""
        text = f" with {cell.has.strip('[(')}" if cell.has else ""
        ending = f"{result.seconds:.1f}" if not result.failure else f"FAILED: {result.failure}"
        where = f"{cell.when} `{cell.point}`{text}{turn}"
        lines.append(f"| {cell.row.value} | {how} | {where} | {cell.scenario.value} | {ending} |")
    return "\n".join(lines) + "\n"
