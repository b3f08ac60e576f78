"""Canned ACLs: those that the chain's visibility can express, and those that S3 has beside them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.errors import InvalidArgument, NotSupported
from sp.domain.ledger import Visibility

_ALL: Final = frozenset(
    {
        "private",
        "public-read",
        "public-read-write",
        "aws-exec-read",
        "authenticated-read",
        "bucket-owner-read",
        "bucket-owner-full-control",
        "log-delivery-write",
    }
)
"""Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html (canned ACL)"""


def of_canned(acl: str, known: Mapping[str, Visibility]) -> Visibility:
    """From the value of x-amz-acl. InvalidArgument for one that is no canned ACL, NotSupported for one that
    visibility cannot express."""
    if acl not in _ALL:
        raise InvalidArgument("x-amz-acl", "there is no such canned ACL")
    if acl not in known:
        raise NotSupported(f"the ACL {acl!r}; it can be {', '.join(name for name in known if name)}")
    return known[acl]
