"""What a PUT request asks for, beyond its target: pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gateway.auth.scheme import Identity
from gateway.body import BodyPlan, body_plan
from gateway.canned import of_canned
from gateway.checksums import CHECKSUM_HEADERS
from gateway.errors import InvalidArgument, InvalidStorageClass, MetadataTooLarge, NotSupported
from gateway.preconditions import precondition_of
from gateway.request import RequestHead
from gateway.tags import tags_of_header
from sp.domain.jobs import Precondition
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
COPY_SOURCE: Final = "x-amz-copy-source"

_UNSUPPORTED_HEADERS: Final = (
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
)
_UNSUPPORTED_PREFIXES: Final = ("x-amz-server-side-encryption", "x-amz-object-lock-", "x-amz-grant-")

ACLS: Final = {
    "private": Visibility.PRIVATE,
    "public-read": Visibility.PUBLIC_READ,
    "bucket-owner-read": Visibility.UNSPECIFIED,  # on Greenfield the bucket's owner owns every object in it
    "bucket-owner-full-control": Visibility.UNSPECIFIED,
}
_STORAGE_CLASSES: Final = frozenset(
    {
        "REDUCED_REDUNDANCY",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "GLACIER",
        "GLACIER_IR",
        "DEEP_ARCHIVE",
        "OUTPOSTS",
        "SNOW",
        "EXPRESS_ONEZONE",
        "FSX_OPENZFS",
        "FSX_ONTAP",
    }
)
"""S3's, beside STANDARD."""


@dataclass(frozen=True, slots=True)
class Put:
    """body: what the request says of its body, its size above all
    headers: kept and returned with the object (lower-case names); checksums that come behind the body are added to them
    visibility: UNSPECIFIED where the request does not say
    precondition: of what the name means now; tags: the object's
    computed: x-amz-checksum-* headers that are to be kept with it though nobody has sent them; Content-MD5 for an ETag
    delegated: the account asks us to create the object on chain, though it keeps its own key
    """

    bucket: str
    object_name: str
    body: BodyPlan
    headers: dict[str, str]
    visibility: Visibility
    request_id: str
    precondition: Precondition | None = None
    tags: dict[str, str] = field(default_factory=dict)
    computed: tuple[str, ...] = ()
    delegated: bool = False

    @property
    def size(self) -> int | None:
        """Bytes of payload; None when the request does not say."""
        return self.body.size


def put_of(head: RequestHead, bucket: str, object_name: str, identity: Identity, request_id: str) -> Put:
    """Everything about the put that its head says; whatever cannot be honoured is refused, not ignored."""
    if head.values(COPY_SOURCE):
        raise NotSupported(f"the header {COPY_SOURCE} in a put of a body")
    return _put(head, bucket, object_name, body_plan(head, identity.body_check), request_id)


def put_without_body(head: RequestHead, bucket: str, object_name: str, request_id: str) -> Put:
    """As put_of, for an object whose bytes are not this request's body."""
    return _put(head, bucket, object_name, BodyPlan(None), request_id)


def _put(head: RequestHead, bucket: str, object_name: str, body: BodyPlan, request_id: str) -> Put:
    refuse_unsupported(head)
    return Put(
        bucket,
        object_name,
        body,
        kept_headers(head),
        visibility_of(head),
        request_id,
        precondition_of(head),
        tags_of_header(head),
    )


def kept_headers(head: RequestHead) -> dict[str, str]:
    """The headers that come back with the object, and the checksums verified against it."""
    kept = {}
    metadata_bytes = 0
    for name in head.header_names():
        if name.startswith(META_PREFIX) or name in CHECKSUM_HEADERS or name in KEPT_HEADERS:
            kept[name] = _utf8(name, head.header(name))
        if name.startswith(META_PREFIX):
            metadata_bytes += len(name) - len(META_PREFIX) + len(kept[name].encode())
    if metadata_bytes > MAX_METADATA_BYTES:
        raise MetadataTooLarge(metadata_bytes, MAX_METADATA_BYTES)
    if "content-encoding" in kept:
        encodings = kept.pop("content-encoding").split(",")
        left = [encoding for encoding in encodings if encoding.strip().lower() != "aws-chunked"]  # it is not kept
        kept |= {"content-encoding": ",".join(left).strip()} if left else {}
    return kept


def visibility_of(head: RequestHead) -> Visibility:
    """From x-amz-acl. NotSupported for an ACL that Greenfield cannot express, InvalidArgument for none at all."""
    acl = head.header("x-amz-acl")
    return of_canned(acl, ACLS) if acl else Visibility.UNSPECIFIED


def refuse_unsupported(head: RequestHead) -> None:
    """NotSupported for headers that would change what is stored, or how; InvalidStorageClass."""
    for name in head.header_names():
        if name in _UNSUPPORTED_HEADERS or name.startswith(_UNSUPPORTED_PREFIXES):
            raise NotSupported(f"the header {name} in a put")
    storage_class = head.header("x-amz-storage-class", "STANDARD")
    if storage_class in _STORAGE_CLASSES:
        raise NotSupported(f"the storage class {storage_class}")
    if storage_class != "STANDARD":
        raise InvalidStorageClass(storage_class[:64])


def _utf8(name: str, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(name, "it is not UTF-8") from error
    return value
