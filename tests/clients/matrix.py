"""docs/s3-clients.md: the tables operation x client, and what stands behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.clients.installs import CannotInstall
from tests.clients.names import ODD_NAMES
from tests.clients.operations import OPERATIONS, Operation
from tests.clients.program import Client

OK: Final = "ok"
FAILED: Final = "**failed**"
NOT_RUN: Final = "not run"
NOT_OFFERED: Final = "–"

INTRODUCTION: Final = """# S3 clients

What real programs do on a running network of eight SPs, and whether every byte comes back. Written by `make clients`
(tests/clients); do not edit it by hand. `–`: the client has no such operation. `no`: the client itself does not do it,
see below; the run proves that, too.
"""

HOW: Final = """
- *100 MB in parts*: through a relay that resets the connection half-way through one part and answers `503 SlowDown` to
  another; the client's own retries finish the upload. (Of HTTPS the relay sees nothing: it resets one connection.)
- *list*: 2,500 keys, with 1,200 common prefixes under one of their folders.
- *every checksum*: CRC32, CRC32C, CRC64NVME, SHA-1 and SHA-256, of one put and of parts, composite and full object.
- *over HTTPS*: at a gateway with a certificate. boto3 and others frame bodies with trailers there and not over HTTP.
- *mount*: with FUSE; written, read, renamed and deleted as files, and looked at from outside.
"""

NAMES: Final = """
## Object names

Each is put, got, listed, headed and deleted by the client, and looked at from outside under exactly that name.
"""

Cell = tuple[str, str]
"""Operation, client."""


@dataclass(slots=True)
class Report:
    """asked: the client of every cell that the run has, in the table's order; said: what stands in those that ran."""

    asked: dict[Cell, type[Client]] = field(default_factory=dict)
    _said: dict[Cell, str] = field(default_factory=dict)

    def note(self, cell: Cell, *, failed: bool, said: str) -> None:
        """One phase of a test: failed once is failed."""
        if failed:
            self._said[cell] = FAILED
        elif self._said.get(cell) != FAILED:
            self._said[cell] = said or self._said.get(cell, OK)

    def shown(self, cell: Cell) -> str:
        return self._said.get(cell, NOT_RUN) if cell in self.asked else NOT_OFFERED

    def clients(self) -> list[type[Client]]:
        return list(dict.fromkeys(self.asked.values()))

    def count(self, word: str) -> int:
        return sum(self.shown(cell) == word for cell in self.asked)


def page(report: Report, day: str) -> str:
    """Markdown."""
    clients = report.clients()
    words = ((OK, "work"), (FAILED, "fail"), ("no", "are not the client's to do"), (NOT_RUN, "were not run"))
    counts = ", ".join(f"{count} {verb}" for word, verb in words if (count := report.count(word)))
    return "\n".join(
        (
            INTRODUCTION,
            f"Of {len(report.asked)}: {counts}. Run on {day}.",
            "",
            *_table(report, OPERATIONS, clients, "operation"),
            HOW.rstrip(),
            NAMES,
            *_table(report, ODD_NAMES, clients, "name"),
            "",
            "## What clients do not do",
            "",
            *(f"- {client.name}, {title}: {why}" for client in clients for title, why in client.cannot.items()),
            "",
            "## Versions",
            "",
            *_versions(clients),
            "",
        )
    )


def _table(report: Report, rows: Sequence[Operation], clients: Sequence[type[Client]], corner: str) -> list[str]:
    """Clients that have none of the rows are left out."""
    having = [client for client in clients if any((row.title, client.name) in report.asked for row in rows)]
    lines = [[row.title, *(report.shown((row.title, client.name)) for client in having)] for row in rows]
    return [_row([corner, *(client.name for client in having)]), _row(["---"] * (1 + len(having))), *map(_row, lines)]


def _versions(clients: Sequence[type[Client]]) -> list[str]:
    return ["| client | version |", "| --- | --- |", *(_row([client.name, _version(client)]) for client in clients)]


def _version(client: type[Client]) -> str:
    try:
        return client.package.shown
    except CannotInstall as missing:
        return str(missing)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
