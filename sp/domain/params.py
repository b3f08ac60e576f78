"""The chain's storage parameters: consensus values that decide how an object is cut and coded.

They are versioned: an object keeps the values that were valid at its time (GREENFIELD.md 6.3).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StorageParams:
    """max_segment_size: bytes, from 1 (16777216 on mainnet)
    data_chunks: k, pieces of a segment that carry payload (4 on mainnet)
    parity_chunks: m, pieces that carry parity (2 on mainnet); k + m secondaries hold an object
    max_payload_size, min_charge_size: bytes
    """

    max_segment_size: int = 16_777_216
    data_chunks: int = 4
    parity_chunks: int = 2
    max_payload_size: int = 64 * 1024**3
    min_charge_size: int = 1_048_576

    @property
    def secondaries(self) -> int:
        """How many secondary SPs hold one object."""
        return self.data_chunks + self.parity_chunks
