"""What a PUT request asks for, beyond its target: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.auth.scheme import Identity
from gateway.body import DeclaredDigest, declared_digests, refuse_framed_body
from gateway.errors import InvalidArgument, MetadataTooLarge, MissingContentLength, NotSupported
from gateway.request import RequestHead
from sp.domain.ledger import Visibility

MAX_METADATA_BYTES: Final = 2048
"""Of all x-amz-meta-* names and values together, as in S3."""

KEPT_HEADERS: Final = (
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
)
META_PREFIX: Final = "x-amz-meta-"
CHECKSUM_PREFIX: Final = "x-amz-checksum-"

_UNSUPPORTED_HEADERS: Final = (
    "x-amz-copy-source",
    "x-amz-tagging",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
    "x-amz-expected-bucket-owner",
    "if-match",
    "if-none-match",
)
_UNSUPPORTED_PREFIXES: Final = ("x-amz-server-side-encryption", "x-amz-object-lock-", "x-amz-grant-")

ACLS: Final = {
    "": Visibility.INHERIT,
    "private": Visibility.PRIVATE,
    "public-read": Visibility.PUBLIC_READ,
    "bucket-owner-full-control": Visibility.INHERIT,  # on Greenfield the bucket's owner owns every object in it
}


@dataclass(frozen=True, slots=True)
class Put:
    """size: the declared length of the body, None when it is chunked
    headers: kept and returned with the object (lower-case names)
    """

    bucket: str
    object_name: str
    size: int | None
    headers: dict[str, str]
    digests: tuple[DeclaredDigest, ...]
    visibility: Visibility
    request_id: str


def put_of(head: RequestHead, bucket: str, object_name: str, identity: Identity, request_id: str) -> Put:
    """Everything about the put that its head says; whatever cannot be honoured is refused, not ignored."""
    refuse_framed_body(head, identity.body_check)
    _refuse_unsupported(head)
    return Put(
        bucket,
        object_name,
        declared_size(head),
        kept_headers(head),
        declared_digests(head, identity.body_check),
        visibility_of(head),
        request_id,
    )


def declared_size(head: RequestHead) -> int | None:
    """Content-Length; None for a chunked body. MissingContentLength when the head says neither."""
    length = head.header("content-length")
    if length.isascii() and length.isdigit():
        return int(length)
    if length or "chunked" not in head.header("transfer-encoding").lower():
        raise MissingContentLength
    return None


def kept_headers(head: RequestHead) -> dict[str, str]:
    """The headers that come back with the object, and the checksums verified against it."""
    kept = {}
    metadata_bytes = 0
    for name in head.header_names():
        if name.startswith((META_PREFIX, CHECKSUM_PREFIX)) or name in KEPT_HEADERS:
            kept[name] = _utf8(name, head.header(name))
        if name.startswith(META_PREFIX):
            metadata_bytes += len(name) - len(META_PREFIX) + len(kept[name].encode())
    if metadata_bytes > MAX_METADATA_BYTES:
        raise MetadataTooLarge(metadata_bytes, MAX_METADATA_BYTES)
    return kept


def visibility_of(head: RequestHead) -> Visibility:
    """From x-amz-acl. NotSupported for an ACL that Greenfield cannot express."""
    acl = head.header("x-amz-acl")
    if acl not in ACLS:
        raise NotSupported(f"the ACL {acl[:64]!r}; an object is private, public-read, or as its bucket")
    return ACLS[acl]


def _refuse_unsupported(head: RequestHead) -> None:
    for name in head.header_names():
        if name in _UNSUPPORTED_HEADERS or name.startswith(_UNSUPPORTED_PREFIXES):
            raise NotSupported(f"the header {name} in a put")
    storage_class = head.header("x-amz-storage-class", "STANDARD")
    if storage_class != "STANDARD":
        raise NotSupported(f"the storage class {storage_class[:64]!r}")


def _utf8(name: str, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(name, "it is not UTF-8") from error
    return value
