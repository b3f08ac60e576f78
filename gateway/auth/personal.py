"""GNFD1-ETH-PERSONAL_SIGN: a wallet signs a text that its owner has read (EIP-191).

That proves an account, not a request. So it is taken for one thing only: registering an application's key, whose text
names the key (GREENFIELD.md 7.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.auth.scheme import Identity
from gateway.errors import MalformedAuthorization, UnsupportedScheme
from gateway.request import RequestHead
from sp.crypto.hashing import keccak256
from sp.domain.addresses import signer_of
from sp.domain.errors import SignatureMismatch
from sp.domain.ids import Address

SCHEME: Final = "gnfd1-eth-personal-sign"
ALGORITHM: Final = "GNFD1-ETH-PERSONAL_SIGN"
PATHS: Final = ("/auth/update_key", "/auth/update_key_v2")


def personal_sign_digest(message: str) -> bytes:
    """The 32 bytes that a wallet's personal_sign signs (EIP-191, version 0x45)."""
    raw = message.encode("utf-8", "surrogateescape")
    return keccak256(b"\x19Ethereum Signed Message:\n" + str(len(raw)).encode() + raw)


def personal_signer(message: str, signature_hex: str) -> Address:
    """Who signed the message. MalformedAuthorization, SignatureMismatch."""
    try:
        signature = bytes.fromhex(signature_hex.removeprefix("0x"))
    except ValueError as error:
        raise MalformedAuthorization("the signature is not hex") from error
    signer = signer_of(personal_sign_digest(message), signature)
    if signer is None:
        raise SignatureMismatch("no account can have made this signature")
    return signer


@dataclass(frozen=True, slots=True)
class SignedText:
    message: str
    signature_hex: str


def parse_signed_text(value: str) -> SignedText:
    """Of `GNFD1-ETH-PERSONAL_SIGN,SignedMsg=<text>,Signature=<hex>`, in either order, line ends of the text as the two
    characters `\\n`. MalformedAuthorization."""
    scheme, *fields = value.split(",")
    pairs = dict(field.strip().partition("=")[::2] for field in fields)
    if scheme.strip() != ALGORITHM or len(fields) != 2 or pairs.keys() != {"SignedMsg", "Signature"}:
        raise MalformedAuthorization(f"it must be {ALGORITHM}, SignedMsg=TEXT and Signature=HEX, without other commas")
    return SignedText(pairs["SignedMsg"].replace("\\n", "\n"), pairs["Signature"])


class PersonalSign:
    def recognises(self, head: RequestHead) -> bool:
        return head.header("authorization").startswith(ALGORITHM)

    async def authenticate(self, head: RequestHead, now_s: int) -> Identity:
        if head.raw_path not in PATHS:
            raise UnsupportedScheme(f"{ALGORITHM} for anything but the registration of a key")
        signed = parse_signed_text(head.header("authorization"))
        return Identity(personal_signer(signed.message, signed.signature_hex), SCHEME)
