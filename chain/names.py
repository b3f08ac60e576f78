"""Which names the chain allows (greenfield x/storage s3util; the same rules as Amazon's for path-safe names). Pure."""

from __future__ import annotations

import re
from typing import Final

BUCKET_NAME_MIN: Final = 3
BUCKET_NAME_MAX: Final = 63
OBJECT_NAME_MAX: Final = 1024
"""Bytes of UTF-8."""

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_IP_ADDRESS: Final = re.compile(r"([0-9]+\.){3}[0-9]+", re.ASCII)


def bucket_name_fault(name: str) -> str | None:
    """Why this is no bucket name, or None: 3 to 63 of a-z, 0-9, "." and "-", as a host name of DNS, no IP address."""
    if not BUCKET_NAME_MIN <= len(name) <= BUCKET_NAME_MAX:
        return f"a bucket name has {BUCKET_NAME_MIN} to {BUCKET_NAME_MAX} characters"
    if not _BUCKET.fullmatch(name):
        return (
            "a bucket name has lower-case letters, digits, dots and hyphens, and begins and ends with one of the first"
        )
    if _IP_ADDRESS.fullmatch(name):
        return "a bucket name must not look like an IP address"
    if any(pair in name for pair in ("..", ".-", "-.")):
        return "in a bucket name a dot stands between letters or digits"
    return None


def object_name_fault(name: str) -> str | None:
    """Why this is no object name, or None: 1 to 1024 bytes of UTF-8, not blank, no "//", no part "." or ".."."""
    try:
        size_bytes = len(name.encode())
    except UnicodeEncodeError:
        return "an object name is Unicode text"
    if not name.strip() or size_bytes > OBJECT_NAME_MAX:
        return f"an object name has 1 to {OBJECT_NAME_MAX} bytes and is not blank"
    if "//" in name:
        return 'an object name must not contain "//"'
    if any(part.strip() in (".", "..") for part in name.split("/")):
        return 'no part of an object name is "." or ".."'
    return None
