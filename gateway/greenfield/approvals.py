"""Approvals of buckets and objects before they are created on chain (GREENFIELD.md 4.4)."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from chain.names import object_name_fault
from gateway.access import Access
from gateway.errors import InvalidBucketName, SpNotInService
from gateway.greenfield.errors import InvalidMessage, UndecodableMessage
from gateway.greenfield.params import number
from gateway.request import check_bucket_name
from signer.client import Signer
from sp.domain.addresses import parse_address
from sp.domain.create_approvals import (
    REDUNDANCY_NAMES,
    VISIBILITY_NAMES,
    CreateBucketApproval,
    CreateObjectApproval,
)
from sp.domain.errors import BucketExists, InvalidRequest, NoSuchBucket, NoSuchObject, NotForThisSp, ObjectExists
from sp.domain.ids import Address, Checksum
from sp.domain.ledger import RedundancyType, Visibility

MAX_MESSAGE_BYTES: Final = 16_384
VALID_BLOCKS: Final = 100
"""For so many blocks an approval counts (upstream's Bucket- and ObjectApprovalTimeoutHeight)."""

E = TypeVar("E", Visibility, RedundancyType)


@dataclass(frozen=True, slots=True)
class Approver:
    """operator: this provider"""

    access: Access
    signer: Signer
    operator: Address

    async def bucket(self, message_hex: str) -> str:
        """The message with our approval, as hex. UndecodableMessage, InvalidMessage, NotForThisSp, BucketExists,
        SpNotInService."""
        document = bucket_document(decoded(message_hex), await self._until())
        if document.primary_sp != self.operator:
            raise NotForThisSp(document.bucket, "")
        await self._check_service()
        try:
            found = await self.access.view.head_bucket(document.bucket)
        except NoSuchBucket:
            return document.message(await self.signer.sign(document)).hex()
        raise BucketExists(document.bucket, found.owner)

    async def object(self, message_hex: str) -> str:
        """As `bucket`; ObjectExists, NoSuchBucket."""
        document = object_document(decoded(message_hex), await self._until(), self.operator)
        await self.access.writable_bucket(document.bucket)
        try:
            await self.access.view.chain.head_object(document.bucket, document.object_name)
        except NoSuchObject:
            return document.message(await self.signer.sign(document)).hex()
        raise ObjectExists(document.bucket, document.object_name)

    async def _until(self) -> int:
        return (await self.access.view.latest_block()).height + VALID_BLOCKS

    async def _check_service(self) -> None:
        me = (await self.access.view.chain.storage_providers()).get(self.operator)
        if me is None or not me.in_service:
            raise SpNotInService(me.status.name if me else "not registered")


def decoded(message_hex: str) -> dict[str, Any]:
    """Protobuf JSON in hex. UndecodableMessage."""
    if len(message_hex) > 2 * MAX_MESSAGE_BYTES:
        raise UndecodableMessage("it is too long")
    try:
        document = json.loads(bytes.fromhex(message_hex))
    except (ValueError, RecursionError) as error:
        raise UndecodableMessage("it is not the hex of a JSON document") from error
    if not isinstance(document, dict):
        raise UndecodableMessage("it is no JSON object")
    return document


def bucket_document(message: dict[str, Any], expired_height: int) -> CreateBucketApproval:
    """UndecodableMessage for a value of the wrong type, InvalidMessage for one that no bucket can have."""
    bucket = _text(message, "bucket_name")
    try:
        check_bucket_name(bucket)
        primary_sp = parse_address(_text(message, "primary_sp_address"))
        creator = _address(message, "creator")
        payment = _text(message, "payment_address")
        if payment:
            parse_address(payment)
    except (InvalidBucketName, InvalidRequest) as error:
        raise InvalidMessage(str(error)) from error
    return CreateBucketApproval(
        creator=creator,
        bucket=bucket,
        visibility=_enum(message, "visibility", VISIBILITY_NAMES),
        payment_address=payment,
        primary_sp=primary_sp,
        charged_read_quota=_size(message, "charged_read_quota"),
        expired_height=expired_height,
        family_id=_family(message),
    )


def object_document(message: dict[str, Any], expired_height: int, primary_sp: Address) -> CreateObjectApproval:
    """As bucket_document."""
    bucket, object_name = _text(message, "bucket_name"), _text(message, "object_name")
    try:
        check_bucket_name(bucket)
        creator = _address(message, "creator")
    except (InvalidBucketName, InvalidRequest) as error:
        raise InvalidMessage(str(error)) from error
    if fault := object_name_fault(object_name):
        raise InvalidMessage(fault)
    return CreateObjectApproval(
        creator=creator,
        bucket=bucket,
        object_name=object_name,
        payload_size=_size(message, "payload_size"),
        visibility=_enum(message, "visibility", VISIBILITY_NAMES),
        content_type=_text(message, "content_type"),
        expect_checksums=_checksums(message),
        redundancy=_enum(message, "redundancy_type", REDUNDANCY_NAMES),
        primary_sp=primary_sp,
        expired_height=expired_height,
        family_id=_family(message),
    )


def _text(message: dict[str, Any], name: str) -> str:
    value = message.get(name, "")
    if not isinstance(value, str):
        raise UndecodableMessage(f"{name} is no text")
    return value


def _address(message: dict[str, Any], name: str) -> str:
    """Checked, and as it was written: so it is signed."""
    value = _text(message, name)
    parse_address(value)
    return value


def _size(message: dict[str, Any], name: str) -> int:
    """64 bits, as text or as a number: protobuf JSON takes both."""
    value = message.get(name, 0)
    parsed = number(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else None
    if parsed is None:
        raise UndecodableMessage(f"{name} is no unsigned number")
    return parsed


def _enum(message: dict[str, Any], name: str, names: dict[E, str]) -> E:
    """By name or by number. The default of protobuf is 0."""
    value = message.get(name, 0)
    for member, written in names.items():
        if value == written or (value == int(member) and not isinstance(value, bool)):
            return member
    raise UndecodableMessage(f"{name} has an unknown value")


def _family(message: dict[str, Any]) -> int:
    approval = message.get("primary_sp_approval")
    if approval is None:
        return 0
    if not isinstance(approval, dict):
        raise UndecodableMessage("primary_sp_approval is no object")
    family = _size(approval, "global_virtual_group_family_id")
    if family >= 2**32:
        raise UndecodableMessage("global_virtual_group_family_id has more than 32 bits")
    return family


def _checksums(message: dict[str, Any]) -> tuple[Checksum, ...]:
    values = message.get("expect_checksums") or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise UndecodableMessage("expect_checksums is no list of texts")
    try:
        checksums = tuple(Checksum(base64.b64decode(value, validate=True)) for value in values)
    except ValueError as error:
        raise UndecodableMessage("a checksum is not base64") from error
    if any(len(checksum) != 32 for checksum in checksums):
        raise InvalidMessage("a checksum has 32 bytes")
    return checksums
