"""secp256k1 without a private key: who signed this digest?

A signature is 65 bytes r || s || v, as go-ethereum writes it. Like its `Ecrecover`, recovery takes a high s: the twin
(n - s, 1 - v) of a signature recovers to the same address, so never use a signature as a unique name.
"""

from __future__ import annotations

from typing import Final

import coincurve
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from sp.crypto.address import address_of_point

DIGEST_BYTES: Final = 32
SIGNATURE_BYTES: Final = 65

_RECOVERY_IDS: Final = {0: b"\x00", 1: b"\x01", 27: b"\x00", 28: b"\x01"}


def recover_address(digest: bytes, signature: bytes) -> str:
    """The EIP-55 address of the key that signed `digest`.

    digest: 32 bytes; signature: 65 bytes with v in {0, 1}, or {27, 28} as wallets write it.
    Raises ValueError when either is malformed or no key fits. A signature over another digest is not malformed:
    it recovers to some other address, so the answer must be compared.
    """
    return address_of_point(_recovered(digest, signature))


def recover_public_key(digest: bytes, signature: bytes) -> bytes:
    """As `recover_address`, but the key itself: 33 bytes, compressed."""
    return _recovered(digest, signature).format(compressed=True)


def verify(digest: bytes, signature: bytes, public_key: bytes) -> bool:
    """Whether `public_key` (33 or 65 bytes) signed `digest` (32 bytes).

    signature: 64 bytes r || s, or 65 with a v that is not looked at. A high s is refused, as go-ethereum's
    `VerifySignature` does. Raises ValueError for wrong lengths or a key that is no point of the curve.
    """
    if len(signature) not in (SIGNATURE_BYTES - 1, SIGNATURE_BYTES):
        raise ValueError(f"a signature has 64 or 65 bytes, not {len(signature)}")
    _check_digest(digest)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    key = coincurve.PublicKey(bytes(public_key))
    return key.verify(encode_dss_signature(r, s), bytes(digest), hasher=None)


def _recovered(digest: bytes, signature: bytes) -> coincurve.PublicKey:
    if len(signature) != SIGNATURE_BYTES:
        raise ValueError(f"a signature has {SIGNATURE_BYTES} bytes, not {len(signature)}")
    _check_digest(digest)
    v = _RECOVERY_IDS.get(signature[64])
    if v is None:
        raise ValueError(f"v must be 0, 1, 27 or 28, not {signature[64]}")
    return coincurve.PublicKey.from_signature_and_message(bytes(signature[:64]) + v, bytes(digest), hasher=None)


def _check_digest(digest: bytes) -> None:
    if len(digest) != DIGEST_BYTES:
        raise ValueError(f"a digest has {DIGEST_BYTES} bytes, not {len(digest)}")
