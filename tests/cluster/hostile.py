"""Receivers that cheat: each is the true service with one step done wrong, behind the true gRPC server."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import cast

import pytest

import receiver.app
from receiver.client import Receipt
from receiver.frames import ChunkFrame, EndFrame, Frame, Held, OfferFrame, PieceFrame
from receiver.rpc import served
from receiver.service import ReceiverService
from sp.crypto.hashing import keccak256
from sp.crypto.private import PrivateKey
from sp.domain.approvals import Offer, PieceRequest, ReceiptDoc
from sp.domain.errors import Overloaded, ServiceUnavailable
from sp.domain.ids import Address, Checksum, ObjectId, SegmentIndex, Signature
from sp.runtime.parts import Parts
from tests.cluster.network import Runner

Replies = AsyncGenerator[Held | Receipt, None]
Lie = Callable[[ReceiverService, AsyncIterator[Frame]], Replies]


@dataclass(frozen=True, slots=True)
class Hostile:
    """What stands in the place of a ReceiverService before the gRPC server."""

    honest: ReceiverService
    lie: Lie

    def replicate(self, frames: AsyncIterator[Frame]) -> Replies:
        return self.lie(self.honest, frames)

    async def replicate_small(self, offer: Offer, signature: bytes, piece: bytes) -> Receipt:
        """The same lie about a group that comes whole."""

        async def frames() -> AsyncIterator[Frame]:
            yield OfferFrame(offer, signature)
            yield PieceFrame(SegmentIndex(0), len(piece))
            yield ChunkFrame(piece)
            yield EndFrame()

        async with aclosing(self.lie(self.honest, frames())) as replies:
            async for reply in replies:
                if isinstance(reply, Receipt):
                    return reply
        raise ServiceUnavailable("Receiver", "ended without a receipt")

    def get_piece(self, request: PieceRequest, signature: bytes) -> AsyncGenerator[bytes, None]:
        return self.honest.get_piece(request, signature)


def hostile_receiver(lie: Lie) -> Runner:
    """For `Sp.runners["receiver"]`."""

    @asynccontextmanager
    async def running(parts: Parts) -> AsyncIterator[ReceiverService]:
        async with AsyncExitStack() as stack:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(receiver.app, "served", lambda true: served(cast(ReceiverService, Hostile(true, lie))))
                true = await stack.enter_async_context(receiver.app.running(parts))
            yield true

    return running


async def refuses_the_offer(honest: ReceiverService, frames: AsyncIterator[Frame]) -> Replies:
    if isinstance(await anext(frames), OfferFrame):
        raise Overloaded("it has changed its mind")
    yield Held({})


async def hangs_at_the_offer(honest: ReceiverService, frames: AsyncIterator[Frame]) -> Replies:
    await asyncio.Event().wait()
    yield Held({})


async def hangs_in_a_piece(honest: ReceiverService, frames: AsyncIterator[Frame]) -> Replies:
    async def stalled() -> AsyncIterator[Frame]:
        async for frame in frames:
            yield frame
            if isinstance(frame, ChunkFrame):
                await asyncio.Event().wait()

    async with aclosing(honest.replicate(stalled())) as replies:
        async for reply in replies:
            yield reply


async def hangs_before_the_receipt(honest: ReceiverService, frames: AsyncIterator[Frame]) -> Replies:
    async with aclosing(honest.replicate(frames)) as replies:
        yield await anext(replies)
        await anext(replies)
        await asyncio.Event().wait()


async def ends_without_a_receipt(honest: ReceiverService, frames: AsyncIterator[Frame]) -> Replies:
    """At once, with the status OK, while pieces are still on their way."""
    async with aclosing(honest.replicate(frames)) as replies:
        yield await anext(replies)


async def signs_before_it_has_anything(honest: ReceiverService, frames: AsyncIterator[Frame]) -> Replies:
    async with aclosing(honest.replicate(frames)) as replies:
        yield await anext(replies)
    yield Receipt(Checksum(bytes(32)), Signature(bytes(65)))


async def claims_pieces_it_does_not_have(honest: ReceiverService, frames: AsyncIterator[Frame]) -> Replies:
    """Nonsense is ignored; the pieces are sent, and all is well."""
    async with aclosing(honest.replicate(frames)) as replies:
        await anext(replies)
        yield Held({SegmentIndex(segment): Checksum(secrets.token_bytes(32)) for segment in (0, 1, 2**31)})
        yield await anext(replies)


def tampers_with_a_piece(honest: ReceiverService, frames: AsyncIterator[Frame]) -> Replies:
    """One bit of every chunk; the checksums and the receipt are of what it has stored."""

    async def changed() -> AsyncIterator[Frame]:
        async for frame in frames:
            if isinstance(frame, ChunkFrame):
                yield ChunkFrame(bytes([frame.payload[0] ^ 1]) + bytes(frame.payload[1:]))
            else:
                yield frame

    return honest.replicate(changed())


def with_receipt(make: Callable[[Receipt, Address, ObjectId, ReceiverService], Receipt]) -> Lie:
    """A lie that takes the true receipt and gives another one."""

    async def lie(honest: ReceiverService, frames: AsyncIterator[Frame]) -> Replies:
        opening = await anext(frames)
        assert isinstance(opening, OfferFrame)
        approval = opening.offer.approval.approval
        async with aclosing(honest.replicate(_again(opening, frames))) as replies:
            async for reply in replies:
                if isinstance(reply, Receipt):
                    yield make(reply, approval.approver, approval.object.object_id, honest)
                else:
                    yield reply

    return lie


async def _again(first: Frame, rest: AsyncIterator[Frame]) -> AsyncIterator[Frame]:
    yield first
    async for frame in rest:
        yield frame


_ANOTHER_KEY = PrivateKey.generate(secrets.token_bytes)


def _signed_by_another_key(true: Receipt, me: Address, object_id: ObjectId, honest: ReceiverService) -> Receipt:
    document = ReceiptDoc(me, object_id, true.integrity_hash)
    return Receipt(true.integrity_hash, Signature(_ANOTHER_KEY.sign(keccak256(document.sign_bytes()))))


async def signs_a_wrong_hash(honest: ReceiverService, frames: AsyncIterator[Frame]) -> Replies:
    """With its own key, so that the signature is right."""
    opening = await anext(frames)
    assert isinstance(opening, OfferFrame)
    approval = opening.offer.approval.approval
    wrong = Checksum(b"\x01" * 32)
    async with aclosing(honest.replicate(_again(opening, frames))) as replies:
        async for reply in replies:
            if isinstance(reply, Receipt):
                document = ReceiptDoc(approval.approver, approval.object.object_id, wrong)
                yield Receipt(wrong, await honest.signer.sign(document))
            else:
                yield reply


signs_with_another_key = with_receipt(_signed_by_another_key)
signs_with_zeros = with_receipt(lambda true, *_: Receipt(true.integrity_hash, Signature(bytes(65))))
signs_with_garbage = with_receipt(lambda true, *_: Receipt(true.integrity_hash, Signature(b"\xff" * 65)))
signs_with_nothing = with_receipt(lambda true, *_: Receipt(true.integrity_hash, Signature(b"")))
gives_half_a_hash = with_receipt(lambda true, *_: Receipt(Checksum(true.integrity_hash[:16]), true.signature))
