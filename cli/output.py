"""What every command prints: a table for people, JSON for programs; both on stdout. Messages go to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Record = Mapping[str, Any]
"""One thing as JSON has it: str, int, float, bool, None, lists and mappings of them."""


def print_json(value: Record | Sequence[Record]) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """One line per row. Cells are text as it is: nothing in them is taken for markup."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    console().print(table)


def print_fields(record: Record, title: str = "") -> None:
    """Name and value, one below the other; what is empty is left out."""
    rows = [(name.replace("_", " "), value) for name, value in record.items() if value not in (None, "", [])]
    width = max((len(name) for name, _ in rows), default=0)
    if title:
        say(title)
    for name, value in rows:
        say(f"  {name:<{width}}  {_cell(value)}")


def say(line: str = "") -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def note(line: str) -> None:
    """For people only: to stderr, so that stdout stays what a program reads."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def console(stderr: bool = False) -> Any:
    """A rich Console on the stream as it is now; off a terminal it is as wide as its widest line needs."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else 240, highlight=False, soft_wrap=False)


def instant(unix_ms: int | None) -> str | None:
    """ISO 8601 in UTC with milliseconds; None for "never" (None or 0)."""
    if not unix_ms:
        return None
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock_time(unix_ms: int | None) -> str:
    """Time of day in UTC with milliseconds, for tables."""
    whole = instant(unix_ms)
    return whole[11:-1] if whole else ""


def size(size_bytes: int | None) -> str:
    """1536 -> "1.5 KiB"."""
    if size_bytes is None:
        return ""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    units = ("KiB", "MiB", "GiB", "TiB")
    exponent = min(len(units), (size_bytes.bit_length() - 1) // 10)
    return f"{size_bytes / 1024**exponent:.1f} {units[exponent - 1]}"


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
