"""A bucket's open uploads by name and id, rolled up by a delimiter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, Row, literal_column, select

from sp.domain.errors import InvalidRequest
from sp.domain.ids import UploadId
from sp.domain.multipart import Upload, UploadsPage, UploadsQuery
from spdb.models.multipart import multipart_uploads as uploads
from spdb.statements import names
from spdb.statements.listing import after_prefix
from spdb.statements.multipart_rows import upload_of

STEP: Final = 256
"""Rows per range query."""


def page(connection: Connection, query: UploadsQuery) -> UploadsPage:
    """InvalidRequest for text that is not Unicode, or holds NUL."""
    for word in (query.bucket, query.prefix, query.delimiter, query.key_marker):
        if not names.is_storable(word):
            raise InvalidRequest("not Unicode, or with a NUL")
    shown: list[Upload | str] = []
    for item in _items(connection, query):
        if len(shown) == query.limit:
            return _page(shown, more=bool(shown))
        shown.append(item)
    return _page(shown, more=False)


def _page(shown: list[Upload | str], *, more: bool) -> UploadsPage:
    listed = tuple(item for item in shown if isinstance(item, Upload))
    prefixes = tuple(item for item in shown if isinstance(item, str))
    if not more:
        return UploadsPage(listed, prefixes)
    last = shown[-1]
    if isinstance(last, str):
        return UploadsPage(listed, prefixes, last)
    return UploadsPage(listed, prefixes, last.order.object_name, last.id)


def _rolled(query: UploadsQuery, name: str) -> str | None:
    at = name.find(query.delimiter, len(query.prefix)) if query.delimiter else -1
    return None if at < 0 else name[: at + len(query.delimiter)]


def _items(connection: Connection, query: UploadsQuery) -> Iterator[Upload | str]:
    """Uploads and common prefixes behind the markers, in order, each common prefix once."""
    position = _first(query)
    while position is not None:
        rows = _step(connection, query, position)
        following: _Position | None = None
        for row in rows:
            prefix = _rolled(query, row.object_name)
            if prefix is not None:
                yield prefix
                start = after_prefix(prefix)
                following = None if start is None else (start, -1)
                break
            yield _bare(upload_of(row))
            following = (row.object_name, row.id)
        else:
            if len(rows) < STEP:
                return
        position = following


def _bare(upload: Upload) -> Upload:
    """Without what nobody lists: a thousand uploads with all their headers would not fit into a message."""
    return replace(upload, order=replace(upload.order, headers={}, tags={}))


_Position = tuple[str, int]
"""The name and id that what follows must be above."""


def _first(query: UploadsQuery) -> _Position | None:
    if query.key_marker < query.prefix:  # str compares by code point, as UTF-8 does by byte
        return (query.prefix, -1)
    rolled = _rolled(query, query.key_marker) if query.key_marker.startswith(query.prefix) else None
    if rolled is not None:
        start = after_prefix(rolled)
        return None if start is None else (start, -1)
    if not query.key_marker:
        return ("", -1)
    return (query.key_marker, names.MAX_ID if query.id_marker is None else query.id_marker)


def _step(connection: Connection, query: UploadsQuery, position: tuple[str, int]) -> list[Row[Any]]:
    name, above = position
    statement = (
        select(uploads)
        .where(
            uploads.c.state < literal_column("2"),
            uploads.c.bucket == query.bucket,
            uploads.c.object_name >= name,
            (uploads.c.object_name > name) | (uploads.c.id > UploadId(above)),
        )
        .order_by(uploads.c.object_name, uploads.c.id)
        .limit(STEP)
    )
    end = after_prefix(query.prefix)
    if query.prefix and end is not None:
        statement = statement.where(uploads.c.object_name < end)
    return list(connection.execute(statement))
