"""AWS Signature Version 4 in the query: presigned URLs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from gateway.auth import query
from gateway.auth import sigv4_text as text
from gateway.auth.scheme import Identity
from gateway.auth.sigv4 import (
    Authorization,
    SigningKeys,
    check_no_security_token,
    check_scope,
    check_signed_headers,
    identity_of,
    parse_scope,
    parse_signed_headers,
    signing_time,
)
from gateway.errors import (
    ExpiryOutOfRange,
    MalformedAuthorization,
    MalformedPresignedQuery,
    PresignedUrlExpired,
    PresignedUrlNotYetValid,
)
from gateway.request import RequestHead

MAX_EXPIRES_S: Final = 604_800
"""A week. Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html"""

_CONTENT_SHA256: Final = "x-amz-content-sha256"
_SECONDS: Final = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Claim:
    """The query's signature, parsed. stamp: YYYYMMDDTHHMMSSZ; expires_s: seconds after it"""

    authorization: Authorization
    stamp: str
    expires_s: int


def parse_query(head: RequestHead) -> Claim:
    """MalformedPresignedQuery, ExpiryOutOfRange."""
    algorithm, credential, stamp, expires, signed_headers, signature = query.required(head, query.V4_PARAMETERS)
    if algorithm != text.ALGORITHM:
        raise MalformedPresignedQuery(f"X-Amz-Algorithm must be {text.ALGORITHM}")
    if not _SECONDS.fullmatch(expires):
        raise MalformedPresignedQuery("X-Amz-Expires must be a number of seconds")
    if not 0 <= int(expires) <= MAX_EXPIRES_S:
        raise ExpiryOutOfRange(int(expires), MAX_EXPIRES_S)
    return Claim(
        Authorization(parse_scope(credential), parse_signed_headers(signed_headers), signature), stamp, int(expires)
    )


def check_time(claim: Claim, now_s: int, max_skew_s: int) -> None:
    """PresignedUrlNotYetValid, PresignedUrlExpired. It ends exactly when it says; only its beginning has a skew."""
    signed_at_s = signing_time(claim.stamp)
    if now_s < signed_at_s - max_skew_s:
        raise PresignedUrlNotYetValid(signed_at_s, now_s)
    if now_s > signed_at_s + claim.expires_s or not claim.expires_s:
        raise PresignedUrlExpired(signed_at_s + claim.expires_s, now_s)


@dataclass(frozen=True, slots=True)
class SigV4Query:
    """As SigV4. The payload is not signed unless x-amz-content-sha256 (header or parameter) says how."""

    keys: SigningKeys
    region: str
    max_skew_s: int = 900

    def recognises(self, head: RequestHead) -> bool:
        return query.presigned(head) is query.Presigned.V4

    async def authenticate(self, head: RequestHead, now_s: int) -> Identity:
        query.check_alone(head)
        check_no_security_token(head)
        claim = self._checked_claim(head, now_s)
        claimed = claim.authorization
        check_signed_headers(head, claimed.signed_headers)
        payload_hash = query.with_query_headers(head).header(_CONTENT_SHA256, text.UNSIGNED_PAYLOAD)
        key = await self.keys.get(claimed.scope)
        pairs = tuple(pair for pair in head.query if pair[0] != b"X-Amz-Signature")
        canonical = text.canonical_request(head, claimed.signed_headers, payload_hash, pairs)
        return identity_of(key, claimed, claim.stamp, payload_hash, canonical)

    def _checked_claim(self, head: RequestHead, now_s: int) -> Claim:
        try:
            claim = parse_query(head)
            check_time(claim, now_s, self.max_skew_s)
            check_scope(claim.authorization.scope, claim.stamp, self.region)
        except MalformedAuthorization as error:
            raise MalformedPresignedQuery(error.reason) from error
        return claim
