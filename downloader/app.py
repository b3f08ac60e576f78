"""Wire the Downloader: the only file of this folder that names concrete parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chain.open import open_chain
from downloader.config import DownloaderConfig
from downloader.reading import SegmentReader
from downloader.rebuild import Rebuilder
from downloader.rpc import served
from downloader.service import DownloaderService
from piecestore.open import shared_piece_store
from receiver.client import open_receivers
from signer import client as signer
from sp.crypto.ec import best_kernel
from sp.runtime.ids import JobIds
from sp.runtime.limits import ByteBudget, Slots
from sp.runtime.parts import Parts
from sp.runtime.rpc import serving
from spdb.jobs import Jobs
from spdb.objects import Objects
from spdb.open import shared_database


@asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[DownloaderService]:
    """Serve until exit. `python -m downloader`, `sp run` and the cluster tests all enter here."""
    config = parts.file.section("downloader", DownloaderConfig)
    database = await shared_database(parts)
    pieces = await shared_piece_store(parts)
    jobs = Jobs(database, parts.clock, JobIds(parts.clock, parts.random).next)
    rebuilder = Rebuilder(
        pieces=pieces,
        jobs=jobs,
        chain=await open_chain(parts),
        signer=await signer.connect(parts),
        receivers=await open_receivers(parts),
        pool=parts.pool,
        kernel=best_kernel(),
        clock=parts.clock,
        budget=ByteBudget(config.rebuild_memory_bytes),
        piece_timeout_s=config.piece_timeout_s,
    )
    downloader = DownloaderService(
        Objects(database, parts.clock),
        jobs,
        SegmentReader(pieces, parts.pool),
        rebuilder,
        Slots("downloads", config.max_downloads),
    )
    endpoint, tls = parts.common.endpoint.downloader, parts.common.tls
    async with serving(endpoint, [served(downloader)], tls=tls) as address:
        parts.listens("downloader", address)
        parts.publish("downloader", downloader)
        try:
            yield downloader
        finally:
            await rebuilder.close()
