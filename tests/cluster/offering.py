"""One column of an object, offered to a provider by a test in the place of a primary's task node."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from receiver.client import Receipt, open_receivers
from sp.domain.approvals import Approval, ObjectRef, Offer, SignedApproval
from sp.domain.ids import RedundancyIndex, SegmentIndex, Signature
from sp.domain.ledger import Visibility
from sp.domain.messages import MsgDelegateCreateObject
from sp.runtime.clock import SystemClock
from tests.cluster.network import Network, Sp
from tests.cluster.users import BLOCKS, pieces_and_checksums

STREAM_S = 10.0


def now_s() -> int:
    return SystemClock().now_ms() // 1000


@dataclass(frozen=True, slots=True)
class Column:
    """What there is to offer. pieces: one of each segment"""

    ref: ObjectRef
    index: RedundancyIndex
    pieces: list[bytes]


async def created(network: Network, primary: Sp, bucket: str, name: str, body: bytes) -> list[Column]:
    """An object that the chain expects `primary` to seal (by delegation, for the network's account): its columns."""
    height = (await network.chain.latest_block()).height
    message = MsgDelegateCreateObject(
        primary.operator, network.account.address, bucket, name, len(body), "text/plain", Visibility.INHERIT
    )
    result = await network.chain.wait_tx(await primary.signer.submit(message), height + BLOCKS)
    assert result.object_id is not None, result
    params = await network.chain.params_at((await network.chain.latest_block()).time_s)
    ref = ObjectRef(result.object_id, 0, bucket, name, len(body), params)
    segments, _ = pieces_and_checksums(body, params.max_segment_size)
    return [Column(ref, RedundancyIndex(i), [pieces[i] for pieces in segments]) for i in range(6)]


async def approved(ref: ObjectRef, asker: Sp, approver: Sp, /, **changes: Any) -> SignedApproval:
    """An approval truly given by `approver`, with these fields."""
    approval = Approval(ref, asker.operator, approver.operator, now_s() + 60, 1_000_000)
    approval = replace(approval, **changes)
    return SignedApproval(approval, await approver.signer.sign(approval))


async def offer_of(
    sender: Sp, approval: SignedApproval, index: int, at_s: int | None = None
) -> tuple[Offer, Signature]:
    """Signed by `sender` as its own."""
    offer = Offer(approval, RedundancyIndex(index), now_s() if at_s is None else at_s)
    return offer, await sender.signer.sign(offer)


async def send(
    sender: Sp, target: Sp, offer: Offer, signature: Signature, pieces: list[bytes], *, end: bool = True
) -> Receipt | None:
    """Over the network; the receipt, or None when the stream is broken off behind the pieces."""
    assert sender.parts is not None
    receivers = await open_receivers(sender.parts)
    async with receivers.replicate(target.receiver_endpoint, offer, signature, STREAM_S) as stream:
        for segment, piece in enumerate(pieces):
            await stream.send_piece(SegmentIndex(segment), piece)
        return await stream.finish() if end else None
