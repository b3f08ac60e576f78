"""Offers with an approval that does not hold, made to a Receiver over gRPC: SIGNATURE_ERROR, and nothing is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio

from receiver.client import open_receivers
from sp.domain.approvals import Offer, PieceRequest, ReceiptDoc, SignedApproval
from sp.domain.errors import InvalidRequest, PieceNotFound, SignatureError, SpError, UnknownProvider
from sp.domain.ids import ObjectId, RedundancyIndex, Signature
from sp.domain.integrity import integrity_hash, piece_checksum
from sp.domain.messages import MsgDeleteObject
from tests.cluster import offering
from tests.cluster.conftest import BUCKET, remains
from tests.cluster.network import KIB, Network, Sp
from tests.cluster.offering import Column, approved, now_s, offer_of, send
from tests.cluster.s3 import S3
from tests.cluster.users import User
from tests.vectors import payload

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("nothing_left_afterwards")]

PLAN: dict[str, Any] = {"sps": 7, "manual_chores": True}
BODY = payload(2 * 64 * KIB + 5)


@dataclass(frozen=True)
class Case:
    """An object that waits for its seal; its primary; the provider that is offered a column; and a third one."""

    column: Column
    primary: Sp
    target: Sp
    third: Sp

    async def refused(self, offer: Offer, signature: Signature, sender: Sp | None = None) -> SpError:
        """What the target says to this offer. It has stored nothing."""
        with pytest.raises(SpError) as refusal:
            await send(sender or self.primary, self.target, offer, signature, self.column.pieces)
        assert await remains(self.target) == ([], {})
        return refusal.value


@pytest_asyncio.fixture(loop_scope="module")
async def case(network: Network, s3: S3, nothing_left_afterwards: None) -> AsyncIterator[Case]:
    primary, target, third = network.sps[:3]
    columns = await offering.created(network, primary, BUCKET, "offered", BODY)
    yield Case(columns[2], primary, target, third)
    owner = User(network.account.key, network.chain)
    await owner.execute(MsgDeleteObject(owner.address, BUCKET, "offered"))


def assert_signature_error(refusal: SpError, reason: str) -> None:
    assert isinstance(refusal, SignatureError), refusal
    assert reason in refusal.reason


async def test_a_true_offer_is_taken_and_signed_for(case: Case) -> None:
    offer, signature = await offer_of(case.primary, await approved_for(case), 2)
    receipt = await send(case.primary, case.target, offer, signature, case.column.pieces)
    assert receipt is not None
    assert receipt.integrity_hash == integrity_hash(map(piece_checksum, case.column.pieces))
    document = ReceiptDoc(case.target.operator, case.column.ref.object_id, receipt.integrity_hash)
    assert receipt.signature == await case.target.signer.sign(document)
    assert len(await case.target.keys()) == 3


async def test_an_approval_past_its_time_is_refused(case: Case) -> None:
    approval = await approved(case.column.ref, case.primary, case.target, expires_at_s=now_s() - 1)
    assert_signature_error(await case.refused(*await offer_of(case.primary, approval, 2)), "approval expired")


async def test_an_approval_past_its_height_is_refused(network: Network, case: Case) -> None:
    height = (await network.node.advance(2)).height
    assert case.target.parts is not None
    await case.target.signer.chain.next_block(height - 1)
    approval = await approved(case.column.ref, case.primary, case.target, expires_height=height - 1)
    assert_signature_error(await case.refused(*await offer_of(case.primary, approval, 2)), "approval expired")


async def test_an_approval_of_another_provider_is_refused(case: Case) -> None:
    approval = await approved(case.column.ref, case.primary, case.third)
    refusal = await case.refused(*await offer_of(case.primary, approval, 2))
    assert_signature_error(refusal, "the approval is not signed by this provider")


async def test_an_approval_that_another_provider_signed_in_this_ones_name_is_refused(case: Case) -> None:
    theirs = await approved(case.column.ref, case.primary, case.third)
    forged = replace(theirs, approval=replace(theirs.approval, approver=case.target.operator))
    refusal = await case.refused(*await offer_of(case.primary, forged, 2))
    assert_signature_error(refusal, "the approval is not signed by this provider")


async def test_an_approval_for_another_object_does_not_serve_for_this_one(case: Case) -> None:
    """Rewritten to this object it is not what was signed."""
    other = replace(case.column.ref, object_id=ObjectId(case.column.ref.object_id + 1000))
    signed = await approved(other, case.primary, case.target)
    rewritten = replace(signed, approval=replace(signed.approval, object=case.column.ref))
    refusal = await case.refused(*await offer_of(case.primary, rewritten, 2))
    assert_signature_error(refusal, "the approval is not signed by this provider")


async def test_an_approval_for_another_asker_does_not_serve_this_one(case: Case) -> None:
    """The third provider was given it: its own offer fails since it is no primary, the primary's since it is not its
    own, and one that is rewritten to the primary since that is not what was signed."""
    signed = await approved(case.column.ref, case.third, case.target)
    theirs = await case.refused(*await offer_of(case.third, signed, 2), sender=case.third)
    assert_signature_error(theirs, "the sender is not the primary of the bucket")
    stolen = Offer(signed, RedundancyIndex(2), now_s())
    signature = await case.primary.signer.sign(replace(stolen, approval=await approved_for(case)))
    assert_signature_error(await case.refused(stolen, signature), "the offer is not signed by its sender")
    rewritten = replace(signed, approval=replace(signed.approval, asker=case.primary.operator))
    refusal = await case.refused(*await offer_of(case.primary, rewritten, 2))
    assert_signature_error(refusal, "the approval is not signed by this provider")


async def approved_for(case: Case) -> SignedApproval:
    return await approved(case.column.ref, case.primary, case.target)


@pytest.mark.parametrize("change", ["payload_size", "max_segment_size", "version"])
async def test_an_approval_does_not_serve_for_a_column_of_another_size(case: Case, change: str) -> None:
    ref = case.column.ref
    other = {
        "payload_size": replace(ref, payload_size=ref.payload_size + 1),
        "max_segment_size": replace(ref, params=replace(ref.params, max_segment_size=2 * ref.params.max_segment_size)),
        "version": replace(ref, version=1),
    }[change]
    signed = await approved(other, case.primary, case.target)
    replayed = replace(signed, approval=replace(signed.approval, object=ref))
    refusal = await case.refused(*await offer_of(case.primary, replayed, 2))
    assert_signature_error(refusal, "the approval is not signed by this provider")


async def test_a_column_that_the_chain_describes_otherwise_is_refused_though_it_was_approved(case: Case) -> None:
    other = replace(case.column.ref, payload_size=case.column.ref.payload_size + 1)
    approval = await approved(other, case.primary, case.target)
    assert isinstance(await case.refused(*await offer_of(case.primary, approval, 2)), InvalidRequest)


async def test_an_older_offer_is_a_replay_once_a_newer_one_was_made(case: Case) -> None:
    approval = await approved_for(case)
    old = await offer_of(case.primary, approval, 2, at_s=now_s() - 5)
    newer = await offer_of(case.primary, approval, 2)
    assert await send(case.primary, case.target, *newer, case.column.pieces) is not None
    with pytest.raises(SignatureError, match="replayed"):
        await send(case.primary, case.target, *old, case.column.pieces)


@pytest.mark.parametrize("shift_s", [-2000, 2000])
async def test_an_offer_of_another_time_is_refused(case: Case, shift_s: int) -> None:
    approval = await approved_for(case)
    offer, signature = await offer_of(case.primary, approval, 2, at_s=now_s() + shift_s)
    assert_signature_error(await case.refused(offer, signature), "expired" if shift_s < 0 else "in the future")


async def test_an_offer_changed_on_its_way_is_refused(case: Case) -> None:
    """Another column, another time: the sender's signature covers both."""
    approval = await approved_for(case)
    offer, signature = await offer_of(case.primary, approval, 2)
    for changed in (
        replace(offer, redundancy_index=RedundancyIndex(3)),
        replace(offer, offered_at_s=offer.offered_at_s - 1),
    ):
        assert_signature_error(await case.refused(changed, signature), "the offer is not signed by its sender")


async def test_an_offer_of_someone_who_is_no_provider_is_refused(network: Network, case: Case) -> None:
    approval = await approved(case.column.ref, case.primary, case.target, asker=network.account.address)
    offer = Offer(approval, RedundancyIndex(2), now_s())
    assert isinstance(await case.refused(offer, Signature(bytes(65))), UnknownProvider)


async def test_a_stored_piece_is_given_to_nobody_without_a_right_to_it(case: Case) -> None:
    """To the primary it is; a provider that keeps no part of the object, and a forger, get not one byte."""
    await send(
        case.primary, case.target, *await offer_of(case.primary, await approved_for(case), 2), case.column.pieces
    )
    true = PieceRequest(
        case.column.ref.object_id, 0, 1, RedundancyIndex(2), case.primary.operator, case.target.operator, now_s()
    )
    theirs = replace(true, asker=case.third.operator)
    assert await asked(case, case.primary, true) == case.column.pieces[1]
    with pytest.raises(SignatureError, match="keeps no part"):
        await asked(case, case.third, theirs)
    with pytest.raises(SignatureError, match="not signed by its asker"):
        await asked(case, case.third, true, signed=theirs)
    with pytest.raises(SignatureError, match="not signed by its asker"):
        await asked(case, case.primary, replace(true, segment=0), signed=true)
    with pytest.raises(SignatureError, match="for another provider"):
        await asked(case, case.primary, replace(true, holder=case.third.operator))
    with pytest.raises(SignatureError, match="expired"):
        await asked(case, case.primary, replace(true, asked_at_s=now_s() - 2000))
    with pytest.raises(PieceNotFound):
        await asked(case, case.primary, replace(true, redundancy_index=RedundancyIndex(4)))


async def asked(case: Case, sender: Sp, request: PieceRequest, signed: PieceRequest | None = None) -> bytes:
    """The piece, for a request with the signature of `sender` under it (or under `signed`)."""
    assert sender.parts is not None
    receivers = await open_receivers(sender.parts)
    proof = await sender.signer.sign(signed or request)
    stream = receivers.get_piece(case.target.receiver_endpoint, request, proof, offering.STREAM_S)
    return b"".join([chunk async for chunk in stream])
