"""Secrets at rest: AES-256-GCM, each bound to a label that says what it is, so that none can be put in another's place.

A sealed secret is 12 bytes of nonce and then the ciphertext with its 16 byte tag, written as hex.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

RandomBytes = Callable[[int], bytes]
"""A cryptographic source such as `secrets.token_bytes`."""

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
MAX_SCRYPT_BYTES: Final = 256 << 20
"""Of memory that a password may take to become a key."""


class NotThisKey(ValueError):
    """The secret was sealed under another key or label, or was changed since."""


def seal(key: bytes, label: str, secret: bytes, random_bytes: RandomBytes) -> str:
    nonce = random_bytes(_NONCE_BYTES)
    return (nonce + AESGCM(key).encrypt(nonce, secret, label.encode())).hex()


def unseal(key: bytes, label: str, sealed: str) -> bytes:
    """NotThisKey; ValueError when `sealed` is no hex."""
    raw = bytes.fromhex(sealed)
    try:
        return AESGCM(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], label.encode())
    except InvalidTag as error:
        raise NotThisKey(label) from error


@dataclass(frozen=True, slots=True)
class Stretching:
    """How a password becomes a key: scrypt. The defaults take 32 MiB and about a quarter of a second (OWASP's N=2^15,
    p=3). They are capped, so that a forged file cannot exhaust memory."""

    salt: bytes
    log2_n: int = 15
    r: int = 8
    p: int = 3

    def __post_init__(self) -> None:
        if not (1 <= self.log2_n <= 20 and 1 <= self.r <= 16 and 1 <= self.p <= 16 and len(self.salt) >= 16):
            raise ValueError("scrypt parameters out of bounds")
        if 128 * self.r << self.log2_n > MAX_SCRYPT_BYTES:
            raise ValueError("scrypt parameters out of bounds")

    def key(self, password: str) -> bytes:
        """Blocks for as long as it is meant to cost an attacker."""
        return Scrypt(salt=self.salt, length=KEY_BYTES, n=1 << self.log2_n, r=self.r, p=self.p).derive(
            password.encode()
        )
