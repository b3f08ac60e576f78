"""Take an object in by parts, each in a request of its own, in order: what a part has stored survives any restart.

The segments of an upload are those of its one job from the first part on, so the last part copies nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from piecestore.store import PieceStore
from sp.domain.errors import IntegrityMismatch, PartNotAligned, SpError
from sp.domain.ids import PRIMARY, Address, Checksum, JobId, SegmentIndex
from sp.domain.integrity import integrity_hash
from sp.domain.jobs import PutOrder, StoredPayload
from sp.domain.pieces import SegmentKey
from sp.runtime.admission import Admission
from sp.runtime.chunks import Piece
from sp.runtime.clock import Clock
from sp.runtime.leases import kept_lease
from sp.runtime.log import bound, get_logger
from sp.runtime.work import working
from spdb.resumables import Resumable, Resumables
from uploader.client import Part, PartReceipt, PutReceipt
from uploader.segments import SegmentCutter, delete_uncounted
from uploader.sizes import check_complete, check_size

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ResumableUploads:
    """actor: this process, as jobs' history names it; tell: the task node, of a job that is complete"""

    pieces: PieceStore
    resumables: Resumables
    clock: Clock
    admission: Admission
    hold_ms: int
    actor: str
    tell: Callable[[JobId], None]

    async def offset(self, bucket: str, object_name: str, account: Address) -> int | None:
        """See uploader.client.Uploader.resume_offset."""
        found = await self.resumables.find(bucket, object_name, account)
        return None if found is None else found.offset

    async def put(self, order: PutOrder, part: Part, body: AsyncIterator[Piece]) -> PartReceipt:
        """See uploader.client.Uploader.put_part_at."""
        if order.payload_size is not None:
            check_size(order, order.payload_size)
        with working(owner=order.account):
            async with self.admission.admitted(part.size):
                return await self._put(order, part, body)

    async def _put(self, order: PutOrder, part: Part, body: AsyncIterator[Piece]) -> PartReceipt:
        held = await self.resumables.take(order, part.offset, self.actor, self.hold_ms)
        with bound(job_id=held.job.id):
            try:
                receipt = await self._receive(held, order, part, body)
            except BaseException:
                await self._release(held)
                raise
        return receipt

    async def _receive(self, held: Resumable, order: PutOrder, part: Part, body: AsyncIterator[Piece]) -> PartReceipt:
        full = held.job.params.max_segment_size
        if part.size is not None:
            _check_part(order, held, part, part.size, full)
        await self._clear_behind(held.job.id, len(held.checksums))
        async with (
            kept_lease(held.job.id, lambda: self.resumables.renew(held, self.hold_ms), self.hold_ms, self.clock),
            SegmentCutter(self.pieces, held.job.id, full, first=len(held.checksums)) as cutter,
        ):
            async for chunk in body:
                check_size(order, held.offset + cutter.payload_size + len(chunk))
                await cutter.feed(chunk)
            _check_part(order, held, part, cutter.payload_size, full)
            checksums = await cutter.end()
            stored_bytes = held.offset + cutter.payload_size
            if not part.complete:
                await self.resumables.add(held, checksums)
                return PartReceipt(stored_bytes, None)
            return await self._complete(held, order, (*held.checksums, *checksums), stored_bytes)

    async def _complete(
        self, held: Resumable, order: PutOrder, checksums: tuple[Checksum, ...], payload_size: int
    ) -> PartReceipt:
        root = integrity_hash(checksums)
        if order.expected_root is not None and root != order.expected_root:
            mismatch = IntegrityMismatch(PRIMARY, order.expected_root.hex(), root.hex())
            await self.resumables.fail(held, str(mismatch), self.actor)
            raise mismatch
        job = await self.resumables.finish(held, StoredPayload(payload_size, root, checksums), self.actor)
        self.tell(job.id)
        return PartReceipt(payload_size, PutReceipt(job.id, payload_size, root, job.updated_at_ms))

    async def _clear_behind(self, job_id: JobId, first: int) -> None:
        """Remove what an attempt at this part left that was cut off."""
        await delete_uncounted(self.pieces, lambda index: SegmentKey(job_id, SegmentIndex(index)), first)

    async def _release(self, held: Resumable) -> None:
        """If even that fails, the end of the hold does it."""
        releasing = asyncio.ensure_future(self.resumables.release(held))
        try:
            await asyncio.shield(releasing)
        except asyncio.CancelledError:
            await asyncio.wait([releasing])
            raise
        except SpError as error:
            log.warning("part not released", job_id=held.job.id, error=str(error))


def _check_part(order: PutOrder, held: Resumable, part: Part, size: int, segment_size: int) -> None:
    """Before a byte is taken, as its head declares it, and after the last one, as it was."""
    check_size(order, held.offset + size)
    if part.complete:
        check_complete(order, held.offset + size)
    elif size % segment_size:
        raise PartNotAligned(size, segment_size)
