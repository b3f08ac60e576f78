"""Keep the pieces other providers place with us, and sign for them.

Owns:  received pieces and their receipts, until the object is sealed or dropped, and then for as long as it lives.
Never: chooses peers, talks to users, sees a private key.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

from chain.client import Chain
from downloader.client import Downloader
from piecestore.store import PieceStore
from piecestore.verified import read_verified
from receiver import offers
from receiver.claims import Claim, Claims, GroupKey
from receiver.client import CHUNK_BYTES, SMALL_PIECE_BYTES, Receipt
from receiver.config import ReceiverConfig
from receiver.damage import DamagedPieces
from receiver.frames import Frame, Held, OfferFrame
from receiver.inspecting import GroupInspector
from receiver.receiving import Column, Receiving, present
from receiver.verdicts import Verdict, verdict
from signer.client import Signer
from sp.domain.approvals import ObjectRef, Offer, PieceRequest, ReceiptDoc
from sp.domain.challenges import Challenge
from sp.domain.contents import Content, content_of
from sp.domain.errors import (
    DeadlineExceeded,
    IntegrityMismatch,
    InvalidRequest,
    NoSuchObjectId,
    PieceCorrupt,
    PieceNotFound,
    ShortPiece,
    SignatureError,
    StoreFailed,
)
from sp.domain.findings import Finding, ScrubOrder, Tally
from sp.domain.ids import PRIMARY, Address, Checksum, ObjectId, RedundancyIndex, SegmentIndex
from sp.domain.integrity import expected_for, integrity_hash
from sp.domain.jobs import ReceivedGroup, ReceivedPiece, ReceivedState
from sp.domain.ledger import Action, Bucket, ChainObject
from sp.runtime.chunks import chunks_of
from sp.runtime.clock import Clock
from sp.runtime.limits import Slots, SlotsBySender
from sp.runtime.log import get_logger
from sp.runtime.metrics import counter
from sp.runtime.pool import CpuPool
from spdb.received import Received

SIGNED = counter("sp_receiver_groups_signed_total", "Replicate data groups received whole and signed for")
DROPPED = counter("sp_receiver_groups_dropped_total", "Replicate data groups removed", ["reason"])
CORRUPT = counter("sp_receiver_corrupt_pieces_total", "Pieces found lost or damaged when another provider asked")

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReceiverService:
    """Called by strangers: nothing is read or written before the signature of a registered provider is verified."""

    chain: Chain
    store: PieceStore
    records: Received
    signer: Signer
    clock: Clock
    pool: CpuPool
    config: ReceiverConfig
    claims: Claims
    openings: Slots
    streams: Slots
    reads: Slots
    segments: Downloader
    damaged: DamagedPieces
    inspector: GroupInspector
    streams_each: SlotsBySender
    newest: offers.NewestOffers = field(default_factory=offers.NewestOffers)

    async def replicate(self, frames: AsyncIterator[Frame]) -> AsyncGenerator[Held | Receipt, None]:
        """Take one group: what is held of it already, then the receipt. The same offer again gives the same receipt.

        SignatureError, UnknownProvider, InvalidRequest, Overloaded; NoSuchObjectId; WrongPieceSize, GroupIncomplete;
        IntegrityMismatch (then nothing of the group is kept); StoreFull, StoreFailed.
        """
        async with AsyncExitStack() as until_end:
            offer = await self._opening(frames)
            until_end.enter_context(self.streams.slot())
            until_end.enter_context(self.streams_each.of(offer.approval.approval.asker).slot())
            ref = await self._checked_on_chain(offer)
            claim = await until_end.enter_async_context(self.claims.claim(_key(offer), offer.offered_at_s))
            receiving, group = await self._begin(ref, offer, claim)
            yield Held(receiving.held)
            checksums = await receiving.take(frames)
            yield await self._conclude(offer, group, checksums)

    async def replicate_small(self, offer: Offer, signature: bytes, piece: bytes) -> Receipt:
        """Take a group of one piece of at most SMALL_PIECE_BYTES, whole: as `replicate`, but an object that our view of
        the chain does not show yet is NoSuchObjectId at once. The row comes first and the receipt last, so what a crash
        interrupts is found again, and the same offer goes on from there."""
        with self.openings.slot():
            await self._check_offer(offer, signature)
        ref, index = offer.approval.approval.object, offer.redundancy_index
        with self.streams.slot(), self.streams_each.of(offer.approval.approval.asker).slot():
            if Column(ref, index).segments != 1 or len(piece) > SMALL_PIECE_BYTES:
                raise InvalidRequest(f"whole come groups of one piece of at most {SMALL_PIECE_BYTES} bytes")
            found, content = await self._content(ref.object_id, ref.version)
            ref = await self._checked_content(offer, found, content)
            async with self.claims.claim(_key(offer), offer.offered_at_s) as claim:
                receiving, group = await self._begin(ref, offer, claim)
                checksums = await receiving.take_whole(piece)
                return await self._signed(offer, group, checksums, content)

    async def get_piece(self, request: PieceRequest, signature: bytes) -> AsyncGenerator[bytes, None]:
        """The verified bytes of one piece, or (PRIMARY) of one segment of which this is the primary, in chunks.
        InvalidRequest, UnknownProvider, SignatureError, NoSuchObjectId, PieceNotFound, PieceCorrupt (and not one byte
        of it), Overloaded. A piece that is found lost or damaged is mended soon afterwards."""
        me = (await self.signer.keys()).operator
        asker = (await self.chain.storage_providers()).get(request.asker)
        offers.check_piece_request(request, signature, asker=asker, me=me, now_s=self._now_s())
        with self.reads.slot():
            bucket = await self._check_reader(request)
            if request.redundancy_index == PRIMARY:
                async for chunk in self._segment(request, bucket, me):
                    yield chunk
                return
            piece = await self._piece(request)
            view = memoryview(piece)
            for start in range(0, len(view), CHUNK_BYTES):
                yield bytes(view[start : start + CHUNK_BYTES])

    async def checksums(self, request: PieceRequest, signature: bytes) -> tuple[Checksum, ...]:
        """Of all pieces of a column that was signed for, or (PRIMARY) of the segments of which this is the primary: for
        a holder that has lost its own, and holds them to the chain's integrity hash. Errors as `get_piece`."""
        me = (await self.signer.keys()).operator
        asker = (await self.chain.storage_providers()).get(request.asker)
        offers.check_piece_request(request, signature, asker=asker, me=me, now_s=self._now_s())
        with self.reads.slot():
            bucket = await self._check_reader(request)
            if request.redundancy_index != PRIMARY:
                group = await self._group_of(
                    request.object_id, request.version, request.redundancy_index, SegmentIndex(0)
                )
                return group.piece_checksums
            self._check_primary(bucket, me)
            return (await self.segments.challenge(request.object_id, PRIMARY, SegmentIndex(0))).checksums

    async def drop(self, group: ReceivedGroup, reason: str) -> None:
        """Remove a group: the pieces, then the rows, so that after a crash in between it is found and removed again.
        Takes over from a stream that may be under way. Overloaded when that does not let go."""
        async with self.claims.claim(_group_key(group), self._now_s() + 1_000_000_000):
            await self._remove(group, reason)

    async def judge(self, group: ReceivedGroup, *, newest: bool = False) -> Verdict:
        """What the chain says of a group now; newest: as `Chain.head_object_by_id`, before it is dropped by its age."""
        object_id = group.object.object_id
        try:
            found: ChainObject | None = await self.chain.head_object_by_id(object_id, newest=newest)
        except NoSuchObjectId:
            found = None
        return verdict(group, found, (await self.signer.keys()).operator, await self.chain.storage_providers())

    def scrub(self, order: ScrubOrder) -> AsyncIterator[Finding | Tally]:
        """`GroupInspector.run`: for the operator of this provider."""
        return self.inspector.run(order)

    async def challenge(self, object_id: ObjectId, index: RedundancyIndex, segment: SegmentIndex) -> Challenge:
        """Proof that this provider has one piece of an object as the chain knows it; a damaged one is made again
        first. For this provider's own services. NoSuchObjectId, PieceNotFound, TooFewPieces."""
        version = (await self.chain.head_object_by_id(object_id)).version
        group = await self._group_of(object_id, version, index, segment)
        try:
            piece = await self._read(group, segment)
        except (PieceNotFound, ShortPiece, PieceCorrupt):
            await self.inspector.checker.mender.mend(group, segment)
            piece = await self._read(group, segment)
        assert group.integrity_hash is not None
        return Challenge(object_id, version, index, segment, piece, group.piece_checksums, group.integrity_hash)

    # --- taking a group -----------------------------------------------------------------------------------------------

    async def _opening(self, frames: AsyncIterator[Frame]) -> Offer:
        """The first message, from a provider that has proved who it is."""
        with self.openings.slot():
            try:
                async with asyncio.timeout(self.config.opening_timeout_s):
                    frame = await anext(frames, None)
            except TimeoutError:
                raise DeadlineExceeded("an offer", int(self.config.opening_timeout_s * 1000)) from None
            if not isinstance(frame, OfferFrame):
                raise InvalidRequest("a stream begins with an offer")
            await self._check_offer(frame.offer, frame.signature)
        return frame.offer

    async def _check_offer(self, offer: Offer, signature: bytes) -> None:
        offers.check_offer_sizes(offer, signature)
        keys = await self.signer.keys()
        offers.check_offer(
            offer,
            signature,
            sender=(await self.chain.storage_providers()).get(offer.approval.approval.asker),
            me=keys.operator,
            my_approval_key=keys.approval,
            now_s=self._now_s(),
            height=(await self.chain.latest_block()).height,
        )
        self.newest.add(offer)

    async def _checked_on_chain(self, offer: Offer) -> ObjectRef:
        """The object of an offer, with all the parameters that the chain has for it (an offer's signature covers those
        that cut it). Our view of the chain may lag behind the sender's: an object that is not there yet is waited for.
        NoSuchObjectId, SignatureError, InvalidRequest."""
        ref = offer.approval.approval.object
        return await self._checked_content(offer, *await self._awaited(ref.object_id, ref.version))

    async def _checked_content(self, offer: Offer, found: ChainObject, content: Content) -> ObjectRef:
        bucket = await self.chain.head_bucket(found.bucket)
        params = await self.chain.params_at(content.params_time)
        me, providers = (await self.signer.keys()).operator, await self.chain.storage_providers()
        offers.check_content(offer, me, found, content, bucket, params, providers)
        return replace(offer.approval.approval.object, params=params)

    async def _awaited(self, object_id: ObjectId, version: int) -> tuple[ChainObject, Content]:
        try:
            async with asyncio.timeout(self.config.chain_lag_s):
                while True:
                    height = (await self.chain.latest_block()).height
                    try:
                        return await self._content(object_id, version)
                    except NoSuchObjectId:
                        await self.chain.next_block(height)
        except TimeoutError:
            raise NoSuchObjectId(object_id) from None

    async def _content(self, object_id: ObjectId, version: int) -> tuple[ChainObject, Content]:
        """NoSuchObjectId for a version that the chain does not know, too."""
        found = await self.chain.head_object_by_id(object_id)
        content = content_of(found, version)
        if content is not None:
            return found, content
        if version <= found.version:
            raise InvalidRequest("this content was replaced or discontinued")
        raise NoSuchObjectId(object_id)

    async def _begin(self, ref: ObjectRef, offer: Offer, claim: Claim) -> tuple[Receiving, ReceivedGroup]:
        index = offer.redundancy_index
        group, pieces = await self._opened(ref, index, offer.approval.approval.asker)
        signed = group.state is not ReceivedState.RECEIVING
        recorded = (
            {SegmentIndex(segment): checksum for segment, checksum in enumerate(group.piece_checksums)}
            if signed
            else {piece.segment: piece.checksum for piece in pieces}
        )
        column = Column(ref, index)
        here = await present(self.store, column, recorded)
        idle_s = self.config.idle_timeout_s
        return Receiving(column, recorded, here, signed, self.store, self.records, claim, idle_s), group

    async def _opened(
        self, ref: ObjectRef, index: RedundancyIndex, asker: Address
    ) -> tuple[ReceivedGroup, list[ReceivedPiece]]:
        """InvalidRequest when the group is signed for, and was another sender's or another content. An unsigned one
        makes room: the chain has just said who is right."""
        try:
            return await self.records.open(ref, index, asker)
        except InvalidRequest:
            present_groups = await self.records.get(ref.object_id, ref.version, index)
            if not present_groups or present_groups[0].state is not ReceivedState.RECEIVING:
                raise
            await self._remove(present_groups[0], "begun anew")
        return await self.records.open(ref, index, asker)

    async def _conclude(self, offer: Offer, group: ReceivedGroup, checksums: tuple[Checksum, ...]) -> Receipt:
        """Ask the chain once more, since a stream takes its time, and sign."""
        ref = offer.approval.approval.object
        try:
            _, content = await self._content(ref.object_id, ref.version)
        except (NoSuchObjectId, InvalidRequest):
            await self._remove(group, "gone while it arrived")
            raise
        return await self._signed(offer, group, checksums, content)

    async def _signed(
        self, offer: Offer, group: ReceivedGroup, checksums: tuple[Checksum, ...], content: Content
    ) -> Receipt:
        """Compare with the chain, sign, record, answer: in this order, so that no receipt is out without its row, and
        no row says SIGNED for what the chain refused."""
        ref, index = offer.approval.approval.object, offer.redundancy_index
        root = integrity_hash(checksums)
        if content.checksums:
            await self._check_root(group, expected_for(content.checksums, index), root)
        me = (await self.signer.keys()).operator
        signature = await self.signer.sign(ReceiptDoc(me, ref.object_id, root))
        if group.state is ReceivedState.RECEIVING:
            await self.records.sign(ref.object_id, ref.version, index, root, checksums)
            SIGNED.inc()
            log.info("group signed", object_id=ref.object_id, version=ref.version, index=index, segments=len(checksums))
        else:  # who asks again goes on trying: the time that the group is given begins anew
            await self.records.touch(ref.object_id, ref.version, index)
        return Receipt(root, signature)

    async def _check_root(self, group: ReceivedGroup, expected: Checksum, root: Checksum) -> None:
        if root == expected:
            return
        if group.state is not ReceivedState.SEALED:
            await self._remove(group, "integrity hash is not the chain's")
        raise IntegrityMismatch(group.redundancy_index, expected.hex(), root.hex())

    async def _remove(self, group: ReceivedGroup, reason: str) -> None:
        """The caller holds the group's claim."""
        ref, index = group.object, group.redundancy_index
        column = Column(ref, index)
        for segment in range(column.segments):
            await self.store.delete(column.key(SegmentIndex(segment)))
        await self.records.forget(ref.object_id, ref.version, index)
        DROPPED.labels(reason).inc()
        log.info("group dropped", object_id=ref.object_id, version=ref.version, index=index, reason=reason)

    # --- giving a piece back ------------------------------------------------------------------------------------------

    async def _check_reader(self, request: PieceRequest) -> Bucket:
        """NoSuchObjectId, SignatureError: neither of the object's providers, nor is it public."""
        found, content = await self._content(request.object_id, request.version)
        bucket = await self.chain.head_bucket(found.bucket)
        if offers.may_read(request.asker, content, bucket):
            return bucket
        if not await self.chain.verify_permission(None, found.bucket, found.name, Action.GET_OBJECT):
            raise SignatureError("the asker keeps no part of this object, and it is not public")
        return bucket

    async def _segment(self, request: PieceRequest, bucket: Bucket, me: Address) -> AsyncIterator[bytes]:
        """For a secondary that has too few siblings left to make a piece again."""
        self._check_primary(bucket, me)
        segment = SegmentIndex(request.segment)
        async for block in self.segments.segment(request.object_id, request.version, segment):
            for chunk in chunks_of(block):
                yield chunk

    def _check_primary(self, bucket: Bucket, me: Address) -> None:
        if bucket.primary_sp != me:
            raise InvalidRequest("whole segments are with the primary, not here")

    async def _piece(self, request: PieceRequest) -> bytes:
        segment = SegmentIndex(request.segment)
        group = await self._group_of(request.object_id, request.version, request.redundancy_index, segment)
        try:
            return await self._read(group, segment)
        except (PieceNotFound, ShortPiece, PieceCorrupt, StoreFailed) as error:
            CORRUPT.inc()
            self.damaged.add(_group_key(group), segment)
            log.error("piece is not well", object_id=request.object_id, segment=segment, reason=str(error))
            raise

    async def _group_of(
        self, object_id: ObjectId, version: int, index: RedundancyIndex, segment: SegmentIndex
    ) -> ReceivedGroup:
        """The group that has this piece, signed for. PieceNotFound."""
        groups = await self.records.get(object_id, version, index)
        if not groups or segment >= len(groups[0].piece_checksums):
            raise PieceNotFound(f"e{object_id}_s{segment}_p{index}")
        return groups[0]

    async def _read(self, group: ReceivedGroup, segment: SegmentIndex) -> bytes:
        key = Column(group.object, group.redundancy_index).key(segment)
        return await read_verified(self.store, key, group.piece_checksums[segment])

    def _now_s(self) -> int:
        return self.clock.now_ms() // 1000


def _key(offer: Offer) -> GroupKey:
    ref = offer.approval.approval.object
    return ref.object_id, ref.version, offer.redundancy_index


def _group_key(group: ReceivedGroup) -> GroupKey:
    return group.object.object_id, group.object.version, group.redundancy_index
