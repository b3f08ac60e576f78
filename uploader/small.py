"""An object of one small segment: taken in whole, then row and payload in one durable transaction.

There is no job before that, hence no lease, nothing to abort and nothing to collect. A put that fails leaves a row that
says why, for whoever asks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from sp.domain.errors import ConditionalRequestConflict, PreconditionFailed
from sp.domain.integrity import integrity_hash, piece_checksum
from sp.domain.jobs import Job, PutOrder, StoredPayload
from sp.runtime.chunks import Gathered, Piece
from spdb.jobs import Jobs
from uploader.client import Trailing
from uploader.failing import recorded
from uploader.sizes import check_complete, check_root, check_size


def is_small(order: PutOrder, most_bytes: int) -> bool:
    """Whether it is known before the first byte that the payload is one segment, or none, of at most `most_bytes`."""
    size = order.payload_size
    return size is not None and most_bytes > 0 and size <= min(most_bytes, order.params.max_segment_size)


async def put_small(jobs: Jobs, order: PutOrder, body: AsyncIterator[Piece], trailing: Trailing, actor: str) -> Job:
    """The job, stored. See uploader.client.Uploader.put; the body is held in memory, never more than was declared."""
    assert order.payload_size is not None
    check_size(order, order.payload_size)

    async def record(reason: str) -> None:
        await jobs.refuse_small(order, reason, actor)

    try:
        payload = await _whole(order, body)
        checksums = (piece_checksum(payload),) if payload else ()
        root = integrity_hash(checksums)
        check_root(order, root)
        stored = StoredPayload(len(payload), root, checksums, trailing())
    except BaseException as failure:
        await recorded(failure, record)
        raise
    try:
        return await jobs.put_small(order, stored, payload, actor)
    except (PreconditionFailed, ConditionalRequestConflict) as failure:
        await recorded(failure, record)
        raise


async def _whole(order: PutOrder, body: AsyncIterator[Piece]) -> bytes:
    gathered = Gathered()
    async for chunk in body:
        check_size(order, gathered.size + len(chunk))
        gathered.add(chunk)
    check_complete(order, gathered.size)
    return gathered.joined()
