"""ListObjectVersions where nothing is versioned: every object is there once, its version is "null". Pure."""

from __future__ import annotations

from gateway.errors import InvalidArgument
from gateway.request import RequestHead, percent_encoded
from gateway.s3_xml import ListQuery, document, element, list_query, owner_element, quoted, timestamp
from sp.domain.jobs import Listing, ObjectEntry
from sp.domain.ledger import Bucket

NULL_VERSION = "null"


def versions_query(head: RequestHead) -> tuple[ListQuery, str]:
    """The query (its `after`: key-marker) and the version-id-marker. InvalidArgument."""
    given = head.parameters()
    key_marker, version_marker = given.get("key-marker", ""), given.get("version-id-marker", "")
    if version_marker and not key_marker:
        raise InvalidArgument("version-id-marker", "it cannot be specified without a key marker")
    if version_marker not in ("", NULL_VERSION):
        raise InvalidArgument("version-id-marker", "Invalid version id specified")
    kept = "&".join(part for part in head.raw_query.split("&") if part.partition("=")[0] not in ("marker", "list-type"))
    query = list_query(RequestHead(head.method, head.raw_path, kept, ()), 1)
    if "\0" in key_marker:
        raise InvalidArgument("key-marker", "no object name holds a NUL")
    return ListQuery(
        version=1,
        prefix=query.prefix,
        delimiter=query.delimiter,
        after=key_marker,
        max_keys=query.max_keys,
        url_encoding=query.url_encoding,
        fetch_owner=True,
        token=None,
        start_after="",
    ), version_marker


def versions(bucket: Bucket, query: ListQuery, version_marker: str, page: Listing) -> bytes:
    """A ListVersionsResult."""

    def name(text: str) -> str:
        return percent_encoded(text.encode(), keep="/") if query.url_encoding else text

    head = [
        element("Name", bucket.name),
        element("Prefix", name(query.prefix)),
        element("KeyMarker", name(query.after)),
        element("VersionIdMarker", version_marker),
    ]
    if page.next_marker is not None:
        head.append(element("NextKeyMarker", name(page.next_marker)))
        if page.entries and page.entries[-1].job.object_name == page.next_marker:
            head.append(element("NextVersionIdMarker", NULL_VERSION))
    head.append(element("MaxKeys", query.max_keys))
    head += [element("Delimiter", name(query.delimiter))] if query.delimiter else []
    head += [element("EncodingType", "url")] if query.url_encoding else []
    head.append(element("IsTruncated", "false" if page.next_marker is None else "true"))
    owner = owner_element(bucket.owner)
    rows = [_version(name(entry.job.object_name), entry, owner) for entry in page.entries]
    prefixes = [f"<CommonPrefixes>{element('Prefix', name(p))}</CommonPrefixes>" for p in page.common_prefixes]
    return document("ListVersionsResult", *head, *rows, *prefixes)


def _version(shown_name: str, entry: ObjectEntry, owner: str) -> str:
    return (
        f"<Version>{element('Key', shown_name)}{element('VersionId', NULL_VERSION)}{element('IsLatest', 'true')}"
        f"{element('LastModified', timestamp(entry.updated_at_ms))}{element('ETag', quoted(entry.etag))}"
        f"{element('Size', entry.job.payload_size or 0)}{owner}{element('StorageClass', 'STANDARD')}</Version>"
    )
