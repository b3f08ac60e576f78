"""Rebuilding a lost or damaged segment from the secondaries, and writing it back.

What the secondaries send is hostile until the rebuilt segment has the checksum that was recorded when the segment was
stored. One lying secondary is found by trying other sets of k columns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations

from chain.client import Chain
from piecestore.store import PieceStore
from receiver.client import Receivers
from signer.client import Signer
from sp.crypto.ec import Kernel
from sp.domain.approvals import PieceRequest
from sp.domain.erasure import rebuild_segment
from sp.domain.errors import DeadlineExceeded, NoSuchObjectId, SpError, TooFewPieces, UnknownProvider
from sp.domain.ids import Address, RedundancyIndex, SegmentIndex
from sp.domain.integrity import piece_checksum
from sp.domain.jobs import Job, SecondaryState
from sp.domain.ledger import StorageProvider
from sp.domain.pieces import SegmentKey
from sp.domain.segments import piece_size, segment_size
from sp.runtime.clock import Clock
from sp.runtime.limits import ByteBudget
from sp.runtime.log import get_logger
from sp.runtime.pool import CpuPool
from spdb.jobs import Jobs

log = get_logger(__name__)

Pieces = dict[RedundancyIndex, bytes]


@dataclass(frozen=True, slots=True)
class Rebuilder:
    pieces: PieceStore
    jobs: Jobs
    chain: Chain
    signer: Signer
    receivers: Receivers
    pool: CpuPool
    kernel: Kernel
    clock: Clock
    budget: ByteBudget
    piece_timeout_s: float
    _under_way: dict[SegmentKey, asyncio.Task[None]] = field(default_factory=dict)

    async def restore(self, job: Job, index: SegmentIndex) -> None:
        """Bring one segment back into the store. Readers that miss the same segment share one rebuild.
        TooFewPieces when the secondaries cannot give it back."""
        key = SegmentKey(job.id, index)
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._restore(job, index), name=f"rebuild {key}")
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        await asyncio.shield(task)

    async def close(self) -> None:
        """End what is under way; for the shutdown."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _restore(self, job: Job, index: SegmentIndex) -> None:
        assert job.payload_size is not None
        size = segment_size(job.payload_size, job.params.max_segment_size, index)
        key = SegmentKey(job.id, index)
        async with self.budget.hold(size + job.params.secondaries * piece_size(size, job.params.data_chunks)):
            segment = await self._rebuilt(job, index, size)
            await self.pieces.delete(key)  # what is there is damaged, and a store never overwrites
            await self.pieces.put(key, segment)
        log.info("segment rebuilt from secondaries and written back", job_id=job.id, segment=index)

    async def _rebuilt(self, job: Job, index: SegmentIndex, size: int) -> bytes:
        """Fetch k columns, then one more for each that fails, until some k of them decode to the recorded checksum."""
        holders = await self._holders(job)
        needed = job.params.data_chunks
        pieces: Pieces = {}
        reasons: list[str] = []
        waiting = sorted(holders)
        while True:
            batch, waiting = waiting[: max(1, needed - len(pieces))], waiting[max(1, needed - len(pieces)) :]
            if not batch:
                raise TooFewPieces(job.object_name, index, len(pieces), needed, "; ".join(reasons)[:1000])
            fetched = await asyncio.gather(
                *(self._fetch(job, index, column, holders[column], size) for column in batch)
            )
            for column, piece in zip(batch, fetched, strict=True):
                if isinstance(piece, bytes):
                    pieces[column] = piece
                else:
                    reasons.append(f"column {column} at {holders[column].moniker}: {piece}")
            segment = await self.pool.run(self._decode, pieces, set(batch), size, job, index)
            if segment is not None:
                return segment
            if len(pieces) >= needed:
                reasons.append(f"columns {sorted(pieces)} do not decode to the recorded checksum")

    def _decode(
        self, pieces: Pieces, newest: set[RedundancyIndex], size: int, job: Job, index: SegmentIndex
    ) -> bytes | None:
        """The segment from the first set of k columns that gives the recorded checksum; sets without a column of the
        newest batch were tried before."""
        k, m = job.params.data_chunks, job.params.parity_chunks
        for chosen in column_sets(pieces, newest, k):
            segment = rebuild_segment(chosen, size, k, m, self.kernel)
            if piece_checksum(segment) == job.segment_checksums[index]:
                return segment
        return None

    async def _holders(self, job: Job) -> dict[RedundancyIndex, StorageProvider]:
        """Who holds which column: as recorded here, else as the chain says."""
        providers = await self.chain.storage_providers()
        rows = await self.jobs.secondaries(job.id)
        held: dict[RedundancyIndex, Address] = {
            s.redundancy_index: s.provider for s in rows if s.state is SecondaryState.DONE
        }
        if not held and job.object_id is not None:
            try:
                found = await self.chain.head_object_by_id(job.object_id)
            except NoSuchObjectId:
                return {}
            if found.version == job.version:
                held = {RedundancyIndex(i): operator for i, operator in enumerate(found.secondaries)}
        return {column: providers[operator] for column, operator in held.items() if operator in providers}

    async def _fetch(
        self, job: Job, index: SegmentIndex, column: RedundancyIndex, holder: StorageProvider, size: int
    ) -> bytes | SpError:
        """One column's piece, of the right size at least; or why it could not be had."""
        wanted = piece_size(size, job.params.data_chunks)
        try:
            async with asyncio.timeout(self.piece_timeout_s):
                return await self._ask(job, index, column, holder, wanted)
        except TimeoutError:
            return DeadlineExceeded("a piece", int(self.piece_timeout_s * 1000))
        except SpError as error:
            return error

    async def _ask(
        self, job: Job, index: SegmentIndex, column: RedundancyIndex, holder: StorageProvider, wanted: int
    ) -> bytes:
        assert job.object_id is not None
        if not holder.in_service:
            raise UnknownProvider(holder.operator)
        me = (await self.signer.keys()).operator
        now_s = self.clock.now_ms() // 1000
        request = PieceRequest(job.object_id, job.version, index, column, me, holder.operator, now_s)
        signature = await self.signer.sign(request)
        piece = bytearray()
        async for chunk in self.receivers.get_piece(holder.receiver_endpoint, request, signature, self.piece_timeout_s):
            piece += chunk
            if len(piece) > wanted:
                break
        if len(piece) != wanted:
            raise TooFewPieces(job.object_name, index, 0, 1, f"a piece of {len(piece)} bytes instead of {wanted}")
        return bytes(piece)


def column_sets(pieces: Mapping[RedundancyIndex, bytes], newest: set[RedundancyIndex], k: int) -> Iterator[Pieces]:
    """Every set of k of the columns that has one of the newest in it; those with most data columns first."""
    for chosen in combinations(sorted(pieces), k):
        if newest.intersection(chosen):
            yield {column: pieces[column] for column in chosen}
