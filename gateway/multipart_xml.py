"""The XML of multipart answers."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.copying import checksum_elements
from gateway.multipart_requests import PartsQuery
from gateway.request import percent_encoded
from gateway.s3_xml import document, element, quoted, timestamp
from sp.domain.multipart import Part, Upload, UploadsPage, UploadsQuery, upload_id_text


def initiated(upload: Upload) -> bytes:
    return document(
        "InitiateMultipartUploadResult",
        element("Bucket", upload.order.bucket),
        element("Key", upload.order.object_name),
        element("UploadId", upload_id_text(upload.id)),
    )


def completed(upload: Upload, location: str) -> bytes:
    """location: the object's URL"""
    return document(
        "CompleteMultipartUploadResult",
        element("Location", location),
        element("Bucket", upload.order.bucket),
        element("Key", upload.order.object_name),
        element("ETag", quoted(upload.etag)),
        *checksum_elements(upload.order.headers),
    )


def part_copied(part: Part) -> bytes:
    return document(
        "CopyPartResult",
        element("LastModified", timestamp(part.stored_at_ms)),
        element("ETag", quoted(part.etag)),
        *_part_checksums(part),
    )


def parts_listed(upload: Upload, query: PartsQuery, parts: Sequence[Part], *, more: bool) -> bytes:
    """ListPartsResult. more: there are parts behind these"""
    order = upload.order
    marker = parts[-1].number if parts else query.after
    return document(
        "ListPartsResult",
        *_checksum_kind(upload),
        element("Bucket", order.bucket),
        element("Key", order.object_name),
        element("UploadId", upload_id_text(upload.id)),
        element("PartNumberMarker", query.after),
        element("NextPartNumberMarker", marker),
        element("MaxParts", query.limit),
        element("IsTruncated", "true" if more else "false"),
        *(_listed_part(part) for part in parts),
        _account("Initiator", order.account),
        _account("Owner", order.account),
        element("StorageClass", "STANDARD"),
    )


def _listed_part(part: Part) -> str:
    facts = (
        element("PartNumber", part.number),
        element("LastModified", timestamp(part.stored_at_ms)),
        element("ETag", quoted(part.etag)),
        element("Size", part.size),
        *_part_checksums(part),
    )
    return f"<Part>{''.join(facts)}</Part>"


def _part_checksums(part: Part) -> list[str]:
    """Without a type: that is said of whole objects."""
    return [shown for shown in checksum_elements(part.checksums) if not shown.startswith("<ChecksumType>")]


def uploads_listed(query: UploadsQuery, page: UploadsPage, *, url_encoding: bool) -> bytes:
    """ListMultipartUploadsResult."""

    def name(text: str) -> str:
        return percent_encoded(text.encode(), keep="/") if url_encoding else text

    following = [] if page.next_key is None else [element("NextKeyMarker", name(page.next_key))]
    following += [] if page.next_id is None else [element("NextUploadIdMarker", upload_id_text(page.next_id))]
    return document(
        "ListMultipartUploadsResult",
        element("Bucket", query.bucket),
        element("KeyMarker", name(query.key_marker)),
        element("UploadIdMarker", "" if query.id_marker is None else upload_id_text(query.id_marker)),
        *following,
        *([element("Delimiter", name(query.delimiter))] if query.delimiter else []),
        element("Prefix", name(query.prefix)),
        *([element("EncodingType", "url")] if url_encoding else []),
        element("MaxUploads", query.limit),
        element("IsTruncated", "false" if page.next_key is None else "true"),
        *(_listed_upload(upload, name(upload.order.object_name)) for upload in page.uploads),
        *(f"<CommonPrefixes>{element('Prefix', name(prefix))}</CommonPrefixes>" for prefix in page.common_prefixes),
    )


def _listed_upload(upload: Upload, shown_name: str) -> str:
    facts = (
        element("Key", shown_name),
        element("UploadId", upload_id_text(upload.id)),
        _account("Initiator", upload.order.account),
        _account("Owner", upload.order.account),
        element("StorageClass", "STANDARD"),
        element("Initiated", timestamp(upload.initiated_at_ms)),
        *_checksum_kind(upload),
    )
    return f"<Upload>{''.join(facts)}</Upload>"


def _checksum_kind(upload: Upload) -> list[str]:
    if not upload.order.checksum_algorithm:
        return []
    return [
        element("ChecksumAlgorithm", upload.order.checksum_algorithm.upper()),
        element("ChecksumType", upload.order.checksum_type),
    ]


def _account(name: str, address: str) -> str:
    return f"<{name}>{element('ID', address)}{element('DisplayName', address)}</{name}>"
