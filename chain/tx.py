"""Signing a transaction of the development chain. Whoever signs brings the signing function; no key comes here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Final

from sp.crypto.hashing import keccak256
from sp.domain.ids import Address, Signature, TxHash
from sp.domain.messages import TxMessage
from sp.wire.transactions import SignedTx, TxBody, signed_tx_bytes, tx_body_bytes

SIGN_PREFIX: Final = b"greenfield-sp-dev tx\n"
"""Before the body, so that no signature over anything else is ever one over a transaction (proto/chain.proto)."""


def signer_of(message: TxMessage) -> Address:
    """The account that must sign: the one that the message's first field names."""
    signer: Address = getattr(message, fields(message)[0].name)
    return signer


def sign_tx(message: TxMessage, sign: Callable[[bytes], bytes], nonce: int, chain_id: str) -> tuple[bytes, TxHash]:
    """A transaction for `Chain.broadcast`, and its hash.

    sign: 32-byte digest -> 65-byte signature r || s || v, by the key of `signer_of(message)`
    nonce: transactions of that account executed before this one (`Chain.account`)
    InvalidRequest for a message that cannot be written down (text that is no Unicode, a size of more than 64 bits).
    """
    body = tx_body_bytes(TxBody(chain_id, signer_of(message), nonce, message))
    signed = signed_tx_bytes(SignedTx(body, Signature(sign(sign_digest(body)))))
    return signed, hash_of(signed)


def sign_digest(body: bytes) -> bytes:
    """The 32 bytes that are signed. body: a serialised TxBody"""
    return keccak256(SIGN_PREFIX + body)


def hash_of(signed_tx: bytes) -> TxHash:
    """By this name a transaction is known everywhere; two signatures of one body are two transactions."""
    return TxHash(keccak256(signed_tx).hex())
