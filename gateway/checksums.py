"""The checksums that a request can promise of its body: pure.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.auth.scheme import BodyCheck
from gateway.errors import InvalidDigest, NotSupported
from gateway.request import RequestHead
from sp.crypto.checksums import ALGORITHMS, Algorithm
from sp.domain.errors import InvalidRequest

CHECKSUM_PREFIX: Final = "x-amz-checksum-"
CHECKSUM_TYPE: Final = "x-amz-checksum-type"
FULL_OBJECT: Final = "FULL_OBJECT"
CONTENT_MD5: Final = "content-md5"
CONTENT_SHA256: Final = "x-amz-content-sha256"
SDK_ALGORITHM: Final = "x-amz-sdk-checksum-algorithm"

CHECKSUM_HEADERS: Final[dict[str, Algorithm]] = {
    f"{CHECKSUM_PREFIX}{name}": algorithm for name, algorithm in ALGORITHMS.items()
}
"""x-amz-checksum-*: kept with the object."""

DIGEST_HEADERS: Final[dict[str, Algorithm]] = {
    **CHECKSUM_HEADERS,
    CONTENT_MD5: Algorithm("md5", 16, lambda: hashlib.md5(usedforsecurity=False)),
    CONTENT_SHA256: CHECKSUM_HEADERS["x-amz-checksum-sha256"],
}
"""Every header that can promise something of a body, by its lower-case name."""

_NO_DIGESTS: Final = frozenset({"x-amz-checksum-mode", "x-amz-checksum-algorithm", CHECKSUM_TYPE})


@dataclass(frozen=True, slots=True)
class DeclaredDigest:
    """A digest that the request says its body has. header: where it says so"""

    header: str
    digest: bytes


def declared_digests(head: RequestHead, check: BodyCheck, trailers: tuple[str, ...] = ()) -> tuple[DeclaredDigest, ...]:
    """All digests in the head. trailers: names of the checksums announced for the end of the body.

    InvalidDigest or InvalidRequest for a malformed one, NotSupported for one we cannot check.
    """
    declared = [] if check.sha256 is None else [DeclaredDigest(CONTENT_SHA256, check.sha256)]
    if head.values(CONTENT_MD5):
        declared.append(DeclaredDigest(CONTENT_MD5, decoded_digest(CONTENT_MD5, head.header(CONTENT_MD5))))
    checksums = [name for name in head.header_names() if name.startswith(CHECKSUM_PREFIX) and name not in _NO_DIGESTS]
    for name in checksums:
        if name not in CHECKSUM_HEADERS:
            raise NotSupported(f"{name[:64]}; send one of {', '.join(ALGORITHMS)}")
        declared.append(DeclaredDigest(name, decoded_digest(name, head.header(name))))
    _check_one_checksum(head, [*checksums, *trailers])
    return tuple(declared)


def decoded_digest(header: str, value: str) -> bytes:
    """The bytes of a base64 digest. As in S3, InvalidDigest for Content-MD5 and InvalidRequest for a checksum."""
    try:
        digest = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) == DIGEST_HEADERS[header].size:
        return digest
    if header == CONTENT_MD5:
        raise InvalidDigest(header)
    raise InvalidRequest(f"the value of {header} is no digest of its kind in base64")


def checksum_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Of the headers kept with an object, what an answer says of its checksum; {} when it has none."""
    found = {name: value for name, value in headers.items() if name in CHECKSUM_HEADERS}
    return {**found, CHECKSUM_TYPE: headers.get(CHECKSUM_TYPE, FULL_OBJECT)} if found else {}


def encoded_digest(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _check_one_checksum(head: RequestHead, names: list[str]) -> None:
    """S3 takes one checksum beside Content-MD5, and x-amz-sdk-checksum-algorithm has to name it."""
    if len(names) > 1:
        raise InvalidRequest("there may be a single x-amz-checksum- header or trailer, not several")
    algorithm = head.header(SDK_ALGORITHM).lower()
    if not algorithm:
        return
    if f"{CHECKSUM_PREFIX}{algorithm}" not in CHECKSUM_HEADERS:
        raise InvalidRequest(f"the value of {SDK_ALGORITHM} is no algorithm")
    if names != [f"{CHECKSUM_PREFIX}{algorithm}"]:
        raise InvalidRequest(
            f"{SDK_ALGORITHM} names {algorithm}, but there is no such x-amz-checksum- header or trailer"
        )
