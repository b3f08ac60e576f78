"""Streams of bytes that end when their reader does."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def closed_after(chunks: AsyncIterator[bytes | memoryview]) -> AsyncIterator[None]:
    """Close a generator at the end of the block, also when it was not read to its end."""
    try:
        yield
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
