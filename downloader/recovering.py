"""Objects of this primary that the chain has and this database does not: after both disk and database were lost.

The chain has names, sizes, seals and who holds which column; the holders prove their pieces by its integrity hashes
(receiver.proofs). What nobody else has is lost: user metadata, tags, ETags of uploads in parts, and every object that
was not sealed yet.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Final

from chain.client import Chain
from piecestore.store import PieceStore
from receiver.client import ProvenColumns, Prover, Wanted
from signer.client import Signer
from sp.domain.approvals import Approval, ObjectRef, SignedApproval
from sp.domain.contents import Content, content_of
from sp.domain.errors import (
    IntegrityMismatch,
    NoSuchObjectId,
    ObjectNotCreated,
    SpError,
    UploadInProgress,
)
from sp.domain.findings import Finding, Health, ScrubOrder
from sp.domain.ids import PRIMARY, Address, RedundancyIndex, SegmentIndex
from sp.domain.integrity import expected_for, integrity_hash
from sp.domain.jobs import Job, PutOrder, Secondary, SecondaryState, StoredPayload
from sp.domain.ledger import NO_OBJECT, ChainObject, ObjectStatus
from sp.domain.pieces import SegmentKey
from sp.domain.segments import segment_count, segment_size
from sp.runtime.clock import Clock
from sp.runtime.leases import kept_lease
from sp.runtime.limits import ByteBudget
from sp.runtime.log import get_logger
from spdb.jobs import Jobs
from spdb.objects import Objects

OBJECTS_PER_PAGE: Final = 100
LEASE_MS: Final = 15_000

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ObjectRecoverer:
    """Each object is put anew, as it were: its row is an upload that is leased until its last segment is durable, so
    what an interrupted run leaves is collected like any other aborted upload."""

    chain: Chain
    pieces: PieceStore
    jobs: Jobs
    objects: Objects
    signer: Signer
    prover: Prover
    budget: ByteBudget
    clock: Clock
    actor: str

    async def run(self, order: ScrubOrder) -> AsyncIterator[tuple[Finding, int]]:
        """What was not known here, segment by segment, and its size in bytes. What cannot be had back is a finding, and
        the rest goes on."""
        me = (await self.signer.keys()).operator
        async for found in self._mine(order, me):
            if await self._is_known(found):
                continue
            async for finding in self._recovered(found, me):
                yield finding

    async def _mine(self, order: ScrubOrder, me: Address) -> AsyncIterator[ChainObject]:
        """Objects within an order that are in this provider's buckets."""
        if order.object_name:
            yield await self.chain.head_object(order.bucket, order.object_name)
            return
        after, primaries = NO_OBJECT, dict[str, Address]()
        while page := await self.chain.list_objects(bucket=order.bucket, after=after, limit=OBJECTS_PER_PAGE):
            for found in page:
                if found.bucket not in primaries:
                    primaries = {found.bucket: (await self.chain.head_bucket(found.bucket)).primary_sp}
                if primaries[found.bucket] == me:
                    yield found
            after = page[-1].id

    async def _is_known(self, found: ChainObject) -> bool:
        """Its content is here, or a put of the name is, which may be about to bring it."""
        if await self.objects.by_object_id(found.id, found.version) is not None:
            return True
        return (
            found.status is not ObjectStatus.SEALED and await self.jobs.newest_of(found.bucket, found.name) is not None
        )

    async def _recovered(self, found: ChainObject, me: Address) -> AsyncIterator[tuple[Finding, int]]:
        missing = Finding(
            found.bucket, found.name, found.id, found.version, SegmentIndex(0), PRIMARY, me, Health.MISSING,
            reason="not known here",
        )  # fmt: skip
        try:
            sizes = await self._object(found)
        except (UploadInProgress, ObjectNotCreated):
            return  # another process is at it, or has been faster
        except SpError as error:
            log.error("object not recovered", object_id=found.id, object_name=found.name, reason=str(error))
            yield replace(missing, reason=f"{missing.reason}; {error}"), 0
            return
        log.info("object recovered", object_id=found.id, bucket=found.bucket, object_name=found.name)
        for index, size in enumerate(sizes or [0]):  # an empty object has no segment, and is told of all the same
            yield replace(missing, segment=SegmentIndex(index), repaired=True), size

    async def _object(self, found: ChainObject) -> list[int]:
        """The sizes of its segments, which are here by then, in rows like those that the put had left."""
        content = content_of(found, found.version)
        if content is None or not content.sealed:
            raise NoSuchObjectId(found.id)
        params = await self.chain.params_at(content.params_time)
        ref = ObjectRef(found.id, found.version, found.bucket, found.name, found.payload_size, params)
        job = await self.jobs.begin_upload(_order(found, ref), self.actor, LEASE_MS)

        async def renew() -> bool:
            return await self.jobs.renew_lease(job.id, self.actor, LEASE_MS)

        try:
            async with kept_lease(job.id, renew, LEASE_MS, self.clock):
                stored = await self._segments(job, ref, found, content)
                await self._finish(job, ref, stored)
        except BaseException as error:
            await self.jobs.fail_upload(job.id, f"not recovered: {error}", self.actor)
            raise
        count = segment_count(ref.payload_size, params.max_segment_size) if ref.payload_size else 0
        return [segment_size(ref.payload_size, params.max_segment_size, SegmentIndex(i)) for i in range(count)]

    async def _segments(self, job: Job, ref: ObjectRef, found: ChainObject, content: Content) -> StoredPayload:
        checksums = []
        if ref.payload_size:
            proven = await self._proven(ref, found, content)
            for index in map(SegmentIndex, range(segment_count(ref.payload_size, ref.params.max_segment_size))):
                wanted = Wanted(ref, index)
                async with self.budget.hold(wanted.segment_bytes + ref.params.secondaries * wanted.piece_bytes):
                    segment = await self.prover.segment(proven, index)
                    checksums.append(await self.pieces.put(SegmentKey(job.id, index), segment))
        root, expected = integrity_hash(checksums), expected_for(content.checksums, PRIMARY)
        if root != expected:
            raise IntegrityMismatch(PRIMARY, expected.hex(), root.hex())
        return StoredPayload(ref.payload_size, root, tuple(checksums))

    async def _proven(self, ref: ObjectRef, found: ChainObject, content: Content) -> ProvenColumns:
        providers = await self.chain.storage_providers()
        primary = (await self.chain.head_bucket(found.bucket)).primary_sp
        columns = [RedundancyIndex(column) for column in range(len(content.secondaries))]
        return await self.prover.prove(ref, content, providers, *columns, primary=primary)

    async def _finish(self, job: Job, ref: ObjectRef, stored: StoredPayload) -> None:
        """If the chain still has this content; its secondaries may be others by now."""
        content = content_of(await self.chain.head_object_by_id(ref.object_id), ref.version)
        if content is None:
            raise NoSuchObjectId(ref.object_id)
        me = (await self.signer.keys()).operator
        rows = [
            _secondary(job, ref, content, RedundancyIndex(column), me) for column in range(len(content.secondaries))
        ]
        await self.jobs.finish_recovery(job, stored, rows, content.params_time * 1000, self.actor)


def _order(found: ChainObject, ref: ObjectRef) -> PutOrder:
    return PutOrder(
        found.bucket,
        found.name,
        found.creator,
        found.payload_size,
        ref.params,
        found.visibility,
        {"content-type": found.content_type} if found.content_type else {},
        found.id,
        found.version,
        request_id="sp recover",
    )


def _secondary(job: Job, ref: ObjectRef, content: Content, column: RedundancyIndex, me: Address) -> Secondary:
    """As the chain knows it; the approval and the receipt were in the database that is lost."""
    operator = content.secondaries[column]
    unknown = SignedApproval(Approval(ref, me, operator, 0, 0), b"")
    return Secondary(job.id, column, operator, unknown, SecondaryState.DONE, expected_for(content.checksums, column))
