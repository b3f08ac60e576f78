"""A primary provider's word that it will serve a bucket or an object, given before it is created on chain.

The signed bytes are the transaction's message as sorted protobuf JSON (original names, defaults written out, enums by
name, 64-bit integers as text) with its approval filled in but for the signature (GREENFIELD.md 4.4).
Source: greenfield x/storage/types/message.go GetApprovalBytes; vector: tests/vectors/signdoc_vectors.json.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import Final

from sp.domain.ids import Address, Checksum, Signature
from sp.domain.ledger import RedundancyType, Visibility
from sp.domain.signdocs import canonical_json

VISIBILITY_NAMES: Final = {
    Visibility.UNSPECIFIED: "VISIBILITY_TYPE_UNSPECIFIED",
    Visibility.PUBLIC_READ: "VISIBILITY_TYPE_PUBLIC_READ",
    Visibility.PRIVATE: "VISIBILITY_TYPE_PRIVATE",
    Visibility.INHERIT: "VISIBILITY_TYPE_INHERIT",
}
REDUNDANCY_NAMES: Final = {RedundancyType.EC: "REDUNDANCY_EC_TYPE", RedundancyType.REPLICA: "REDUNDANCY_REPLICA_TYPE"}


@dataclass(frozen=True, slots=True)
class CreateBucketApproval:
    """creator, payment_address: as the client wrote them (EIP-55 or not, "" for none): they are signed as they are
    primary_sp: who approves; expired_height: the last height at which it counts; family_id: 0 where there is none
    """

    creator: str
    bucket: str
    visibility: Visibility
    payment_address: str
    primary_sp: Address
    charged_read_quota: int
    expired_height: int
    family_id: int = 0

    def sign_bytes(self) -> bytes:
        return self.message(Signature(b""))

    def message(self, signature: Signature) -> bytes:
        """The message with the approval complete: what the client puts into its transaction."""
        return canonical_json(
            {
                "creator": self.creator,
                "bucket_name": self.bucket,
                "visibility": VISIBILITY_NAMES[self.visibility],
                "payment_address": self.payment_address,
                "primary_sp_address": self.primary_sp,
                "primary_sp_approval": _approval(self.expired_height, self.family_id, signature),
                "charged_read_quota": str(self.charged_read_quota),
            }
        )


@dataclass(frozen=True, slots=True)
class CreateObjectApproval:
    """As CreateBucketApproval. primary_sp: who approves; the message does not name it, its signature does."""

    creator: str
    bucket: str
    object_name: str
    payload_size: int
    visibility: Visibility
    content_type: str
    expect_checksums: tuple[Checksum, ...]
    redundancy: RedundancyType
    primary_sp: Address
    expired_height: int
    family_id: int = 0

    def sign_bytes(self) -> bytes:
        return self.message(Signature(b""))

    def message(self, signature: Signature) -> bytes:
        """The message with the approval complete: what the client puts into its transaction."""
        return canonical_json(
            {
                "creator": self.creator,
                "bucket_name": self.bucket,
                "object_name": self.object_name,
                "payload_size": str(self.payload_size),
                "visibility": VISIBILITY_NAMES[self.visibility],
                "content_type": self.content_type,
                "primary_sp_approval": _approval(self.expired_height, self.family_id, signature),
                "expect_checksums": [b64encode(checksum).decode() for checksum in self.expect_checksums],
                "redundancy_type": REDUNDANCY_NAMES[self.redundancy],
            }
        )


def _approval(expired_height: int, family_id: int, signature: Signature) -> dict[str, object]:
    return {
        "expired_height": str(expired_height),
        "global_virtual_group_family_id": family_id,
        "sig": b64encode(signature).decode(),
    }
