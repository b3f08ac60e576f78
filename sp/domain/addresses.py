"""sp.crypto.address in the domain's types and errors."""

from __future__ import annotations

from sp.crypto import address, secp256k1
from sp.domain.errors import InvalidRequest
from sp.domain.ids import Address, Signature


def checksummed(raw: bytes) -> Address:
    """raw: the 20 bytes of an address."""
    return Address(address.checksummed(raw))


def parse_address(text: str) -> Address:
    """Any hex case, but mixed case must carry the right EIP-55 checksum; InvalidRequest otherwise."""
    try:
        return Address(address.parse_address(text))
    except ValueError as error:
        raise InvalidRequest(str(error)) from error


def signer_of(digest: bytes, signature: Signature | bytes) -> Address | None:
    """Whose key signed this 32-byte digest, or None when the signature is malformed: compare with whom you expect.

    signature: 65 bytes r || s || v with v in {0, 1, 27, 28}.
    """
    try:
        return Address(secp256k1.recover_address(digest, signature))
    except ValueError:
        return None
