"""Presigned URLs: which parameters of a query belong to its signature, and which stand for headers.

Clients that presign put headers into the query (x-amz-*, and for Version 2 Content-Type and Content-MD5), because the
URL's user does not know them. They are covered by the signature like everything else in it.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from gateway.errors import InvalidArgument, MalformedPresignedQuery
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

_SDK_ALGORITHM: Final = "x-amz-sdk-checksum-algorithm"
_CHECKSUMS_OF_NOTHING: Final = frozenset(
    {
        ("x-amz-checksum-crc32", "AAAAAA=="),
        ("x-amz-checksum-crc32c", "AAAAAA=="),
        ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="),
        ("x-amz-checksum-sha1", "2jmj7l5rSw0yVb/vlWAYkK/YBwk="),
        ("x-amz-checksum-sha256", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
    }
)
"""What signers write (AWS's for JavaScript, unasked) who do not have the body yet: it promises nothing of one."""


class Presigned(Enum):
    NOT = 0
    V2 = 2
    V4 = 4


def presigned(head: RequestHead) -> Presigned:
    """By which version the query claims to be signed."""
    if not head.query:
        return Presigned.NOT
    names = {name.decode("utf-8", "surrogateescape").lower() for name, _ in head.query}
    if _V4_MARKS & names:
        return Presigned.V4
    return Presigned.V2 if "awsaccesskeyid" in names else Presigned.NOT


def check_alone(head: RequestHead) -> None:
    """InvalidArgument for a request that is signed in its Authorization header as well."""
    if head.values("authorization"):
        raise InvalidArgument("Authorization", "only one auth mechanism is allowed: this header, or the query")


def operation_parameters(head: RequestHead) -> set[str]:
    """The names of the query that say what is asked for: without those of a signature and those that stand for headers.

    InvalidUri.
    """
    if not head.query:
        return set()
    version = presigned(head)
    names = head.parameters().keys()
    return {name for name in names if not (_signs(version, name.lower()) or _stands_in(version, name.lower()))}


def with_query_headers(head: RequestHead) -> RequestHead:
    """The request with the headers that its query stands for; one that was sent as a header is not replaced. The
    checksum of an empty body, and the name of its algorithm, stand for none.

    InvalidArgument for a value that no header can have.
    """
    version = presigned(head)
    if version is Presigned.NOT:
        return head
    added = []
    for raw_name, raw_value in head.query:
        name = raw_name.decode("utf-8", "surrogateescape").lower()
        if _stands_in(version, name) and not head.values(name):
            value = raw_value.decode("utf-8", "surrogateescape")
            if any(character < " " or character == "\x7f" for character in value):
                raise InvalidArgument(name[:64], "it holds control characters")
            added.append((name, value))
    if not _CHECKSUMS_OF_NOTHING.isdisjoint(added):
        added = [each for each in added if each not in _CHECKSUMS_OF_NOTHING and each[0] != _SDK_ALGORITHM]
    return RequestHead(head.method, head.raw_path, head.raw_query, (*head.headers, *added))


def parameter(head: RequestHead, name: str) -> str | None:
    """A parameter of the signature: None when it is missing. MalformedPresignedQuery when it is there twice."""
    values = [value for given, value in head.query if given == name.encode()]
    if len(values) > 1:
        raise MalformedPresignedQuery(f"{name} is there twice")
    return values[0].decode("utf-8", "surrogateescape") if values else None


def required(head: RequestHead, names: tuple[str, ...]) -> list[str]:
    """All parameters of a signature. MalformedPresignedQuery."""
    values = [parameter(head, name) for name in names]
    found = [value for value in values if value]
    if len(found) != len(names):
        raise MalformedPresignedQuery(f"it takes {', '.join(names)}")
    return found


def _signs(version: Presigned, name: str) -> bool:
    if version is Presigned.V4:
        return name in _V4_NAMES or name == SECURITY_TOKEN
    return version is Presigned.V2 and (name in _V2_NAMES or name == SECURITY_TOKEN)


def _stands_in(version: Presigned, name: str) -> bool:
    if version is Presigned.NOT or _signs(version, name):
        return False
    return name.startswith("x-amz-") or (version is Presigned.V2 and name in _V2_HEADERS)
