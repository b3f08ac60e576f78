"""What both databases can store as a name or as words, and locks on what has no row yet."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

from sp.domain.errors import InvalidRequest

MAX_NAME_BYTES: Final = 1024
MAX_WORDS: Final = 2_000
MAX_ID: Final = 2**63 - 1


def is_storable(value: str) -> bool:
    """PostgreSQL's text has no NUL, UTF-8 has no lone surrogates: no row holds such a name."""
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def check_names(bucket: str, object_name: str) -> None:
    """InvalidRequest for names that cannot be stored or indexed."""
    for what, name in (("bucket", bucket), ("object", object_name)):
        if not is_storable(name):
            raise InvalidRequest(f"{what} name holds NUL or is not Unicode")
        if not 0 < len(name.encode()) <= MAX_NAME_BYTES:
            raise InvalidRequest(f"{what} name has not 1 to {MAX_NAME_BYTES} bytes")


def clean(words: str) -> str:
    """Words for an operator (often another program's), shortened, in characters that both databases store."""
    if words.isascii() and len(words) <= MAX_WORDS and "\0" not in words:
        return words
    return words[:MAX_WORDS].encode(errors="replace").decode().replace("\0", "\ufffd")


def is_id(number: int) -> bool:
    """Whether a row can have this number; others come from clients and are nobody's."""
    return 0 <= number <= MAX_ID


_LOCK: Final = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")


def lock(connection: Connection, *parts: object) -> None:
    """Be alone with what `parts` name until the transaction ends. On SQLite every writer is alone already."""
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK, {"key": "/".join(map(str, parts))})
