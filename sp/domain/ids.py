"""Names for what must not be swapped. All are plain ints, strs or bytes at run time."""

from __future__ import annotations

from typing import Final, NewType

Address = NewType("Address", str)
"""An account: "0x" and 40 hex digits in EIP-55 mixed case (see sp.crypto.address.checksummed)."""

Checksum = NewType("Checksum", bytes)
"""A sha256 digest: 32 raw bytes. Of a piece, or (an integrity hash) of joined piece checksums."""

Signature = NewType("Signature", bytes)
"""secp256k1, 65 bytes r || s || v with v in {0, 1}."""

ObjectId = NewType("ObjectId", int)
"""The chain's id of an object: from 1, never reused. A content update keeps it and counts the version up."""

JobId = NewType("JobId", int)
"""This SP's id of one put: 63 bits, time-ordered, never reused. Every put has its own, so it also names its pieces."""

UploadId = NewType("UploadId", int)
"""This SP's id of one multipart upload: 63 bits, time-ordered, never reused. It names the upload's staged pieces."""

SegmentIndex = NewType("SegmentIndex", int)
"""Counts segments of an object from 0."""

RedundancyIndex = NewType("RedundancyIndex", int)
"""Column of the erasure code, 0..k+m-1; PRIMARY (-1) means whole segments on the primary SP."""

PRIMARY: Final = RedundancyIndex(-1)

TxHash = NewType("TxHash", str)
"""keccak256 of a signed transaction, 64 lower-case hex digits without 0x."""
