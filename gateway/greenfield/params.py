"""Values in the queries and headers of Greenfield requests: pure."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.auth import gnfd1_text
from gateway.errors import InvalidArgument
from gateway.greenfield.errors import InvalidComplete, InvalidOffset
from gateway.request import RequestHead
from sp.domain.ledger import Visibility

MAX_LISTED: Final = 1000
DEFAULT_LISTED: Final = 50
_MAX_DIGITS: Final = 19

_TRUE: Final = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})
"""As Go's strconv.ParseBool."""


def number(text: str) -> int | None:
    """An unsigned decimal number of at most 63 bits; None for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        return None
    value = int(text)
    return value if value < 2**63 else None


def truth(text: str) -> bool | None:
    return True if text in _TRUE else False if text in _FALSE else None


@dataclass(frozen=True, slots=True)
class PartQuery:
    offset: int
    complete: bool


def part_query(head: RequestHead) -> PartQuery:
    """InvalidComplete, InvalidOffset: both parameters must be there."""
    given = head.parameters()
    complete = truth(given.get("complete", ""))
    if complete is None:
        raise InvalidComplete(given.get("complete", "")[:64])
    offset = number(given.get("offset", ""))
    if offset is None:
        raise InvalidOffset(given.get("offset", "")[:64])
    return PartQuery(offset, complete)


@dataclass(frozen=True, slots=True)
class DelegateQuery:
    """payload_size: bytes of the whole object"""

    payload_size: int
    visibility: Visibility
    is_update: bool


def delegate_query(head: RequestHead, *, folder: bool = False) -> DelegateQuery:
    """InvalidArgument. visibility 0, or none: as the bucket, and of an update as it was. folder: has no payload and
    needs not say so"""
    given = head.parameters()
    size = 0 if folder else number(given.get("payload_size", ""))
    if size is None:
        raise InvalidArgument("payload_size", "it must be a number of bytes")
    visibility = number(given.get("visibility") or "0")
    if visibility is None or visibility not in list(Visibility):
        raise InvalidArgument("visibility", "it must be 0, 1, 2 or 3")
    is_update = truth(given.get("is_update") or "false")
    if is_update is None:
        raise InvalidArgument("is_update", "it must be true or false")
    unsaid = Visibility.UNSPECIFIED if is_update else Visibility.INHERIT
    return DelegateQuery(size, Visibility(visibility) or unsaid, is_update)


@dataclass(frozen=True, slots=True)
class ListingQuery:
    """after: only names above it; token: as sent"""

    prefix: str
    delimiter: str
    after: str
    max_keys: int
    token: str


def listing_query(head: RequestHead) -> ListingQuery:
    """InvalidArgument."""
    given = head.parameters()
    max_keys = number(given.get("max-keys") or str(DEFAULT_LISTED))
    if max_keys is None:
        raise InvalidArgument("max-keys", "it must be a number from 0")
    delimiter = given.get("delimiter", "")
    if delimiter not in ("", "/"):
        raise InvalidArgument("delimiter", "it can only be a slash")
    for name in ("prefix", "start-after"):
        if "\0" in given.get(name, ""):
            raise InvalidArgument(name, "no object name holds a NUL")
    token = given.get("continuation-token", "")
    after = _decoded(token) if token else given.get("start-after", "")
    return ListingQuery(given.get("prefix", ""), delimiter, after, min(max_keys or DEFAULT_LISTED, MAX_LISTED), token)


def encoded_token(marker: str) -> str:
    return base64.b64encode(marker.encode()).decode()


def _decoded(token: str) -> str:
    try:
        marker = base64.b64decode(token, validate=True).decode()
    except ValueError as error:
        raise InvalidArgument("continuation-token", "it is none of ours") from error
    if "\0" in marker:
        raise InvalidArgument("continuation-token", "it is none of ours")
    return marker


def expiry_fault(stamp: str, now_s: float) -> str:
    """Why a time is no expiry (now <= t <= now + 7 days, ISO 8601 with a time zone); "" when it is one."""
    if not stamp:
        return "it is missing"
    try:
        expires = datetime.fromisoformat(stamp)
    except ValueError:
        return "it is not ISO 8601"
    if expires.tzinfo is None:
        return "it has no time zone"
    if not now_s <= expires.timestamp() <= now_s + gnfd1_text.MAX_VALID_S:
        return "it must lie between now and 7 days from now"
    return ""
