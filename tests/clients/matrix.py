"""The table of docs/s3-clients.md: operation x client."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Final

OK: Final = "ok"
FAILED: Final = "**failed**"
NOT_RUN: Final = "not run"
NOT_OFFERED: Final = "–"

INTRODUCTION: Final = """# S3 clients

What real programs do on a running network of eight SPs, and whether every byte comes back. Written by `make clients`
(tests/clients); do not edit it by hand. `–`: the client has no such operation.
"""


Cell = tuple[str, str]
"""Operation, client."""


def page(
    cells: Mapping[Cell, bool], asked: Set[Cell], operations: list[str], clients: Mapping[str, str], day: str
) -> str:
    """Markdown. cells: whether it worked; asked: all there are; clients: versions by name, in the table's order."""
    header = ["operation", *clients]
    rows = [[operation, *(_cell((operation, name), cells, asked) for name in clients)] for operation in operations]
    versions = [f"| {name} | {version} |" for name, version in clients.items()]
    table = [_row(header), _row(["---"] * len(header)), *map(_row, rows)]
    total = f"{sum(cells.values())} of {len(asked)} work; run on {day}."
    return "\n".join([INTRODUCTION, total, "", *table, "", "| client | version |", "| --- | --- |", *versions, ""])


def _cell(of: Cell, cells: Mapping[Cell, bool], asked: Set[Cell]) -> str:
    if of not in cells:
        return NOT_RUN if of in asked else NOT_OFFERED
    return OK if cells[of] else FAILED


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
