"""What the heads and bodies of multipart requests ask for: pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from gateway import xml_in
from gateway.checksums import CHECKSUM_HEADERS, CHECKSUM_TYPE, SDK_ALGORITHM, decoded_digest
from gateway.errors import InvalidArgument, MalformedXml, NotSupported
from gateway.puts import put_without_body
from gateway.request import RequestHead
from sp.crypto.checksums import ALGORITHMS, COMBINABLE
from sp.domain.errors import InvalidRange, InvalidRequest, NoSuchUpload
from sp.domain.ids import Address, UploadId
from sp.domain.multipart import (
    COMPOSITE,
    FULL_OBJECT,
    MAX_PARTS,
    CompletedPart,
    Completion,
    UploadOrder,
    UploadsQuery,
)

MAX_LISTED: Final = 1000
COPY_RANGE: Final = "x-amz-copy-source-range"
OBJECT_SIZE: Final = "x-amz-mp-object-size"

_ELEMENTS: Final = {name: f"Checksum{algorithm.name.upper()}" for name, algorithm in CHECKSUM_HEADERS.items()}
_UPLOAD_ID = re.compile(r"[0-7][0-9a-f]{15}")
_PARTS_OF_CHECKSUM = re.compile(r"[0-9]{0,5}")
_RANGE = re.compile(r"bytes=([0-9]{1,19})-([0-9]{1,19})")


def upload_id_of(text: str) -> UploadId:
    """NoSuchUpload for one that we never gave."""
    if not _UPLOAD_ID.fullmatch(text):
        raise NoSuchUpload(text[:64])
    return UploadId(int(text, 16))


def part_number_of(text: str) -> int:
    """1 to MAX_PARTS. InvalidArgument."""
    if text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= MAX_PARTS:
        return int(text)
    raise InvalidArgument("partNumber", f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive")


def upload_order_of(head: RequestHead, bucket: str, object_name: str, account: Address) -> UploadOrder:
    """Of a CreateMultipartUpload. What a put cannot ask for, it cannot either."""
    put = put_without_body(head, bucket, object_name, "")
    if put.precondition is not None:
        raise NotSupported("a condition when an upload begins; it belongs to its completion")
    algorithm, kind = _checksum_of(head)
    headers = {name: value for name, value in put.headers.items() if name not in CHECKSUM_HEADERS}
    return UploadOrder(bucket, object_name, account, put.visibility, headers, algorithm, kind, put.tags)


def _checksum_of(head: RequestHead) -> tuple[str, str]:
    """x-amz-checksum-algorithm in lower case, and the type that it has or that goes with it; "", "" without one."""
    algorithm = head.header("x-amz-checksum-algorithm").lower()
    kind = head.header(CHECKSUM_TYPE).upper()
    if not algorithm:
        if kind:
            raise InvalidRequest("x-amz-checksum-type without x-amz-checksum-algorithm")
        return "", ""
    if algorithm not in ALGORITHMS:
        raise InvalidRequest("Checksum algorithm provided is unsupported. Please try again with any of the valid types")
    if kind not in ("", COMPOSITE, FULL_OBJECT):
        raise InvalidRequest("the value of x-amz-checksum-type is none")
    kind = kind or (FULL_OBJECT if algorithm == "crc64nvme" else COMPOSITE)
    if (kind == COMPOSITE and algorithm == "crc64nvme") or (kind == FULL_OBJECT and algorithm not in COMBINABLE):
        raise InvalidRequest(f"the {kind} checksum type cannot be used with the {algorithm} checksum algorithm")
    return algorithm, kind


def copied_range(head: RequestHead, size: int) -> tuple[int, int]:
    """The half-open [start, stop) of x-amz-copy-source-range, else all of a source of `size` bytes. InvalidArgument,
    InvalidRange."""
    text = head.header(COPY_RANGE)
    if not text:
        return 0, size
    match = _RANGE.fullmatch(text)
    if match is None or int(match[1]) > int(match[2]):
        raise InvalidArgument(COPY_RANGE, "it must be bytes=FIRST-LAST")
    if int(match[2]) >= size:
        raise InvalidRange(size)
    return int(match[1]), int(match[2]) + 1


# --- completion ---------------------------------------------------------------------------------------------------


def without_object_checksums(head: RequestHead) -> RequestHead:
    """The head of a completion as its body is to be checked: its x-amz-checksum-* are not the body's."""
    left_out = {*CHECKSUM_HEADERS, SDK_ALGORITHM}
    headers = tuple((name, value) for name, value in head.headers if name.lower() not in left_out)
    return RequestHead(head.method, head.raw_path, head.raw_query, headers)


def completion_of(head: RequestHead, body: bytes) -> Completion:
    """MalformedXml; InvalidRequest, InvalidArgument for what the head says of the whole object."""
    root = xml_in.parsed(body, "CompleteMultipartUpload")
    parts = tuple(_completed_part(part) for part in xml_in.children(root, "Part"))
    if not 0 < len(parts) <= MAX_PARTS:
        raise MalformedXml(f"there must be 1 to {MAX_PARTS} parts")
    checksums = {name: head.header(name) for name in CHECKSUM_HEADERS if head.values(name)}
    for name, value in checksums.items():
        digest, _, parts_of_it = value.partition("-")
        decoded_digest(name, digest)
        if not _PARTS_OF_CHECKSUM.fullmatch(parts_of_it):
            raise InvalidRequest(f"the value of {name} does not end with a number of parts")
    return Completion(parts, checksums, _object_size(head))


def _completed_part(part: xml_in.Element) -> CompletedPart:
    given = {xml_in.local(child): (child.text or "").strip() for child in part}
    number = given.get("PartNumber", "")
    if not (number.isascii() and number.isdigit() and len(number) <= 9):
        raise MalformedXml("PartNumber is no number")
    if "ETag" not in given:
        raise MalformedXml("a Part has no ETag")
    checksums = {name: given[element] for name, element in _ELEMENTS.items() if given.get(element)}
    return CompletedPart(int(number), given["ETag"].strip('"'), checksums)


def _object_size(head: RequestHead) -> int | None:
    text = head.header(OBJECT_SIZE)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise InvalidArgument(OBJECT_SIZE, "it must be a number of bytes")
    return int(text)


# --- lists --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PartsQuery:
    """after: numbers above it; limit: at most MAX_LISTED"""

    after: int
    limit: int


def parts_query(head: RequestHead) -> PartsQuery:
    """InvalidArgument."""
    given = head.parameters()
    after = number_of("part-number-marker", given.get("part-number-marker", ""), 0)
    return PartsQuery(
        min(after, MAX_PARTS), min(number_of("max-parts", given.get("max-parts", ""), MAX_LISTED), MAX_LISTED)
    )


def uploads_query(head: RequestHead, bucket: str) -> UploadsQuery:
    """InvalidArgument. An upload-id-marker without a key-marker means nothing, as in S3."""
    given = head.parameters()
    for name in ("prefix", "delimiter", "key-marker"):
        if "\0" in given.get(name, ""):
            raise InvalidArgument(name, "no object name holds a NUL")
    key_marker, id_marker = given.get("key-marker", ""), given.get("upload-id-marker", "")
    if key_marker and id_marker and not _UPLOAD_ID.fullmatch(id_marker):
        raise InvalidArgument("upload-id-marker", "Invalid uploadId marker")
    return UploadsQuery(
        bucket,
        given.get("prefix", ""),
        given.get("delimiter", ""),
        key_marker,
        UploadId(int(id_marker, 16)) if key_marker and id_marker else None,
        min(number_of("max-uploads", given.get("max-uploads", ""), MAX_LISTED), MAX_LISTED),
    )


def url_encoding(head: RequestHead) -> bool:
    """Whether names are to be percent-encoded. InvalidArgument."""
    encoding = head.parameters().get("encoding-type", "")
    if encoding not in ("", "url"):
        raise InvalidArgument("encoding-type", "it can only be url")
    return encoding == "url"


def number_of(name: str, text: str, default: int) -> int:
    """A header's or parameter's. InvalidArgument."""
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise InvalidArgument(name, "it must be an integer from 0")
    return int(text)
