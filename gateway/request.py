"""A request before its body: the head exactly as it was sent, and the bucket and object that it names.

Names are percent-decoded exactly once, from the raw request target: no library may normalise them, or "a//b", "..",
"%2F" and "+" would name other objects than the client meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from gateway.errors import HeadersTooLarge, InvalidBucketName, InvalidObjectName, InvalidUri, NameTooLong

MAX_OBJECT_NAME_BYTES: Final = 1024

RESERVED_BUCKETS: Final = frozenset({"status", "auth", "download", "greenfield", "permission", "view"})
"""First path elements that the gateway itself answers: no bucket can be called so."""

_RESERVED_PREFIXES: Final = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_SUFFIXES: Final = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_IP_ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
_ABSOLUTE = re.compile(r"https?://[^/?]*", re.IGNORECASE)

QueryPairs = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class RequestHead:
    """method, raw_path and raw_query as on the request line (percent-encoded; the query without its "?").

    headers: in the order sent; names in any case. Bytes that are not UTF-8 are surrogate-escaped in all of them.
    """

    method: str
    raw_path: str
    raw_query: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    query: QueryPairs = field(init=False, repr=False, compare=False)
    _by_name: dict[str, list[str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name: dict[str, list[str]] = {}
        for name, value in self.headers:
            by_name.setdefault(name.lower(), []).append(value)
        object.__setattr__(self, "_by_name", by_name)
        object.__setattr__(self, "query", parse_query(self.raw_query))

    @classmethod
    def of_target(cls, method: str, target: str, headers: Iterable[tuple[str, str]]) -> RequestHead:
        """target: the second word of the request line, in origin or absolute form. InvalidUri for another."""
        absolute = _ABSOLUTE.match(target)
        if absolute is not None:
            target = target[absolute.end() :] or "/"
        if not target.startswith("/"):
            raise InvalidUri("the request target must start with a slash")
        path, _, query = target.partition("?")
        return cls(method, path, query, tuple(headers))

    def values(self, name: str) -> list[str]:
        """Every value of a header, in the order sent. name: lower case."""
        return self._by_name.get(name, [])

    def header(self, name: str, default: str = "") -> str:
        """The value of a header; several are joined with commas, as RFC 9110 5.2 says. name: lower case."""
        values = self._by_name.get(name)
        return ",".join(values) if values else default

    def header_names(self) -> Iterable[str]:
        """Lower case, each once."""
        return self._by_name.keys()

    @property
    def host(self) -> str:
        return self.header("host")

    def parameters(self) -> dict[str, str]:
        """The decoded query; of a repeated key the first value. InvalidUri when it is not UTF-8."""
        decoded: dict[str, str] = {}
        if not self.query:
            return decoded
        for name, value in self.query:
            decoded.setdefault(_text(name), _text(value))
        return decoded


def check_header_size(head: RequestHead, max_bytes: int) -> None:
    """HeadersTooLarge when names and values together are longer."""
    size = 0
    for name, value in head.headers:
        size += len(name) + len(value)
    if size > max_bytes:
        raise HeadersTooLarge(size, max_bytes)


def parse_query(raw: str) -> QueryPairs:
    """Decoded (key, value) pairs in the order sent, "+" as a blank. A key without "=" has the value b""."""
    if not raw:
        return ()
    pairs = []
    for part in raw.split("&"):
        if part:
            name, _, value = part.partition("=")
            pairs.append((_unquoted(name.replace("+", " ")), _unquoted(value.replace("+", " "))))
    return tuple(pairs)


def percent_encoded(raw: bytes, keep: str = "") -> str:
    """Everything but A-Z a-z 0-9 - _ . ~ and `keep` as %XX: the encoding of both signature schemes."""
    return quote_from_bytes(raw, safe=keep)


def decoded_path(head: RequestHead) -> bytes:
    return _unquoted(head.raw_path)


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about. No bucket: the provider itself; no object: the bucket."""

    bucket: str | None
    object_name: str | None


def resolve(head: RequestHead, domain_name: str) -> Target:
    """Bucket and object of a request, virtual-host style if Host is `{bucket}.{domain_name}`, else path style.

    domain_name: without a port; "" when only path style is served. Raises InvalidUri, InvalidBucketName,
    InvalidObjectName, NameTooLong.
    """
    if _BAD_ESCAPE.search(head.raw_path):
        raise InvalidUri("a percent sign is not followed by two hex digits")
    path = head.raw_path[1:]
    bucket = virtual_host_bucket(head.host, domain_name)
    if bucket is None:
        first, _, path = path.partition("/")
        if not first:
            return _no_bucket(path)
        bucket = _text(_unquoted(first))
    if not path:
        return Target(bucket, None)
    return Target(bucket, object_name_of(_unquoted(path)))


def check_bucket_name(bucket: str) -> None:
    """InvalidBucketName for a name that no bucket can have (the rules of S3 and Greenfield alike)."""
    if not _BUCKET.fullmatch(bucket):
        raise InvalidBucketName(bucket[:64], "3 to 63 of a-z 0-9 . and -, a letter or digit first and last")
    if ".." in bucket or ".-" in bucket or "-." in bucket:
        raise InvalidBucketName(bucket, "a dot must stand between letters or digits")
    if _IP_ADDRESS.fullmatch(bucket):
        raise InvalidBucketName(bucket, "it looks like an IP address")
    if bucket.startswith(_RESERVED_PREFIXES) or bucket.endswith(_RESERVED_SUFFIXES):
        raise InvalidBucketName(bucket, "S3 keeps such names for itself")
    if bucket in RESERVED_BUCKETS:
        raise InvalidBucketName(bucket, "the name is reserved")


def object_name_of(raw: bytes) -> str:
    """1 to 1024 bytes of UTF-8 without NUL, as they are. NameTooLong, InvalidObjectName."""
    if len(raw) > MAX_OBJECT_NAME_BYTES:
        raise NameTooLong(len(raw), MAX_OBJECT_NAME_BYTES)
    if not raw:
        raise InvalidObjectName("it is empty")
    if b"\0" in raw:
        raise InvalidObjectName("it holds a NUL")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidObjectName("it is not UTF-8") from error


def host_without_port(host: str) -> str:
    """Of `name:port`, `1.2.3.4:port` and `[::1]:port`, what stands before the port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() and not name.endswith(":") else host


def virtual_host_bucket(host: str, domain_name: str) -> str | None:
    """The bucket that a Host names; None for the provider's own. domain_name: as for `resolve`"""
    if not domain_name:
        return None
    name = host_without_port(host).lower()
    suffix = f".{domain_name.lower()}"
    return name.removesuffix(suffix) if name.endswith(suffix) and len(name) > len(suffix) else None


def _no_bucket(path: str) -> Target:
    if path:
        raise InvalidBucketName("", "the path starts with two slashes")
    return Target(None, None)


def _unquoted(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    return unquote_to_bytes(raw) if b"%" in raw else raw


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidUri("the query or bucket name is not UTF-8") from error
