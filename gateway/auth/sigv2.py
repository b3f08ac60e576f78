"""AWS Signature Version 2, in the query (presigned URLs) and in the Authorization header."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from gateway.auth import query
from gateway.auth import sigv2_text as text
from gateway.auth.scheme import BodyCheck, Identity
from gateway.auth.sigv4 import body_check_of, check_access_key_id, check_no_security_token
from gateway.auth.sigv4_text import UNSIGNED_PAYLOAD
from gateway.errors import (
    InvalidAccessKeyId,
    InvalidArgument,
    MalformedPresignedQuery,
    NotSupported,
    NoValidDate,
    PresignedUrlExpired,
    RequestTimeTooSkewed,
)
from gateway.request import RequestHead, virtual_host_bucket
from signer.client import Signer
from sp.domain.errors import NoSuchAccount, SignatureMismatch
from sp.domain.ids import Address

SCHEME: Final = "sigv2"
_PREFIX: Final = "AWS "

UNSIGNED_PARAMETERS: Final = frozenset(
    {
        *("prefix", "delimiter", "marker", "max-keys", "encoding-type", "list-type", "start-after", "fetch-owner"),
        *("continuation-token", "key-marker", "upload-id-marker", "version-id-marker", "max-uploads", "max-parts"),
        *("part-number-marker", "x-id"),
    }
)
"""What Version 2 does not cover and that may be sent all the same: it narrows a list, and does nothing elsewhere."""


@dataclass(frozen=True, slots=True)
class Claim:
    """date: the line that is signed for it"""

    access_key_id: str
    signature: str
    date: str


@dataclass(frozen=True, slots=True)
class SigV2:
    """domain_name: as for gateway.request.resolve; max_skew_s: how far a Date may lie from our clock"""

    signer: Signer
    domain_name: str
    max_skew_s: int = 900

    def recognises(self, head: RequestHead) -> bool:
        return head.header("authorization").startswith(_PREFIX) or query.presigned(head) is query.Presigned.V2

    async def authenticate(self, head: RequestHead, now_s: int) -> Identity:
        check_no_security_token(head)
        if query.presigned(head) is query.Presigned.V2:
            query.check_alone(head)
            claim = _presigned(head, now_s)
        else:
            claim = self._header(head, now_s)
        _check_parameters(head)
        signed = query.with_query_headers(head)
        body_check = _body_check(signed)
        paths = text.resource_paths(head, virtual_host_bucket(head.host, self.domain_name))
        account = await self._signer_of([text.string_to_sign(signed, claim.date, path) for path in paths], claim)
        return Identity(account, SCHEME, custodial=True, body_check=body_check)

    async def _signer_of(self, readings: list[bytes], claim: Claim) -> Address:
        """The account whose signature one of the strings carries. InvalidAccessKeyId, SignatureMismatch."""
        check_access_key_id(claim.access_key_id)
        raw = text.decoded_signature(claim.signature)
        if raw is None:
            raise SignatureMismatch("the signature is no base64 of 20 bytes")
        *others, last = readings
        try:
            for reading in others:
                try:
                    return await self.signer.verify_sigv2(claim.access_key_id, reading, raw)
                except SignatureMismatch:
                    continue
            return await self.signer.verify_sigv2(claim.access_key_id, last, raw)
        except NoSuchAccount as error:
            raise InvalidAccessKeyId(claim.access_key_id[:128]) from error

    def _header(self, head: RequestHead, now_s: int) -> Claim:
        """`AWS ACCESSKEY:SIGNATURE`, with a Date or x-amz-date."""
        access_key_id, colon, signature = head.header("authorization").removeprefix(_PREFIX).strip().rpartition(":")
        if not colon or not access_key_id:
            raise InvalidArgument("Authorization", "it must be AWS, a blank, and KEY:SIGNATURE")
        amz_date = head.header("x-amz-date")
        try:
            signed_at_s = int(parsedate_to_datetime(amz_date or head.header("date")).timestamp())
        except (ValueError, OverflowError) as error:
            raise NoValidDate from error
        if signed_at_s < 0:
            raise NoValidDate
        if abs(now_s - signed_at_s) > self.max_skew_s:
            raise RequestTimeTooSkewed(signed_at_s, now_s, self.max_skew_s)
        return Claim(access_key_id, signature, "" if amz_date else head.header("date"))


def _presigned(head: RequestHead, now_s: int) -> Claim:
    access_key_id, expires, signature = query.required(head, query.V2_PARAMETERS)
    if not (expires.isascii() and expires.isdigit()) or len(expires) > 12:
        raise MalformedPresignedQuery("Expires must be unix seconds")
    if now_s > int(expires):
        raise PresignedUrlExpired(int(expires), now_s)
    return Claim(access_key_id, signature, expires)


def _check_parameters(head: RequestHead) -> None:
    """Nobody may add to a presigned URL what makes another operation of it."""
    others = sorted(query.operation_parameters(head) - text.SIGNED_PARAMETERS - UNSIGNED_PARAMETERS)
    if others:
        raise NotSupported(f"the parameter {others[0][:64]!r}, which Signature Version 2 does not cover")


def _body_check(head: RequestHead) -> BodyCheck:
    """Version 2 signs no body; an x-amz-content-sha256 that is there is a promise all the same."""
    return body_check_of(head.header("x-amz-content-sha256", UNSIGNED_PAYLOAD), None)
