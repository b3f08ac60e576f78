"""A bucket's names in UTF-8 byte order, rolled up by a delimiter, without reading what is rolled up.

A page is a walk over the name index by range queries. Names that share a common prefix are skipped by starting the
next range behind all of them, so a prefix with a million names under it costs one seek.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, Row, bindparam, select

from sp.domain.errors import InvalidRequest
from sp.domain.jobs import Job, Listing, ObjectEntry
from sp.domain.part_layout import without_layout
from spdb.models.jobs import jobs
from spdb.models.objects import objects
from spdb.statements import names
from spdb.statements.rows import job_of

SMALL_STEP: Final = 16
LARGE_STEP: Final = 1024
"""Names per range query: small where most of them are skipped, large where most of them are shown."""

_LAST: Final = 0x10FFFF
_SURROGATES: Final = range(0xD800, 0xE000)


def after_prefix(prefix: str) -> str | None:
    """The least text above every text that starts with `prefix`, in UTF-8 byte order (which is that of code points);
    None when there is none."""
    while prefix and ord(prefix[-1]) == _LAST:
        prefix = prefix[:-1]
    if not prefix:
        return None
    following = ord(prefix[-1]) + 1
    return prefix[:-1] + chr(_SURROGATES.stop if following in _SURROGATES else following)


@dataclass(frozen=True, slots=True)
class Query:
    """What a page of names is asked for: `marker` is exclusive, and may be a common prefix of the page before."""

    bucket: str
    prefix: str
    delimiter: str
    marker: str
    limit: int

    def common_prefix(self, name: str) -> str | None:
        """What `name` is rolled up into; None when it is shown by itself."""
        at = name.find(self.delimiter, len(self.prefix)) if self.delimiter else -1
        return None if at < 0 else name[: at + len(self.delimiter)]


@dataclass(frozen=True, slots=True)
class _Item:
    """A name or a common prefix of the page."""

    name: str
    row: Row[Any] | None


def page(connection: Connection, query: Query) -> Listing:
    """InvalidRequest for text that is not Unicode."""
    query = _storable(query)
    items: list[_Item] = []
    if query.limit > 0:
        for item in _items(connection, query):
            items.append(item)
            if len(items) > query.limit:
                break
    shown = items[: query.limit]
    return Listing(
        entries=_entries(connection, [item.row for item in shown if item.row is not None]),
        common_prefixes=tuple(item.name for item in shown if item.row is None),
        next_marker=shown[-1].name if len(items) > query.limit else None,
    )


def _storable(query: Query) -> Query:
    """The same question in words that both databases take: no name holds NUL, so a marker means what is before it, and
    a delimiter that holds one is nowhere."""
    for word in (query.bucket, query.prefix, query.delimiter, query.marker):
        if not names.is_storable(word.replace("\0", "")):
            raise InvalidRequest("not Unicode")
    limit = query.limit if names.is_storable(query.bucket) and names.is_storable(query.prefix) else 0
    delimiter = query.delimiter if names.is_storable(query.delimiter) else ""
    return Query(query.bucket, query.prefix, delimiter, query.marker.split("\0", 1)[0], limit)


_COLUMNS: Final = select(objects.c.object_name, objects.c.job_id, objects.c.updated_at_ms)


def _range(*, exclusive: bool, bounded: bool) -> Any:
    start: BindParameter[str] = bindparam("b_start")
    statement = _COLUMNS.where(
        objects.c.bucket == bindparam("b_bucket"),
        objects.c.object_name > start if exclusive else objects.c.object_name >= start,
    )
    if bounded:
        statement = statement.where(objects.c.object_name < bindparam("b_end"))
    return statement.order_by(objects.c.object_name).limit(bindparam("b_limit"))


_RANGES: Final = {(e, b): _range(exclusive=e, bounded=b) for e in (False, True) for b in (False, True)}


def _items(connection: Connection, query: Query) -> Iterator[_Item]:
    """Names and common prefixes behind the marker, in order, each common prefix once."""
    start: str | None = query.prefix
    exclusive = False
    if query.marker >= query.prefix:  # str compares by code point, as UTF-8 does by byte
        start, exclusive = query.marker, True
        if query.marker.startswith(query.prefix) and (rolled := query.common_prefix(query.marker)) is not None:
            start, exclusive = after_prefix(rolled), False
    step = LARGE_STEP if not query.delimiter else SMALL_STEP
    while start is not None:
        rows = _step(connection, query, start, min(step, query.limit + 1), exclusive=exclusive)
        skipped = None
        shown = 0
        for row in rows:
            if skipped is not None and row.object_name.startswith(skipped):
                continue
            skipped = query.common_prefix(row.object_name)
            shown += 1
            yield _Item(row.object_name, row) if skipped is None else _Item(skipped, None)
        if len(rows) < min(step, query.limit + 1):
            return
        start, exclusive = (rows[-1].object_name, True) if skipped is None else (after_prefix(skipped), False)
        step = min(step * 4, LARGE_STEP) if shown * 2 > len(rows) else SMALL_STEP


def _step(connection: Connection, query: Query, start: str, limit: int, *, exclusive: bool) -> list[Row[Any]]:
    end = after_prefix(query.prefix)
    bounds = {"b_bucket": query.bucket, "b_start": start, "b_end": end, "b_limit": limit}
    if end is None:
        del bounds["b_end"]
    return list(connection.execute(_RANGES[exclusive, end is not None], bounds))


_JOBS: Final = select(jobs).where(jobs.c.id.in_(bindparam("b_ids", expanding=True)))


def _entries(connection: Connection, rows: list[Row[Any]]) -> tuple[ObjectEntry, ...]:
    """The rows with their jobs, without what nobody lists; one that was collected between two statements is left
    out."""
    if not rows:
        return ()
    found = {row.id: job_of(row) for row in connection.execute(_JOBS, {"b_ids": [row.job_id for row in rows]})}
    return tuple(ObjectEntry(_listed(found[row.job_id]), row.updated_at_ms) for row in rows if row.job_id in found)


def _listed(job: Job) -> Job:
    return replace(job, headers=without_layout(job.headers))
