"""From configuration to a store: the one place that knows every backend by name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from piecestore.config import PieceStoreConfig
from piecestore.disk import open_disk_store
from piecestore.memory import MemoryStore
from piecestore.notes import BlockNotes
from piecestore.store import PieceStore
from sp.runtime.parts import Parts


@asynccontextmanager
async def open_piece_store(
    config: PieceStoreConfig, pool: Executor | None = None, notes: BlockNotes | None = None
) -> AsyncIterator[PieceStore]:
    """The configured store, ready. Its blocking work runs in `pool` (None: the event loop's own, bounded one).
    notes: gets what is written, where the store notes it."""
    if config.backend == "memory":
        yield MemoryStore()
        return
    async with open_disk_store(Path(config.path), pool, direct_io=config.direct_io, notes=notes) as store:
        yield store


async def shared_piece_store(parts: Parts) -> PieceStore:
    """The store of this SP, opened once per process."""
    config = parts.file.section("piece_store", PieceStoreConfig)
    resolved = replace(config, path=str(parts.file.path_of(config.path)))
    notes = await shared_notes(parts)
    return await parts.once("piece_store", lambda: open_piece_store(resolved, parts.pool.executor, notes))


async def shared_notes(parts: Parts) -> BlockNotes:
    """What this process has hashed, for whoever reads it again."""
    return await parts.once("block_notes", lambda: nullcontext(BlockNotes()))
