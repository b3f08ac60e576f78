"""Looks on at every deletion of a piece: what is live, and whole, is never deleted, not for a moment.

Live is a segment of a put that was acknowledged and is kept, and a piece of a column for which the chain names its
provider. Repairs alone may take such a piece away, to put the same bytes back (the disk had failed to read it).
"""

from __future__ import annotations

import hashlib
import sys
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from sqlalchemy import select

from sp.domain.ids import ObjectId
from sp.domain.ledger import ObjectStatus
from sp.domain.pieces import EcPieceKey, PieceKey, SegmentKey
from spdb.models.jobs import KEPT, jobs
from spdb.models.received import received
from spdb.statements.rows import split_checksums
from tests.sim.database import driver

if TYPE_CHECKING:
    from tests.sim.provider import SimProvider

REPAIRS = {("mending.py", "_write"), ("rebuild.py", "_write_back")}


def deleting(provider: SimProvider, key: PieceKey, piece: bytes) -> None:
    """A piece is about to go. Nothing counts any more once the world is wound down: processes that were killed long ago
    go on there, from what they had heard of the chain by then."""
    if provider.world.loop.draining:
        return
    provider.world.deletions += 1
    live = _live_segment(provider, key) if isinstance(key, SegmentKey) else _live_piece(provider, key)
    if live is None or hashlib.sha256(piece).digest() != live or _by_a_repair():
        return
    provider.world.mishaps.append(f"{key} at {provider.name} was deleted at {provider.world.loop.now_s:.3f}, alive")


def watch_rows(provider: SimProvider) -> None:
    """The same of segments that lie in SPDB: its own trigger tells of each that is about to go."""
    connection = driver(provider.spdb)
    connection.create_function("going", 3, partial(_row_going, provider))
    connection.execute(
        "CREATE TEMP TRIGGER going BEFORE DELETE ON main.small_segments BEGIN SELECT going(OLD.job_id, OLD.payload, "
        "(SELECT segment_checksums FROM jobs WHERE id = OLD.job_id AND collect = 0 AND stored_at_ms IS NOT NULL)); END"
    )


def _row_going(provider: SimProvider, job_id: int, payload: bytes, live: bytes | None) -> None:
    if provider.world.loop.draining:
        return
    provider.world.deletions += 1
    if live is not None and hashlib.sha256(payload).digest() == live and not _by_a_repair():
        at_s = provider.world.loop.now_s
        provider.world.mishaps.append(f"the row of job {job_id} at {provider.name} was deleted at {at_s:.3f}, alive")


def _live_segment(provider: SimProvider, key: SegmentKey) -> bytes | None:
    """Its checksum; None when it is garbage, or nothing is promised yet."""
    with provider.reading() as connection:
        row = connection.execute(select(jobs).where(jobs.c.id == key.job_id)).first()
    if row is None or row.collect != KEPT or row.stored_at_ms is None:
        return None
    checksums = split_checksums(row.segment_checksums)
    return checksums[key.segment] if key.segment < len(checksums) else None


def _live_piece(provider: SimProvider, key: PieceKey) -> bytes | None:
    if not isinstance(key, EcPieceKey):
        return None
    found = provider.world.node.state.objects.get(ObjectId(key.object_id))
    if found is None or found.status is not ObjectStatus.SEALED or found.version != key.version:
        return None
    if found.secondaries[key.column] != provider.operator:
        return None
    with provider.reading() as connection:
        row = connection.execute(
            select(received.c.piece_checksums).where(
                received.c.object_id == key.object_id,
                received.c.version == key.version,
                received.c.redundancy_index == int(key.column),
            )
        ).first()
    checksums = split_checksums(row.piece_checksums) if row is not None else ()
    return checksums[key.segment] if key.segment < len(checksums) else b"named on chain, and not signed for"


def _by_a_repair() -> bool:
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if (frame.f_code.co_filename.rpartition("/")[2], frame.f_code.co_name) in REPAIRS:
            return True
        frame = frame.f_back
    return False
