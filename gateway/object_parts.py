"""The parts of an object that was put in parts, as a reader asks for them: pure."""

from __future__ import annotations

from typing import Final

from gateway.checksums import CHECKSUM_HEADERS, CHECKSUM_PREFIX, CHECKSUM_TYPE, FULL_OBJECT
from gateway.errors import InvalidPartNumber, NotSupported
from gateway.multipart_requests import MAX_LISTED, number_of, part_number_of
from gateway.request import RequestHead
from gateway.s3_xml import element
from sp.domain.errors import InvalidRequest
from sp.domain.jobs import ETAG_HEADER, ObjectEntry
from sp.domain.part_layout import PartSpan, spans_of

PARTS_COUNT: Final = "x-amz-mp-parts-count"
_MAX_PARTS: Final = "x-amz-max-parts"
_MARKER: Final = "x-amz-part-number-marker"


def requested_part(head: RequestHead, entry: ObjectEntry) -> PartSpan | None:
    """Of a GET or HEAD: what `?partNumber=` means, None without one. An object that was not put in parts is one.

    InvalidArgument; InvalidRequest for a range of a part; InvalidPartNumber for one that the object does not have.
    """
    text = head.parameters().get("partNumber")
    if text is None:
        return None
    number = part_number_of(text)
    if head.values("range"):
        raise InvalidRequest("Cannot specify both Range header and partNumber query parameter")
    spans = known_spans(entry) or (PartSpan(1, 0, entry.job.payload_size or 0),)
    for span in spans:
        if span.number == number:
            return span
    raise InvalidPartNumber(number, len(spans))


def part_headers(entry: ObjectEntry, part: PartSpan, *, checksum: bool) -> dict[str, str]:
    """What an answer says of a part beside its bytes. checksum: the client asks for it"""
    spans = spans_of(entry.job.headers)
    shown = {PARTS_COUNT: str(len(spans))} if spans else {}
    if checksum and part.checksum and (name := _checksum_header(entry)):
        shown |= {name: part.checksum, CHECKSUM_TYPE: entry.job.headers.get(CHECKSUM_TYPE, FULL_OBJECT)}
    return shown


def known_spans(entry: ObjectEntry) -> tuple[PartSpan, ...]:
    """() for an object that was not put in parts. NotSupported for one whose parts are not known any more."""
    spans = spans_of(entry.job.headers)
    if not spans and "-" in entry.job.headers.get(ETAG_HEADER, ""):
        raise NotSupported("the parts of this object: too many, of too different sizes")
    return spans


def parts_element(head: RequestHead, entry: ObjectEntry) -> str:
    """ObjectParts of a GetObjectAttributes; "" of an object that was not put in parts. InvalidArgument."""
    limit = min(number_of(_MAX_PARTS, head.header(_MAX_PARTS), MAX_LISTED), MAX_LISTED)
    marker = number_of(_MARKER, head.header(_MARKER), 0)
    spans = spans_of(entry.job.headers)
    if not spans:
        _, dash, count = entry.job.headers.get(ETAG_HEADER, "").partition("-")
        return f"<ObjectParts>{element('PartsCount', count)}</ObjectParts>" if dash else ""
    left = [span for span in spans if span.number > marker]
    shown = left[:limit]
    facts = (
        element("PartsCount", len(spans)),
        element("PartNumberMarker", marker),
        element("NextPartNumberMarker", shown[-1].number if shown else marker),
        element("MaxParts", limit),
        element("IsTruncated", "true" if len(shown) < len(left) else "false"),
    )
    name = _checksum_header(entry)
    return f"<ObjectParts>{''.join(facts)}{''.join(_part(span, name) for span in shown)}</ObjectParts>"


def _part(span: PartSpan, checksum_header: str) -> str:
    facts = element("PartNumber", span.number) + element("Size", span.stop - span.start)
    if span.checksum and checksum_header:
        facts += element(f"Checksum{checksum_header.removeprefix(CHECKSUM_PREFIX).upper()}", span.checksum)
    return f"<Part>{facts}</Part>"


def _checksum_header(entry: ObjectEntry) -> str:
    """Of which algorithm the checksums of its parts are: that of its own."""
    return next((name for name in CHECKSUM_HEADERS if name in entry.job.headers), "")
