"""Transactions of the development chain: messages of sp.domain.messages, their bodies and signed envelopes.

Every message of chain.proto has the name of its dataclass and the same field names, so one table of field types
converts them all; tests/unit/test_wire_chain.py holds the two descriptions to each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, Final, get_args, get_type_hints

from google.protobuf.message import DecodeError

from proto import chain_pb2 as pb
from sp.domain.addresses import parse_address as address
from sp.domain.errors import InvalidRequest
from sp.domain.ids import Address, Checksum, ObjectId, Signature
from sp.domain.ledger import Action, Effect, RedundancyType, SpStatus, Visibility
from sp.domain.messages import TxMessage
from sp.domain.params import StorageParams
from sp.wire.chain import addresses, checksums, enum_member
from sp.wire.common import params, params_pb

SIGNATURE_BYTES: Final = 65


@dataclass(frozen=True, slots=True)
class TxBody:
    """What is signed. nonce: transactions of the signer executed before this one."""

    chain_id: str
    signer: Address
    nonce: int
    message: TxMessage


@dataclass(frozen=True, slots=True)
class SignedTx:
    """body: a serialised TxBody, kept as it was signed; signature: 65 bytes"""

    body: bytes
    signature: Signature


def tx_body_bytes(body: TxBody) -> bytes:
    """What `parse_tx_body` reads. InvalidRequest for text that is no Unicode or a number that does not fit."""
    try:
        message = pb.TxBody(
            chain_id=body.chain_id, signer=body.signer, nonce=body.nonce, message=tx_message_pb(body.message)
        )
        return message.SerializeToString(deterministic=True)
    except (ValueError, TypeError) as wrong:
        raise InvalidRequest(f"not a transaction: {wrong}") from wrong


def parse_tx_body(raw: bytes) -> TxBody:
    try:
        message = pb.TxBody.FromString(raw)
    except DecodeError as wrong:
        raise InvalidRequest("not a transaction body") from wrong
    return TxBody(message.chain_id, address(message.signer), message.nonce, tx_message(message.message))


def signed_tx_bytes(signed: SignedTx) -> bytes:
    return pb.SignedTx(body=signed.body, signature=signed.signature).SerializeToString(deterministic=True)


def parse_signed_tx(raw: bytes) -> SignedTx:
    try:
        message = pb.SignedTx.FromString(raw)
    except DecodeError as wrong:
        raise InvalidRequest("not a signed transaction") from wrong
    return SignedTx(message.body, _signature(message.signature))


def tx_message(message: pb.TxMessage) -> TxMessage:
    chosen = message.WhichOneof("message")
    if chosen is None:
        raise InvalidRequest("a transaction needs a message this chain knows")
    shape = _BY_ARM[chosen]
    content = getattr(message, chosen)
    made: TxMessage = shape.kind(**{name: decode(getattr(content, name)) for name, decode in shape.decoders})
    return made


def tx_message_pb(value: TxMessage) -> pb.TxMessage:
    shape = _BY_KIND[type(value)]
    content = {f.name: _encoded(getattr(value, f.name)) for f in fields(value)}
    arm: dict[str, Any] = {shape.arm: shape.wire(**content)}
    return pb.TxMessage(**arm)


# --- the tables ---------------------------------------------------------------------------------------------------


def _signature(raw: bytes) -> Signature:
    if len(raw) != SIGNATURE_BYTES:
        raise InvalidRequest(f"a signature has {SIGNATURE_BYTES} bytes, not {len(raw)}")
    return Signature(raw)


def _signatures(raw: Iterable[bytes]) -> tuple[Signature, ...]:
    return tuple(_signature(one) for one in raw)


def _actions(numbers: Iterable[int]) -> tuple[Action, ...]:
    return tuple(enum_member(Action, number) for number in numbers)


def _of(kind: type[IntEnum]) -> Callable[[int], IntEnum]:
    return lambda number: enum_member(kind, number)


_DECODERS: Final[dict[object, Callable[[Any], object]]] = {
    str: str,
    int: int,
    Address: address,
    ObjectId: ObjectId,
    Signature: _signature,
    Visibility: _of(Visibility),
    RedundancyType: _of(RedundancyType),
    SpStatus: _of(SpStatus),
    Effect: _of(Effect),
    StorageParams: params,
    tuple[Address, ...]: addresses,
    tuple[Checksum, ...]: checksums,
    tuple[Signature, ...]: _signatures,
    tuple[Action, ...]: _actions,
}


def _encoded(value: object) -> object:
    return params_pb(value) if isinstance(value, StorageParams) else value


@dataclass(frozen=True, slots=True)
class _Shape:
    arm: str  # field of the oneof TxMessage.message
    kind: type[Any]  # dataclass of sp.domain.messages
    wire: type[Any]  # generated class
    decoders: tuple[tuple[str, Callable[[Any], object]], ...]


def _shape(kind: type[Any]) -> _Shape:
    hints = get_type_hints(kind)
    decoders = tuple((f.name, _DECODERS[hints[f.name]]) for f in fields(kind))
    return _Shape(_ARMS[kind.__name__], kind, getattr(pb, kind.__name__), decoders)


_ARMS: Final = {
    arm.message_type.name: arm.name
    for arm in pb.TxMessage.DESCRIPTOR.oneofs_by_name["message"].fields
    if arm.message_type is not None
}
_BY_KIND: Final = {kind: _shape(kind) for kind in get_args(TxMessage)}
_BY_ARM: Final = {shape.arm: shape for shape in _BY_KIND.values()}
