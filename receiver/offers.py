"""Whether an offer, or a request for a piece, is to be trusted: pure. Each raises or does nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from sp.crypto.hashing import keccak256
from sp.domain.addresses import signer_of
from sp.domain.approvals import Offer, PieceRequest, check_age, check_approval
from sp.domain.contents import Content, contradiction, leaving, same_cut
from sp.domain.errors import InvalidRequest, SignatureError, UnknownProvider
from sp.domain.ids import PRIMARY, Address, ObjectId, RedundancyIndex
from sp.domain.ledger import Bucket, ChainObject, StorageProvider
from sp.domain.params import StorageParams

_SIGNATURE_BYTES: Final = 65
_MAX_SEGMENTS: Final = 2**31


def check_offer_sizes(offer: Offer, signature: bytes) -> None:
    """InvalidRequest. The first of all checks."""
    ref = offer.approval.approval.object
    if len(signature) != _SIGNATURE_BYTES or len(offer.approval.signature) != _SIGNATURE_BYTES:
        raise InvalidRequest(f"a signature has {_SIGNATURE_BYTES} bytes")
    if not 1 <= ref.object_id < 2**63 or not 0 <= ref.version < 2**31:
        raise InvalidRequest("object id or version out of bounds")
    if len(ref.bucket.encode()) > 63 or len(ref.object_name.encode()) > 1024:
        raise InvalidRequest("bucket or object name too long")
    if not 1 <= ref.payload_size < 2**63:
        raise InvalidRequest("an empty object has no groups, and no object has more than 2^63 bytes")
    if not 0 <= offer.redundancy_index < ref.params.secondaries:
        raise InvalidRequest(f"there is no column {offer.redundancy_index}")


def check_offer(
    offer: Offer,
    signature: bytes,
    *,
    sender: StorageProvider | None,
    me: Address,
    my_approval_key: Address,
    now_s: int,
    height: int,
) -> None:
    """One who answers for its objects signed it lately; the approval in it is mine, for this sender, and not expired.

    UnknownProvider, SignatureError. What it says of the object is for `check_content`.
    """
    signed = offer.approval
    if sender is None or not sender.serving or sender.operator == me:
        raise UnknownProvider(signed.approval.asker)
    if signer_of(keccak256(offer.sign_bytes()), signature) != sender.operator:
        raise SignatureError("the offer is not signed by its sender")
    check_age(offer.offered_at_s, now_s)
    if signer_of(keccak256(signed.approval.sign_bytes()), signed.signature) != my_approval_key:
        raise SignatureError("the approval is not signed by this provider")
    object_id = signed.approval.object.object_id
    check_approval(signed.approval, object_id=object_id, asker=sender.operator, me=me, now_s=now_s, height=height)


def check_content(
    offer: Offer,
    me: Address,
    found: ChainObject,
    content: Content,
    bucket: Bucket,
    params: StorageParams,
    providers: Mapping[Address, StorageProvider],
) -> None:
    """The chain knows this content as the offer describes it, and the sender as its primary. A column of a sealed one
    is offered anew where its holder leaves.

    params: the chain's for this content; providers: all that are registered. SignatureError, InvalidRequest.
    """
    approval = offer.approval.approval
    if bucket.primary_sp != approval.asker:
        raise SignatureError("the sender is not the primary of the bucket")
    wrong = contradiction(found, content, approval.object)
    if wrong or not same_cut(params, approval.object.params):
        raise InvalidRequest(wrong or "the object's storage parameters are others on chain")
    holder = holder_of(content, offer.redundancy_index)
    if content.sealed and holder != me:
        if offer.redundancy_index not in leaving(content, providers):
            raise InvalidRequest("the object is sealed with another secondary for this column")
        if me in content.secondaries:
            raise InvalidRequest("the object is sealed with this secondary for another column")


def check_piece_request(
    request: PieceRequest, signature: bytes, *, asker: StorageProvider | None, me: Address, now_s: int
) -> None:
    """InvalidRequest, UnknownProvider, SignatureError."""
    if len(signature) != _SIGNATURE_BYTES or not 0 <= request.segment < _MAX_SEGMENTS:
        raise InvalidRequest("signature or segment out of bounds")
    if request.redundancy_index < PRIMARY:
        raise InvalidRequest(f"there is no redundancy index {request.redundancy_index}")
    if asker is None or not asker.serving:
        raise UnknownProvider(request.asker)
    if request.holder != me:
        raise SignatureError("the request is for another provider")
    if signer_of(keccak256(request.sign_bytes()), signature) != asker.operator:
        raise SignatureError("the request is not signed by its asker")
    check_age(request.asked_at_s, now_s)


def may_read(asker: Address, content: Content, bucket: Bucket) -> bool:
    """The object's primary and its secondaries rebuild it from each other's pieces. (Public ones: anyone may.)"""
    return asker == bucket.primary_sp or asker in content.secondaries


def holder_of(content: Content, index: RedundancyIndex) -> Address | None:
    """Whom the chain names for a column; None where it names nobody (yet)."""
    return content.secondaries[index] if index < len(content.secondaries) else None


class NewestOffers:
    """When the newest offer of each group was made, for the latest `limit` groups: an older one is a replay.

    The same offer again is not: a sender may repeat itself within the second that offers are dated by.
    """

    def __init__(self, limit: int = 65_536) -> None:
        self._limit = limit
        self._newest: OrderedDict[tuple[ObjectId, int, RedundancyIndex], int] = OrderedDict()

    def add(self, offer: Offer) -> None:
        """SignatureError for a replay."""
        ref = offer.approval.approval.object
        key = (ref.object_id, ref.version, offer.redundancy_index)
        if offer.offered_at_s < self._newest.get(key, 0):
            raise SignatureError("replayed: a later offer of this group has been seen")
        self._newest[key] = offer.offered_at_s
        self._newest.move_to_end(key)
        if len(self._newest) > self._limit:
            self._newest.popitem(last=False)
