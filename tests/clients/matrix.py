"""The table of docs/s3-clients.md: operation x client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

OK: Final = "ok"
FAILED: Final = "**failed**"
NOT_OFFERED: Final = "–"

INTRODUCTION: Final = """# S3 clients

What real programs do on a running network of eight SPs, and whether every byte comes back. Written by `make clients`
(tests/clients); do not edit it by hand. `–`: the client has no such operation.
"""


def page(cells: Mapping[tuple[str, str], bool], operations: list[str], clients: Mapping[str, str], day: str) -> str:
    """Markdown. cells: by operation and client, whether it worked; clients: versions by name, in the table's order."""
    header = ["operation", *clients]
    rows = [[operation, *(_cell(cells, operation, name) for name in clients)] for operation in operations]
    versions = [f"| {name} | {version} |" for name, version in clients.items()]
    table = [_row(header), _row(["---"] * len(header)), *map(_row, rows)]
    total = f"{sum(cells.values())} of {len(cells)} work; run on {day}."
    return "\n".join([INTRODUCTION, total, "", *table, "", "| client | version |", "| --- | --- |", *versions, ""])


def _cell(cells: Mapping[tuple[str, str], bool], operation: str, client: str) -> str:
    worked = cells.get((operation, client))
    if worked is None:
        return NOT_OFFERED
    return OK if worked else FAILED


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
