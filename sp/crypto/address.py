"""Account addresses: the last 20 bytes of keccak256 over a secp256k1 public key, spelled as EIP-55 says.

Returns plain str: sp.domain.addresses gives the same functions in the domain's types.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import coincurve

from sp.crypto.hashing import keccak256

ADDRESS_BYTES: Final = 20

_HEX_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")


@lru_cache(maxsize=4096)
def checksummed(raw: bytes) -> str:
    """ "0x" and 40 hex digits in EIP-55 mixed case. raw: the 20 bytes of the address; ValueError for another length."""
    if len(raw) != ADDRESS_BYTES:
        raise ValueError(f"an address has {ADDRESS_BYTES} bytes, not {len(raw)}")
    digits = raw.hex()
    marks = keccak256(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if mark >= "8" else digit for digit, mark in zip(digits, marks[: len(digits)], strict=True)
    )


@lru_cache(maxsize=4096)
def parse_address(text: str) -> str:
    """The EIP-55 spelling of `text`, which may be all lower or all upper case; mixed case must be right.

    Raises ValueError for anything but "0x" and 40 hex digits, and for mixed case with a wrong checksum.
    """
    if not _HEX_ADDRESS.fullmatch(text):
        raise ValueError("not an address: 0x and 40 hex digits are expected")
    digits = text[2:]
    right = checksummed(bytes.fromhex(digits))
    if text != right and digits not in (digits.lower(), digits.upper()):
        raise ValueError("the mixed case of this address does not match its EIP-55 checksum")
    return right


def address_of_public_key(public_key: bytes) -> str:
    """The address of a secp256k1 key: 33 bytes compressed (02, 03) or 65 uncompressed (04); ValueError otherwise."""
    if public_key[:1] not in (b"\x02", b"\x03", b"\x04"):
        raise ValueError("a public key starts with 02, 03 or 04")  # libsecp256k1 would take the hybrid 06, 07 too
    return address_of_point(coincurve.PublicKey(bytes(public_key)))


def address_of_point(key: coincurve.PublicKey) -> str:
    """The address of a key that coincurve has parsed, recovered or derived."""
    return _address_of(key.format(compressed=False)[1:])


@lru_cache(maxsize=4096)
def _address_of(point: bytes) -> str:
    """The same few keys sign nearly everything."""
    return checksummed(keccak256(point)[-ADDRESS_BYTES:])
