"""Ranges and conditions of a GET or HEAD: pure (RFC 9110 13 and 14)."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache

from gateway.errors import NotModified
from gateway.request import RequestHead
from sp.domain.errors import PreconditionFailed
from sp.domain.segments import resolve_range

_RANGE = re.compile(r"bytes=\s*([0-9]{0,19})\s*-\s*([0-9]{0,19})\s*")


def http_date(at_ms: int) -> str:
    """IMF-fixdate of unix milliseconds, rounded down to the second."""
    return _date_of(at_ms // 1000)


@lru_cache(4096)
def _date_of(at_s: int) -> str:
    return formatdate(at_s, usegmt=True)


def requested_range(head: RequestHead, payload_size: int, etag: str, updated_at_ms: int) -> tuple[int, int] | None:
    """The half-open [start, stop) of `Range: bytes=a-b`; None when the whole object is meant.

    A header that is malformed, asks for several ranges, or comes with an If-Range that names other content is ignored,
    as S3 does. InvalidRange when nothing of it lies inside the object.
    """
    match = _RANGE.fullmatch(head.header("range"))
    if match is None or not (match[1] or match[2]):
        return None
    first = int(match[1]) if match[1] else None
    last = int(match[2]) if match[2] else None
    if first is not None and last is not None and first > last:
        return None
    if_range = head.header("if-range").strip()
    if if_range and if_range not in (f'"{etag}"', http_date(updated_at_ms)):
        return None
    return resolve_range(first, last, payload_size)


def check_conditions(head: RequestHead, etag: str, updated_at_ms: int) -> None:
    """PreconditionFailed or NotModified when the request's conditions say so, in the order of RFC 9110 13.2.2."""
    updated_at_s = updated_at_ms // 1000
    if head.values("if-match"):
        if not _names(head.header("if-match"), etag):
            raise PreconditionFailed("If-Match")
    elif (since := _seconds(head.header("if-unmodified-since"))) is not None and updated_at_s > since:
        raise PreconditionFailed("If-Unmodified-Since")
    if head.values("if-none-match"):
        if _names(head.header("if-none-match"), etag):
            raise NotModified(etag, updated_at_ms)
    elif (since := _seconds(head.header("if-modified-since"))) is not None and updated_at_s <= since:
        raise NotModified(etag, updated_at_ms)


def _names(condition: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in condition.split(",")]
    return "*" in tags or etag in tags


def _seconds(date: str) -> float | None:
    """Unix seconds; None for no date or one that cannot be parsed, which RFC 9110 says to ignore."""
    if not date:
        return None
    try:
        parsed = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
