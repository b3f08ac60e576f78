"""Key material. For signer/ and cli/ alone: no other service imports this module."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NoReturn

import coincurve

from sp.crypto.address import address_of_point

SECRET_BYTES: Final = 32

_HEX_SECRET: Final = re.compile(r"(?:0x)?([0-9a-fA-F]{64})")
_DRAWS: Final = 8  # one in 2**128 draws is no scalar, so a second failure already means a broken source


@dataclass(frozen=True, slots=True, repr=False)
class PrivateKey:
    """A secp256k1 key that signs for one account. It prints as its address, and compares by it; it does not pickle."""

    _key: coincurve.PrivateKey = field(compare=False)
    address: str

    @classmethod
    def from_bytes(cls, secret: bytes) -> PrivateKey:
        """secret: 32 bytes, a scalar from 1 to the group order less one; ValueError otherwise."""
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"a private key has {SECRET_BYTES} bytes")
        key = coincurve.PrivateKey(bytes(secret))
        return cls(key, address_of_point(key.public_key))

    @classmethod
    def from_hex(cls, text: str) -> PrivateKey:
        """text: 64 hex digits, with or without 0x; ValueError (which does not quote it) otherwise."""
        match = _HEX_SECRET.fullmatch(text)
        if match is None:
            raise ValueError("a private key is written as 64 hex digits")
        return cls.from_bytes(bytes.fromhex(match[1]))

    @classmethod
    def generate(cls, random_bytes: Callable[[int], bytes]) -> PrivateKey:
        """A new key from a cryptographic source such as `secrets.token_bytes`; ValueError when that gives no scalar."""
        for _ in range(_DRAWS):
            try:
                return cls.from_bytes(random_bytes(SECRET_BYTES))
            except ValueError:
                continue  # zero, or not below the group order: draw again
        raise ValueError("the random source gave no valid private key")

    @property
    def public_key(self) -> bytes:
        """33 bytes, compressed."""
        return self._key.public_key.format(compressed=True)

    def sign(self, digest: bytes) -> bytes:
        """65 bytes r || s || v over a 32-byte digest: nonce by RFC 6979, s low, v in {0, 1}.

        The same digest gives the same signature. Raises ValueError for a digest of another length.
        """
        return self._key.sign_recoverable(bytes(digest), hasher=None)

    def reveal_hex(self) -> str:
        """THE SECRET, 64 hex digits. For a keystore, or for a person who asked to see it; never for a log."""
        return self._key.secret.hex()

    def __repr__(self) -> str:
        return f"PrivateKey(address={self.address})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key never leaves its process")
