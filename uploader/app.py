"""Wire the Uploader: the only file of this folder that names concrete parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from piecestore.open import shared_notes, shared_piece_store
from piecestore.small import WithSmallSegments
from piecestore.store import PieceStore
from sp.domain.ids import UploadId
from sp.runtime.chores import Chore
from sp.runtime.ids import JobIds, actor_name
from sp.runtime.parts import Parts
from sp.runtime.rpc import serving
from sp.runtime.tasks import Tasks
from spdb.jobs import Jobs
from spdb.multipart import MultipartUploads
from spdb.open import shared_database
from spdb.resumables import Resumables
from spdb.small_segments import SmallSegments
from tasknode import client as tasknode
from uploader.backlog import Backlog
from uploader.chores import SegmentCollector
from uploader.config import UploaderConfig
from uploader.hints import Hints
from uploader.multipart import rpc as multipart_rpc
from uploader.multipart.chores import PartCollector
from uploader.multipart.service import MultipartService
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
    admission, backlog = config.admission(), Backlog(jobs, config.max_queued_jobs)
    hints = Hints(await tasknode.connect(parts), parts.clock, config.notify_timeout_s)
    uploader = UploaderService(pieces, jobs, hints.tell, parts.clock, config, admission, backlog, actor, resumables)
    all_pieces = WithSmallSegments(pieces, SmallSegments(database))
    collector = SegmentCollector(all_pieces, jobs, parts.clock, config.keep_replaced_ms, config.keep_failed_ms, actor)
    uploads = MultipartUploads(database, parts.clock, lambda: UploadId(new_job_id()))
    part_collector = PartCollector(pieces, uploads, config.multipart_keep_ms, config.completed_keep_ms)
    endpoint, tls = parts.common.endpoint.uploader, parts.common.tls
    async with (
        hints.passed_on(),
        running_multipart(parts, config, pieces, uploads, uploader) as multipart,
        serving(endpoint, [served(uploader), multipart_rpc.served(multipart)], tls=tls) as address,
        parts.chores(
            Chore("segment collector", config.collect_interval_s, collector.tick),
            Chore("part collector", config.collect_interval_s, part_collector.tick),
            backlog.chore(),
        ),
    ):
        parts.listens("uploader", address)
        parts.publish("uploader", uploader)
        parts.publish("multipart", multipart)
        yield uploader


@asynccontextmanager
async def running_multipart(
    parts: Parts, config: UploaderConfig, pieces: PieceStore, uploads: MultipartUploads, uploader: UploaderService
) -> AsyncIterator[MultipartService]:
    """Completions under way end with it."""
    tasks = Tasks()
    try:
        yield MultipartService(
            pieces,
            uploads,
            uploader,
            parts.pool,
            parts.clock,
            config,
            uploader.admission,
            tasks,
            asyncio.Semaphore(config.max_completions),
            await shared_notes(parts),
        )
    finally:
        await tasks.close()
