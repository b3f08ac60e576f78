"""What the micro-benchmarks share. `make bench-micro`; the files are named bench_*.py: no other run takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import uvloop


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """The loop that services run on."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as running:
        yield running
