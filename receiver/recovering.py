"""Columns that the chain names this provider for, and of which it has no row any more: after a lost database and disk.

What the chain says and the other holders prove is enough. Each piece is durable and recorded before the next is made,
so that an interrupted run goes on where it was; a row that is not whole says RECEIVING, and nothing is served of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Final

from chain.client import Chain
from piecestore.store import PieceStore
from receiver.claims import Claims
from receiver.mending import next_age
from receiver.proofs import ProvenColumns, Prover
from receiver.receiving import Column, present
from signer.client import Signer
from sp.domain.approvals import ObjectRef
from sp.domain.contents import content_of
from sp.domain.errors import IntegrityMismatch, NoSuchBucket, NoSuchObjectId, PieceNotFound, SpError
from sp.domain.findings import Finding, Health, ScrubOrder
from sp.domain.ids import PRIMARY, Address, Checksum, RedundancyIndex, SegmentIndex
from sp.domain.integrity import expected_for, integrity_hash
from sp.domain.jobs import ReceivedPiece, ReceivedState
from sp.domain.ledger import NO_OBJECT, ChainObject
from sp.runtime.limits import ByteBudget
from sp.runtime.log import get_logger
from spdb.received import Received

OBJECTS_PER_PAGE: Final = 100

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class GroupRecoverer:
    chain: Chain
    store: PieceStore
    records: Received
    signer: Signer
    claims: Claims
    prover: Prover
    budget: ByteBudget

    async def run(self, order: ScrubOrder) -> AsyncIterator[tuple[Finding, int]]:
        """What was not known here, piece by piece, and its size in bytes. What cannot be made again is a finding, and
        the rest goes on."""
        me = (await self.signer.keys()).operator
        async for found in self._named(order, me):
            index = RedundancyIndex(found.secondaries.index(me))
            if await self._is_known(found, index):
                continue
            async for finding in self._recovered(found, index, me):
                yield finding

    async def _named(self, order: ScrubOrder, me: Address) -> AsyncIterator[ChainObject]:
        """The objects within an order that are sealed with this provider."""
        if order.object_name:
            found = await self.chain.head_object(order.bucket, order.object_name)
            if me in found.secondaries:
                yield found
            return
        after = NO_OBJECT
        while page := await self.chain.list_objects(
            bucket=order.bucket, secondary=me, after=after, limit=OBJECTS_PER_PAGE
        ):
            for found in page:
                yield found
            after = page[-1].id

    async def _is_known(self, found: ChainObject, index: RedundancyIndex) -> bool:
        rows = await self.records.get(found.id, found.version, index)
        return bool(rows) and rows[0].state is not ReceivedState.RECEIVING

    async def _recovered(
        self, found: ChainObject, index: RedundancyIndex, me: Address
    ) -> AsyncIterator[tuple[Finding, int]]:
        finding = Finding(
            found.bucket, found.name, found.id, found.version, SegmentIndex(0), index, me, Health.MISSING,
            reason="not known here",
        )  # fmt: skip
        try:
            column = Column(await self._ref(found), index)
            await self._column(found, column)
        except SpError as error:
            log.error("column not recovered", object_id=found.id, index=index, reason=str(error))
            yield replace(finding, reason=f"{finding.reason}; {error}"), 0
            return
        log.info("column recovered", object_id=found.id, version=found.version, index=index)
        for segment in map(SegmentIndex, range(column.segments)):
            yield replace(finding, segment=segment, repaired=True), column.piece_bytes(segment)

    async def _ref(self, found: ChainObject) -> ObjectRef:
        params = await self.chain.params_at(found.params_time)
        return ObjectRef(found.id, found.version, found.bucket, found.name, found.payload_size, params)

    async def _column(self, found: ChainObject, column: Column) -> None:
        """All pieces of a column, checked against the seal, and its row."""
        ref, index = column.ref, column.index
        primary = await self._primary(found)
        async with self.claims.claim((ref.object_id, ref.version, index), next_age()):
            _, pieces = await self.records.open(ref, index, primary)
            recorded = {piece.segment: piece.checksum for piece in pieces}
            here = await present(self.store, column, recorded)
            proven = await self._proven(found, column, primary)
            for segment in map(SegmentIndex, range(column.segments)):
                if segment not in here:
                    recorded[segment] = await self._piece(column, proven, segment)
            checksums = tuple(recorded[SegmentIndex(segment)] for segment in range(column.segments))
            expected, root = expected_for(found.checksums, index), integrity_hash(checksums)
            if root != expected:
                raise IntegrityMismatch(index, expected.hex(), root.hex())
            await self.records.sign(ref.object_id, ref.version, index, root, checksums)
            await self.records.mark_sealed(ref.object_id, ref.version, index)

    async def _primary(self, found: ChainObject) -> Address:
        try:
            return (await self.chain.head_bucket(found.bucket)).primary_sp
        except NoSuchBucket:
            raise NoSuchObjectId(found.id) from None

    async def _proven(self, found: ChainObject, column: Column, primary: Address) -> ProvenColumns:
        content = content_of(found, found.version)
        assert content is not None
        providers = await self.chain.storage_providers()
        siblings = [RedundancyIndex(c) for c in range(len(content.secondaries)) if c != column.index]
        return await self.prover.prove(column.ref, content, providers, PRIMARY, *siblings, primary=primary)

    async def _piece(self, column: Column, proven: ProvenColumns, segment: SegmentIndex) -> Checksum:
        ref, key = column.ref, column.key(segment)
        size = column.piece_bytes(segment)
        async with self.budget.hold((ref.params.data_chunks + ref.params.secondaries) * size):
            piece = await self.prover.piece(proven, column.index, segment)
            try:
                await self.store.size(key)
            except PieceNotFound:
                pass
            else:
                await self.store.delete(key)  # no row says what it is
            checksum = await self.store.put(key, piece)
        await self.records.add_pieces(
            ref.object_id, ref.version, column.index, [ReceivedPiece(segment, checksum, size)]
        )
        return checksum
