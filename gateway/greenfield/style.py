"""Which of the two APIs a request speaks: pure."""

from __future__ import annotations

from typing import Final

from gateway.auth.query import Presigned, presigned
from gateway.request import RequestHead

FIXED_PATHS: Final = frozenset({"auth", "download", "greenfield", "permission", "view"})
"""First path elements of Greenfield's API. No bucket can be called so (gateway.request.RESERVED_BUCKETS)."""

QUERIES: Final = frozenset(
    {
        "bucket-meta",
        "bucket-migration-progress",
        "buckets-query",
        "create-folder",
        "delegate",
        "include-removed",
        "list-read-record",
        "object-meta",
        "object-policies",
        "objects-query",
        "read-quota",
        "upload-context",
        "upload-progress",
    }
)
"""Parameters that S3 does not have and that name an operation of Greenfield."""

_SCHEMES: Final = ("GNFD", "authTypeV1")


def speaks_s3(head: RequestHead) -> bool:
    """Signed in a way that only S3 has."""
    return head.header("authorization").startswith("AWS") or presigned(head) is not Presigned.NOT


def speaks_greenfield(head: RequestHead) -> bool:
    """By its signature, its X-Gnfd-* headers or parameters, or what only Greenfield has. Its errors go out as
    Greenfield writes them."""
    if speaks_s3(head):
        return False
    if head.header("authorization").startswith(_SCHEMES):
        return True
    if any(name.startswith("x-gnfd-") for name in head.header_names()):
        return True
    if any(name.lower().startswith(b"x-gnfd-") or name.decode("latin-1") in QUERIES for name, _ in head.query):
        return True
    return first_element(head) in FIXED_PATHS


def first_element(head: RequestHead) -> str:
    return head.raw_path[1:].partition("/")[0]
