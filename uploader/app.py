"""Wire the Uploader: the only file of this folder that names concrete parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from piecestore.open import shared_piece_store
from sp.runtime.chores import Chore
from sp.runtime.ids import JobIds, actor_name
from sp.runtime.limits import Slots
from sp.runtime.parts import Parts
from sp.runtime.rpc import serving
from spdb.jobs import Jobs
from spdb.open import shared_database
from spdb.resumables import Resumables
from tasknode import client as tasknode
from uploader.chores import SegmentCollector
from uploader.config import UploaderConfig
from uploader.rpc import served
from uploader.service import UploaderService


@asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[UploaderService]:
    """Serve until exit. `python -m uploader`, `sp run` and the cluster tests all enter here."""
    config = parts.file.section("uploader", UploaderConfig)
    actor = actor_name("uploader", parts.random)
    pieces = await shared_piece_store(parts)
    database, new_job_id = await shared_database(parts), JobIds(parts.clock, parts.random).next
    jobs = Jobs(database, parts.clock, new_job_id)
    resumables = Resumables(database, parts.clock, new_job_id, config.resumable_keep_ms)
    slots = Slots("uploads", config.max_uploads)
    uploader = UploaderService(
        pieces, jobs, await tasknode.connect(parts), parts.clock, config, slots, actor, resumables
    )
    collector = SegmentCollector(pieces, jobs, parts.clock, config.keep_replaced_ms, config.keep_failed_ms, actor)
    endpoint, tls = parts.common.endpoint.uploader, parts.common.tls
    async with (
        serving(endpoint, [served(uploader)], tls=tls) as address,
        parts.chores(Chore("segment collector", config.collect_interval_s, collector.tick)),
    ):
        parts.listens("uploader", address)
        parts.publish("uploader", uploader)
        yield uploader
