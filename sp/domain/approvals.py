"""What one provider asks of another, and what it must have signed: approvals, offers, piece requests.

Everything here is from or for a stranger. A message names the object, the asker, the answerer and an expiry, and is
checked before any byte of payload is taken. Signed bytes are canonical JSON (sorted keys, no blanks, 64-bit integers
and bytes as text, as the network signs its documents; sp.domain.signdocs), hashed with keccak256.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

from sp.domain.create_approvals import CreateBucketApproval, CreateObjectApproval
from sp.domain.errors import SignatureError
from sp.domain.ids import Address, Checksum, ObjectId, RedundancyIndex
from sp.domain.params import StorageParams
from sp.domain.signdocs import canonical_json, secondary_sp_sign_bytes

MESSAGE_LIFETIME_S: Final = 1000
"""Age past which a message between providers is refused (upstream's piece-task age, GREENFIELD.md 3.5.8)."""

CLOCK_SKEW_S: Final = 120
"""How far in the future another provider's message may be dated."""


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """Which content of which object: what approvals, offers and receipts are about.

    payload_size: bytes; params: those of the object's time, they decide every piece's size
    """

    object_id: ObjectId
    version: int
    bucket: str
    object_name: str
    payload_size: int
    params: StorageParams

    def sign_fields(self) -> dict[str, object]:
        return {
            "object_id": str(self.object_id),
            "version": str(self.version),
            "bucket_name": self.bucket,
            "object_name": self.object_name,
            "payload_size": str(self.payload_size),
            "max_segment_size": str(self.params.max_segment_size),
            "data_chunks": self.params.data_chunks,
            "parity_chunks": self.params.parity_chunks,
        }


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """Will you keep one column of this object? Signed by the asker's operator key.

    asked_at_s: unix seconds; nonce: 16 random bytes as hex, so that the same question twice is two messages
    """

    object: ObjectRef
    asker: Address
    asked_at_s: int
    nonce: str

    def sign_bytes(self) -> bytes:
        return canonical_json(
            {
                "type": "p2p/ApprovalRequest",
                "object": self.object.sign_fields(),
                "asker": self.asker,
                "asked_at": str(self.asked_at_s),
                "nonce": self.nonce,
            }
        )


@dataclass(frozen=True, slots=True)
class Approval:
    """I will keep one column of this object for this asker. Signed by the approver's approval key.

    expires_at_s: unix seconds; expires_height: chain height; it ends with whichever comes first
    """

    object: ObjectRef
    asker: Address
    approver: Address
    expires_at_s: int
    expires_height: int

    def sign_bytes(self) -> bytes:
        return canonical_json(
            {
                "type": "p2p/Approval",
                "object": self.object.sign_fields(),
                "asker": self.asker,
                "approver": self.approver,
                "expires_at": str(self.expires_at_s),
                "expires_height": str(self.expires_height),
            }
        )


@dataclass(frozen=True, slots=True)
class SignedApproval:
    approval: Approval
    signature: bytes


@dataclass(frozen=True, slots=True)
class Offer:
    """Take this replicate data group: opens a Replicate stream. Signed by the asker's operator key.

    approval: the receiver's own, given earlier
    redundancy_index: the column of the group, 0..k+m-1
    offered_at_s: unix seconds
    """

    approval: SignedApproval
    redundancy_index: RedundancyIndex
    offered_at_s: int

    def sign_bytes(self) -> bytes:
        return canonical_json(
            {
                "type": "receiver/Offer",
                "object": self.approval.approval.object.sign_fields(),
                "asker": self.approval.approval.asker,
                "receiver": self.approval.approval.approver,
                "approval_signature": base64.b64encode(self.approval.signature).decode(),
                "redundancy_index": self.redundancy_index,
                "offered_at": str(self.offered_at_s),
            }
        )


@dataclass(frozen=True, slots=True)
class PieceRequest:
    """Give me this piece back, to rebuild a segment. Signed by the asker's operator key."""

    object_id: ObjectId
    version: int
    segment: int
    redundancy_index: RedundancyIndex
    asker: Address
    holder: Address
    asked_at_s: int

    def sign_bytes(self) -> bytes:
        return canonical_json(
            {
                "type": "receiver/PieceRequest",
                "object_id": str(self.object_id),
                "version": str(self.version),
                "segment": self.segment,
                "redundancy_index": self.redundancy_index,
                "asker": self.asker,
                "holder": self.holder,
                "asked_at": str(self.asked_at_s),
            }
        )


@dataclass(frozen=True, slots=True)
class ReceiptDoc:
    """The network's SecondarySpSignDoc: this provider holds the column with this integrity hash (GREENFIELD.md 5.3)."""

    sp_operator: Address
    object_id: ObjectId
    checksum: Checksum

    def sign_bytes(self) -> bytes:
        return secondary_sp_sign_bytes(self.sp_operator, self.object_id, self.checksum)


SignDoc = ApprovalRequest | Approval | Offer | PieceRequest | ReceiptDoc | CreateBucketApproval | CreateObjectApproval
"""Everything a provider's Signer signs besides transactions: requests and offers by the operator key, approvals and
receipts by the approval key."""


def check_age(sent_at_s: int, now_s: int) -> None:
    """A message between providers must be fresh: SignatureError when it is older than MESSAGE_LIFETIME_S or ahead."""
    if sent_at_s > now_s + CLOCK_SKEW_S:
        raise SignatureError("dated in the future")
    if sent_at_s < now_s - MESSAGE_LIFETIME_S:
        raise SignatureError("expired")


def check_approval(
    approval: Approval, *, object_id: ObjectId, asker: Address, me: Address, now_s: int, height: int
) -> None:
    """An approval, its signature already found to be mine, must be for this object and this asker and not expired."""
    if approval.approver != me:
        raise SignatureError("approval of another provider")
    if approval.asker != asker:
        raise SignatureError("approval for another asker")
    if approval.object.object_id != object_id:
        raise SignatureError("approval for another object")
    if now_s > approval.expires_at_s or height > approval.expires_height:
        raise SignatureError("approval expired")
