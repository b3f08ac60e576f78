"""Making one damaged or lost piece again, out of the pieces of the object's other holders, or of the primary's segment.

It is accepted only if it has the checksum that was recorded when it was signed for, and written only under the group's
claim, while the group's row is there: what the chain does not want any more never comes back.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import partial

from chain.client import Chain
from piecestore.store import PieceStore
from receiver.claims import Claims, GroupKey
from receiver.gathering import Gatherer, Holders, Pieces, Wanted
from receiver.offers import holder_of
from receiver.receiving import Column
from sp.crypto.ec import Kernel
from sp.domain.contents import Content, content_of
from sp.domain.erasure import encode_segment, rebuild_pieces
from sp.domain.errors import NoSuchBucket, NoSuchObjectId, SpError, TooFewPieces
from sp.domain.ids import PRIMARY, Address, RedundancyIndex, SegmentIndex
from sp.domain.integrity import piece_checksum
from sp.domain.jobs import ReceivedGroup
from sp.domain.ledger import StorageProvider
from sp.runtime.limits import ByteBudget
from sp.runtime.log import get_logger
from spdb.received import Received

_AGES = itertools.count(-(2**62))
"""Older than any offer: a stream that is under way goes first, and one that comes does not wait long for a write. Each
later than the one before: of two repairs of one group the second waits for the first."""


def next_age() -> int:
    """The age of a claim of a repair."""
    return next(_AGES)


log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Mender:
    chain: Chain
    store: PieceStore
    records: Received
    claims: Claims
    gatherer: Gatherer
    kernel: Kernel
    budget: ByteBudget

    async def mend(self, group: ReceivedGroup, segment: SegmentIndex) -> None:
        """Put the true piece in the place of what is there. TooFewPieces when it cannot be made; NoSuchObjectId when
        the group is not wanted any more; Overloaded while a stream of the group is under way."""
        content, primary = await self._content(group)
        wanted = Wanted(group.object, segment)
        params = group.object.params
        async with self.budget.hold(2 * wanted.segment_bytes + params.secondaries * wanted.piece_bytes):
            piece = await self._made_again(group, wanted, content, primary)
            await self._write(group, segment, piece)
        ref = group.object
        log.info("piece made again", object_id=ref.object_id, index=group.redundancy_index, segment=segment)

    async def _content(self, group: ReceivedGroup) -> tuple[Content, Address]:
        """What the chain says of it, and the address of the bucket's primary. NoSuchObjectId."""
        ref = group.object
        found = await self.chain.head_object_by_id(ref.object_id)
        content = content_of(found, ref.version)
        if content is None:
            raise NoSuchObjectId(ref.object_id)
        if not content.sealed:
            needed, reason = ref.params.data_chunks, "not sealed: the chain names no other holders yet"
            raise TooFewPieces(ref.object_name, 0, 0, needed, reason)
        try:
            return content, (await self.chain.head_bucket(ref.bucket)).primary_sp
        except NoSuchBucket:
            raise NoSuchObjectId(ref.object_id) from None

    async def _made_again(self, group: ReceivedGroup, wanted: Wanted, content: Content, primary: Address) -> bytes:
        """From the siblings, else from the primary. TooFewPieces with both their reasons."""
        providers = await self.chain.storage_providers()
        mine = group.redundancy_index
        columns = (RedundancyIndex(column) for column in range(len(content.secondaries)))
        named = {column: holder_of(content, column) for column in columns if column != mine}
        holders: Holders = {c: providers[who] for c, who in named.items() if who is not None and who in providers}
        try:
            return await self.gatherer.gather(wanted, holders, partial(self._piece_of, group, wanted))
        except TooFewPieces as error:
            piece = await self._from_primary(group, wanted, providers.get(primary))
            if isinstance(piece, bytes):
                return piece
            reasons = f"{error.reasons}; primary: {piece}"[:1500]
            raise TooFewPieces(error.object_name, error.segment_index, error.have, error.need, reasons) from error

    async def _from_primary(
        self, group: ReceivedGroup, wanted: Wanted, primary: StorageProvider | None
    ) -> bytes | str | SpError:
        if primary is None:
            return "not registered"
        segment = await self.gatherer.fetch(wanted, PRIMARY, primary)
        if isinstance(segment, SpError):
            return segment
        piece = await self.gatherer.pool.run(self._piece_in, group, wanted, segment)
        return piece if piece is not None else "its segment does not give the recorded checksum"

    def _piece_of(self, group: ReceivedGroup, wanted: Wanted, pieces: Pieces) -> bytes | None:
        params, mine = group.object.params, group.redundancy_index
        made = rebuild_pieces(
            pieces, [mine], wanted.segment_bytes, params.data_chunks, params.parity_chunks, self.kernel
        )
        return _true(bytes(made[mine]), group, wanted.segment)

    def _piece_in(self, group: ReceivedGroup, wanted: Wanted, segment: bytes) -> bytes | None:
        params = group.object.params
        pieces = encode_segment(segment, params.data_chunks, params.parity_chunks, self.kernel)
        return _true(bytes(pieces[group.redundancy_index]), group, wanted.segment)

    async def _write(self, group: ReceivedGroup, segment: SegmentIndex, piece: bytes) -> None:
        """The collector removes a group under the same claim, its pieces before its row. So while the row is there the
        piece belongs there, and whatever stops us half-way the row leads the collector, or the next repair, to it."""
        ref = group.object
        key: GroupKey = (ref.object_id, ref.version, group.redundancy_index)
        async with self.claims.claim(key, next_age()):
            rows = await self.records.get(*key)
            if not rows or rows[0].piece_checksums != group.piece_checksums:
                raise NoSuchObjectId(ref.object_id)
            name = Column(ref, group.redundancy_index).key(segment)
            await self.store.delete(name)  # what is there is damaged, and a store never overwrites
            await self.store.put(name, piece)


def _true(piece: bytes, group: ReceivedGroup, segment: SegmentIndex) -> bytes | None:
    return piece if piece_checksum(piece) == group.piece_checksums[segment] else None
