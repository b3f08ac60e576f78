"""S3's and Greenfield's XML: written by hand, since element order and control characters are part of the format.

Text may hold characters that XML 1.0 forbids (object names may). As S3 does, they go out as character references;
clients that cannot read those ask for encoding-type=url.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from gateway import xml_in
from gateway.errors import InvalidArgument, NotSupported
from gateway.request import RequestHead, percent_encoded
from sp.domain.jobs import Listing, ObjectEntry
from sp.domain.ledger import Bucket

CONTENT_TYPE: Final = "application/xml"
DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
_MAX_KEYS: Final = 1000
MAX_BUCKETS: Final = 10_000
_SPECIAL = re.compile("[<>&\"'\x00-\x1f\x7f-\x9f\ufffe\uffff]")
_NAMED: Final = {"<": "&lt;", ">": "&gt;", "&": "&amp;", '"': "&quot;", "'": "&apos;"}


def escaped(text: str) -> str:
    return _SPECIAL.sub(lambda match: _NAMED.get(match[0]) or f"&#x{ord(match[0]):X};", text)


def element(name: str, text: str | int) -> str:
    return f"<{name}>{escaped(str(text))}</{name}>"


def quoted(etag: str) -> str:
    return f'"{etag}"'


def document(name: str, *children: str) -> bytes:
    """A whole document in S3's namespace."""
    return f'{DECLARATION}<{name} xmlns="{_NAMESPACE}">{"".join(children)}</{name}>'.encode()


def timestamp(at_ms: int) -> str:
    """2024-01-02T03:04:05.678Z"""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03d}Z"


# --- errors -------------------------------------------------------------------------------------------------------


def s3_error(code: str, message: str, resource: str, request_id: str, extra: Iterable[tuple[str, str]]) -> bytes:
    """A message may quote what a client has sent, which need not be text: what has no UTF-8 becomes a "?"."""
    more = "".join(element(name, text) for name, text in extra)
    body = element("Code", code) + element("Message", message) + more
    body += element("Resource", resource) + element("RequestId", request_id)
    return f"{DECLARATION}<Error>{body}</Error>".encode("utf-8", "replace")


def greenfield_error(code: int, message: str) -> bytes:
    """As s3_error."""
    return f"<Error>{element('Code', code)}{element('Message', message)}</Error>".encode("utf-8", "replace")


# --- buckets ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BucketsQuery:
    """Which of an account's buckets to list. after: names above it; limit: 0 for all"""

    prefix: str
    after: str
    limit: int


def buckets_query(head: RequestHead, region: str) -> BucketsQuery | None:
    """InvalidArgument for a parameter that S3 refuses; None when buckets of another region are asked for."""
    given = head.parameters()
    limit = given.get("max-buckets", "")
    if limit and not (limit.isascii() and limit.isdigit() and len(limit) < 6 and 1 <= int(limit) <= MAX_BUCKETS):
        raise InvalidArgument("max-buckets", f"it must be 1 to {MAX_BUCKETS}")
    token = given.get("continuation-token", "")
    query = BucketsQuery(given.get("prefix", ""), _decoded_token(token) if token else "", int(limit or 0))
    return query if given.get("bucket-region", region) == region else None


def buckets(owner: str, owned: Sequence[Bucket], query: BucketsQuery | None, region: str) -> bytes:
    """A ListAllMyBucketsResult. owned: in name order"""
    found = [b for b in owned if query and b.name.startswith(query.prefix) and b.name > query.after]
    shown = found[: query.limit] if query and query.limit else found
    rows = (
        f"<Bucket>{element('Name', b.name)}{element('CreationDate', timestamp(b.create_at * 1000))}"
        f"{element('BucketRegion', region)}</Bucket>"
        for b in shown
    )
    more = [element("ContinuationToken", _encoded_token(shown[-1].name))] if len(shown) < len(found) else []
    more += [element("Prefix", query.prefix)] if query and query.prefix else []
    return document("ListAllMyBucketsResult", owner_element(owner), f"<Buckets>{''.join(rows)}</Buckets>", *more)


def location(region: str) -> bytes:
    """us-east-1 is shown as nothing, as S3 does."""
    return document("LocationConstraint", escaped("" if region == "us-east-1" else region))


def location_constraint(body: bytes) -> str:
    """Of a CreateBucketConfiguration; "" when there is none. MalformedXml, NotSupported."""
    if not body.strip():
        return ""
    root = xml_in.parsed(body, "CreateBucketConfiguration")
    for child in root:
        if xml_in.local(child) != "LocationConstraint":
            raise NotSupported(f"{xml_in.local(child)[:64]!r} of a new bucket")
    return xml_in.text(root, "LocationConstraint", "").strip()


# --- objects ------------------------------------------------------------------------------------------------------


def upload_progress(description: str, error: str) -> bytes:
    children = element("ProgressDescription", description) + element("ErrorDescription", error)
    return f'{DECLARATION}<QueryUploadProgress version="1.0">{children}</QueryUploadProgress>'.encode()


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What a ListObjects request asks for. after: names above it; token: V2's continuation-token as sent, None
    without one"""

    version: int
    prefix: str
    delimiter: str
    after: str
    max_keys: int
    url_encoding: bool
    fetch_owner: bool
    token: str | None
    start_after: str


def list_query(head: RequestHead, version: int) -> ListQuery:
    """InvalidArgument for a parameter that S3 refuses."""
    given = head.parameters()
    for name in ("prefix", "delimiter", "marker", "start-after"):
        if "\0" in given.get(name, ""):
            raise InvalidArgument(name, "no object name holds a NUL")
    token, start_after = given.get("continuation-token"), given.get("start-after", "")
    encoding = given.get("encoding-type", "")
    if encoding not in ("", "url"):
        raise InvalidArgument("encoding-type", "it can only be url")
    after = given.get("marker", "") if version == 1 else (_decoded_token(token) if token else start_after)
    return ListQuery(
        version,
        given.get("prefix", ""),
        given.get("delimiter", ""),
        after,
        _max_keys(given.get("max-keys", "")),
        encoding == "url",
        version == 1 or given.get("fetch-owner", "") == "true",
        token,
        start_after,
    )


def listing(bucket: Bucket, query: ListQuery, page: Listing) -> bytes:
    """ListBucketResult, version 1 or 2."""

    def name(text: str) -> str:
        return percent_encoded(text.encode(), keep="/") if query.url_encoding else text

    count = len(page.entries) + len(page.common_prefixes)
    head = [element("Name", bucket.name), element("Prefix", name(query.prefix))]
    if query.version == 1:
        head.append(element("Marker", name(query.after)))
        if page.next_marker is not None:
            head.append(element("NextMarker", name(page.next_marker)))
    else:
        head.append(element("KeyCount", count))
        head += [] if query.token is None else [element("ContinuationToken", query.token)]
        head += [element("StartAfter", name(query.start_after))] if query.start_after else []
        if page.next_marker is not None:
            head.append(element("NextContinuationToken", _encoded_token(page.next_marker)))
    head.append(element("MaxKeys", query.max_keys))
    head += [element("Delimiter", name(query.delimiter))] if query.delimiter else []
    head += [element("EncodingType", "url")] if query.url_encoding else []
    head.append(element("IsTruncated", "false" if page.next_marker is None else "true"))
    owner = owner_element(bucket.owner) if query.fetch_owner else ""
    rows = [_contents(name(entry.job.object_name), entry, owner) for entry in page.entries]
    prefixes = [f"<CommonPrefixes>{element('Prefix', name(p))}</CommonPrefixes>" for p in page.common_prefixes]
    return document("ListBucketResult", *head, *rows, *prefixes)


def _contents(shown_name: str, entry: ObjectEntry, owner: str) -> str:
    return (
        f"<Contents>{element('Key', shown_name)}{element('LastModified', timestamp(entry.updated_at_ms))}"
        f"{element('ETag', chr(34) + entry.etag + chr(34))}{element('Size', entry.job.payload_size or 0)}"
        f"{owner}{element('StorageClass', 'STANDARD')}</Contents>"
    )


def owner_element(address: str) -> str:
    return f"<Owner>{element('ID', address)}{element('DisplayName', address)}</Owner>"


def _max_keys(text: str) -> int:
    if not text:
        return _MAX_KEYS
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise InvalidArgument("max-keys", "it must be an integer from 0")
    return min(int(text), _MAX_KEYS)


def _encoded_token(marker: str) -> str:
    return base64.urlsafe_b64encode(marker.encode()).decode()


def _decoded_token(token: str) -> str:
    try:
        marker = base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except ValueError as error:
        raise InvalidArgument("continuation-token", "it is none of ours") from error
    if not marker or "\0" in marker:
        raise InvalidArgument("continuation-token", "it is none of ours")
    return marker
