"""Wire the Downloader: the only file of this folder that names concrete parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chain.open import open_chain
from downloader.auditing import ObjectAuditor
from downloader.checking import SegmentChecker
from downloader.config import DownloaderConfig
from downloader.inspecting import Inspector
from downloader.reading import SegmentReader
from downloader.rebuild import Rebuilder
from downloader.recovering import ObjectRecoverer
from downloader.rpc import served
from downloader.scrub import CHORE, SegmentScrubber
from downloader.service import DownloaderService
from piecestore.open import shared_notes, shared_piece_store
from piecestore.small import WithSmallSegments
from receiver import client as receiver
from receiver.client import Gatherer, Prover, open_receivers
from signer import client as signer
from sp.crypto.ec import best_kernel
from sp.runtime.ids import JobIds, actor_name
from sp.runtime.limits import ByteBudget, Slots
from sp.runtime.pace import Pace
from sp.runtime.parts import Parts
from sp.runtime.rpc import serving
from spdb.cursors import Cursors
from spdb.jobs import Jobs
from spdb.objects import Objects
from spdb.open import shared_database
from spdb.passes import Passes
from spdb.small_segments import SmallSegments

MAX_ORDERS = 2
"""Checks that operators wait for, at once."""


@asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[DownloaderService]:
    """Serve until exit. `python -m downloader`, `sp run` and the cluster tests all enter here."""
    config = parts.file.section("downloader", DownloaderConfig)
    database = await shared_database(parts)
    pieces = WithSmallSegments(await shared_piece_store(parts), SmallSegments(database))
    jobs = Jobs(database, parts.clock, JobIds(parts.clock, parts.random).next)
    chain, signatures = await open_chain(parts), await signer.connect(parts)
    gatherer = Gatherer(signatures, await open_receivers(parts), parts.pool, parts.clock, config.piece_timeout_s)
    budget = ByteBudget(config.rebuild_memory_bytes, "segments being rebuilt, bytes")
    rebuilder = Rebuilder(pieces, jobs, chain, gatherer, best_kernel(), budget)
    read_ahead = ByteBudget(config.read_memory_bytes, "segments read ahead, bytes")
    reader = SegmentReader(pieces, read_ahead, await shared_notes(parts))
    objects, cursors = Objects(database, parts.clock), Cursors(database)
    checker = SegmentChecker(reader, rebuilder, signatures)
    auditor = ObjectAuditor(pieces, checker, rebuilder, gatherer, parts.pool, parts.clock)
    orders = Slots("checks on order", MAX_ORDERS)
    recoverer = ObjectRecoverer(
        chain,
        pieces,
        jobs,
        objects,
        signatures,
        Prover(gatherer, best_kernel()),
        budget,
        parts.clock,
        actor_name("recovery", parts.random),
    )
    inspector = Inspector(
        jobs, objects, checker, auditor, cursors, parts.clock, orders, config.checks_at_once, recoverer
    )
    downloads = Slots("downloads", config.max_downloads)
    own_receiver = await receiver.connect(parts)
    downloader = DownloaderService(objects, reader, rebuilder, downloads, chain, own_receiver, inspector)
    endpoint, tls = parts.common.endpoint.downloader, parts.common.tls
    async with serving(endpoint, [served(downloader)], tls=tls) as address, scrubbing(parts, config, checker, cursors):
        parts.listens("downloader", address)
        parts.publish("downloader", downloader)
        try:
            yield downloader
        finally:
            await rebuilder.close()


@asynccontextmanager
async def scrubbing(
    parts: Parts, config: DownloaderConfig, checker: SegmentChecker, cursors: Cursors
) -> AsyncIterator[None]:
    """The scrubber, where the configuration wants one."""
    if not config.scrub_bytes_per_s:
        yield
        return
    passes = Passes(cursors, parts.clock, CHORE, int(config.scrub_pause_s * 1000))
    pace = Pace(config.scrub_bytes_per_s, parts.clock, parts.pool.busy)
    jobs, actor = checker.rebuilder.jobs, actor_name("scrubber", parts.random)
    scrubber = SegmentScrubber(jobs, checker, passes, pace, parts.clock, actor)
    await scrubber.tell_last_pass()
    try:
        async with parts.chores(scrubber.chore()):
            yield
    finally:
        await passes.release()
