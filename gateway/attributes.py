"""GetObjectAttributes: pure."""

from __future__ import annotations

from typing import Final

from gateway.copying import checksum_elements
from gateway.errors import InvalidArgument
from gateway.object_parts import parts_element
from gateway.request import RequestHead
from gateway.s3_xml import document, element
from sp.domain.jobs import ObjectEntry

_HEADER: Final = "x-amz-object-attributes"
_KNOWN: Final = frozenset({"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"})


def attributes_of(head: RequestHead) -> frozenset[str]:
    """From x-amz-object-attributes. InvalidArgument for none, or one that S3 does not know."""
    asked = frozenset(name.strip() for value in head.values(_HEADER) for name in value.split(",") if name.strip())
    if not asked or not asked <= _KNOWN:
        raise InvalidArgument(_HEADER, f"it names some of {', '.join(sorted(_KNOWN))}")
    return asked


def attributes(head: RequestHead, entry: ObjectEntry, asked: frozenset[str]) -> bytes:
    """A GetObjectAttributesResponse. InvalidArgument."""
    rows = []
    if "ETag" in asked:
        rows.append(element("ETag", entry.etag))
    if "Checksum" in asked and (found := checksum_elements(entry.job.headers)):
        rows.append(f"<Checksum>{''.join(found)}</Checksum>")
    if "ObjectParts" in asked:
        rows.append(parts_element(head, entry))
    if "StorageClass" in asked:
        rows.append(element("StorageClass", "STANDARD"))
    if "ObjectSize" in asked:
        rows.append(element("ObjectSize", entry.job.payload_size or 0))
    return document("GetObjectAttributesResponse", *rows)
