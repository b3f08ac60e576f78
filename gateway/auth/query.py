"""Signatures in the query (presigned URLs): which of its parameters belong to the signature, and which stand for headers.

Clients that presign put headers into the query (x-amz-*, and for Version 2 Content-Type and Content-MD5), because the
URL's user does not know them. They are covered by the signature like everything else in it.
"""

from __future__ import annotations

from typing import Final

from gateway.errors import InvalidArgument
from gateway.request import RequestHead

V4_PARAMETERS: Final = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
)
V2_PARAMETERS: Final = ("AWSAccessKeyId", "Expires", "Signature")
SECURITY_TOKEN: Final = "x-amz-security-token"  # noqa: S105 - a parameter's name

_V4_MARKS: Final = frozenset({"x-amz-algorithm", "x-amz-credential", "x-amz-signature"})
_V4_NAMES: Final = frozenset(name.lower() for name in V4_PARAMETERS)
_V2_NAMES: Final = frozenset(name.lower() for name in V2_PARAMETERS)
_V2_HEADERS: Final = frozenset({"content-type", "content-md5"})


def is_presigned_v4(head: RequestHead) -> bool:
    return bool(_V4_MARKS & _names(head))


def is_presigned_v2(head: RequestHead) -> bool:
    return "awsaccesskeyid" in _names(head)


def check_alone(head: RequestHead) -> None:
    """InvalidArgument for a request that is signed in its Authorization header as well."""
    if head.values("authorization"):
        raise InvalidArgument("Authorization", "only one auth mechanism is allowed: this header, or the query")


def operation_parameters(head: RequestHead) -> set[str]:
    """The names of the query that say what is asked for: without those of a signature and those that stand for headers.

    InvalidUri.
    """
    return {name for name in head.parameters() if not _signs(head, name.lower()) and not _stands_in(head, name.lower())}


def with_query_headers(head: RequestHead) -> RequestHead:
    """The request with the headers that its query stands for; one that was sent as a header is not replaced.

    InvalidArgument for a value that no header can have, InvalidUri.
    """
    added = []
    for raw_name, raw_value in head.query:
        name = raw_name.decode("utf-8", "surrogateescape").lower()
        if _stands_in(head, name) and not head.values(name):
            value = raw_value.decode("utf-8", "surrogateescape")
            if any(character < " " or character == "\x7f" for character in value):
                raise InvalidArgument(name, "it holds control characters")
            added.append((name, value))
    return RequestHead(head.method, head.raw_path, head.raw_query, (*head.headers, *added)) if added else head


def _signs(head: RequestHead, name: str) -> bool:
    if is_presigned_v4(head):
        return name in _V4_NAMES or name == SECURITY_TOKEN
    return is_presigned_v2(head) and (name in _V2_NAMES or name == SECURITY_TOKEN)


def _stands_in(head: RequestHead, name: str) -> bool:
    if is_presigned_v4(head):
        return name.startswith("x-amz-") and name not in _V4_NAMES and name != SECURITY_TOKEN
    return is_presigned_v2(head) and (name in _V2_HEADERS or (name.startswith("x-amz-") and name != SECURITY_TOKEN))


def _names(head: RequestHead) -> set[str]:
    return {name.decode("utf-8", "surrogateescape").lower() for name, _ in head.query}
