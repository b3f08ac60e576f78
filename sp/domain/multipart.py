"""Multipart uploads: what is kept of them, and which parts may become an object (records and rules, pure)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from sp.crypto import checksums
from sp.domain.errors import (
    InvalidPart,
    InvalidPartOrder,
    InvalidRequest,
    PartTooSmall,
    PayloadDigestMismatch,
    PayloadSizeMismatch,
)
from sp.domain.ids import Address, Checksum, JobId, SegmentIndex, UploadId
from sp.domain.jobs import ETAG_HEADER
from sp.domain.ledger import Visibility
from sp.domain.part_layout import layout_headers
from sp.domain.pieces import StagedKey
from sp.domain.segments import segment_count, segment_size

MAX_PARTS: Final = 10_000
MAX_PART_BYTES: Final = 5 * 1024**3
MIN_PART_BYTES: Final = 5 * 1024**2
"""Of every part but the last. All three are S3's ("Amazon S3 multipart upload limits")."""

CHECKSUM_PREFIX: Final = "x-amz-checksum-"
CHECKSUM_TYPE: Final = "x-amz-checksum-type"
COMPOSITE: Final = "COMPOSITE"
FULL_OBJECT: Final = "FULL_OBJECT"


class UploadState(IntEnum):
    OPEN = 0  # parts come and go
    COMPLETING = 1  # its parts are being made an object, under a lease; none can come or go
    COMPLETED = 2  # the object's job is acknowledged; kept for a while, for a client that asks again
    ABORTED = 3  # nothing of it counts; the row stays until its pieces are gone


class PartState(IntEnum):
    STAGING = 0  # its bytes are coming, under a lease
    STORED = 1  # durable and checked: the one that its number means
    DEAD = 2  # replaced, aborted, given up or completed: its pieces are garbage


@dataclass(frozen=True, slots=True)
class UploadOrder:
    """What a new upload is to become.

    headers: kept with the object, as in PutOrder; checksum_algorithm: "" or one of sp.crypto.checksums.ALGORITHMS;
    checksum_type: "" without an algorithm, else COMPOSITE or FULL_OBJECT
    """

    bucket: str
    object_name: str
    account: Address
    visibility: Visibility = Visibility.INHERIT
    headers: dict[str, str] = field(default_factory=dict)
    checksum_algorithm: str = ""
    checksum_type: str = ""
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Upload:
    """One row of the uploads. row_version: counts its changes of state, the fencing token of its lease.

    order.headers: of the object, once it is COMPLETED, with its ETag and checksums
    job_id, payload_size: of the object, once it is COMPLETED
    initiated_at_ms, ended_at_ms: unix ms; 0 while it has not ended
    """

    id: UploadId
    order: UploadOrder
    state: UploadState
    row_version: int
    lease_until_ms: int
    initiated_at_ms: int
    job_id: JobId | None = None
    payload_size: int = 0
    ended_at_ms: int = 0

    @property
    def etag(self) -> str:
        """Of the object, without quotes, once it is COMPLETED."""
        return self.order.headers[ETAG_HEADER]


@dataclass(frozen=True, slots=True)
class Part:
    """One attempt to upload one part.

    number: 1 to MAX_PARTS; attempt: counts within the upload
    md5: 16 bytes of the whole part; checksums: verified x-amz-checksum-* values, by header name
    piece_size: bytes in each staged piece but the last; piece_checksums: sha256 of each
    """

    upload_id: UploadId
    number: int
    attempt: int
    state: PartState
    piece_size: int
    size: int = 0
    md5: bytes = b""
    checksums: dict[str, str] = field(default_factory=dict)
    piece_checksums: tuple[Checksum, ...] = ()
    stored_at_ms: int = 0

    @property
    def etag(self) -> str:
        """The MD5 in hex: clients compare (docs/decisions/0003)."""
        return self.md5.hex()

    def key(self, piece: int) -> StagedKey:
        return StagedKey(self.upload_id, self.number, self.attempt, SegmentIndex(piece))

    def pieces(self) -> Iterator[tuple[StagedKey, int, Checksum]]:
        """Key, size in bytes and sha256 of each of its pieces, in order. Only of a part that was STORED."""
        assert len(self.piece_checksums) == segment_count(self.size, self.piece_size)
        for index, checksum in enumerate(self.piece_checksums):
            yield self.key(index), segment_size(self.size, self.piece_size, SegmentIndex(index)), checksum


@dataclass(frozen=True, slots=True)
class CompletedPart:
    """A part as the client lists it at the end. etag: without quotes; checksums: by header name, where it gives any"""

    number: int
    etag: str
    checksums: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Completion:
    """What a client asks for at the end. checksums: of the whole object, by header name; payload_size: if it says so"""

    parts: tuple[CompletedPart, ...]
    checksums: dict[str, str] = field(default_factory=dict)
    payload_size: int | None = None


@dataclass(frozen=True, slots=True)
class Assembly:
    """What a completed upload becomes: its parts in order, and the headers that its object gets."""

    parts: tuple[Part, ...]
    payload_size: int
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class UploadsQuery:
    """Which open uploads of a bucket to list, by name and id. `key_marker` and what is before it are left out, but for
    its uploads with an id above `id_marker`, where that is given."""

    bucket: str
    prefix: str = ""
    delimiter: str = ""
    key_marker: str = ""
    id_marker: UploadId | None = None
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class UploadsPage:
    """next_key, next_id: the last entry's (of a common prefix there is no id); None, None: this was the last page"""

    uploads: tuple[Upload, ...]
    common_prefixes: tuple[str, ...]
    next_key: str | None = None
    next_id: UploadId | None = None


def upload_id_text(upload_id: UploadId) -> str:
    """As clients see it: 16 hex digits."""
    return f"{upload_id:016x}"


def assembly_of(upload: Upload, asked: Completion, stored: Iterable[Part], min_part_bytes: int) -> Assembly:
    """The object that `asked` makes of the stored parts.

    InvalidPartOrder, InvalidPart, PartTooSmall; PayloadSizeMismatch, PayloadDigestMismatch for what was said of the
    whole object.
    """
    parts = _chosen(asked.parts, {part.number: part for part in stored}, min_part_bytes)
    size = sum(part.size for part in parts)
    if asked.payload_size is not None and asked.payload_size != size:
        raise PayloadSizeMismatch(asked.payload_size, size)
    headers = {**upload.order.headers, ETAG_HEADER: completed_etag(part.md5 for part in parts)}
    headers |= object_checksum(upload.order.checksum_algorithm, upload.order.checksum_type, parts)
    name = f"{CHECKSUM_PREFIX}{upload.order.checksum_algorithm}"
    checksums_known = all(name in part.checksums for part in parts)
    headers |= layout_headers(
        [(part.number, part.size) for part in parts],
        [part.checksums[name] for part in parts] if checksums_known else [],
    )
    for name, declared in asked.checksums.items():
        _check_whole(name, declared, headers.get(name))
    return Assembly(tuple(parts), size, headers)


def completed_etag(md5s: Iterable[bytes]) -> str:
    """S3's of a multipart object: the MD5 of its parts' MD5s, and how many there are."""
    joined = list(md5s)
    return f"{hashlib.md5(b''.join(joined), usedforsecurity=False).hexdigest()}-{len(joined)}"


def listed_etag(asked: Completion) -> str:
    """The ETag that the object would have by the client's list; "" when no object can have been made of that."""
    try:
        md5s = [bytes.fromhex(part.etag) for part in asked.parts]
    except ValueError:
        return ""
    return completed_etag(md5s)


def object_checksum(algorithm: str, kind: str, parts: Sequence[Part]) -> dict[str, str]:
    """The checksum headers of the whole object; none where a part came without the upload's checksum."""
    name = f"{CHECKSUM_PREFIX}{algorithm}"
    if not algorithm or not parts or not all(name in part.checksums for part in parts):
        return {}
    digests = [base64.b64decode(part.checksums[name]) for part in parts]
    if kind == FULL_OBJECT:
        whole = digests[0]
        for part, following in zip(parts[1:], digests[1:], strict=True):
            whole = checksums.combined(algorithm, whole, following, part.size)
        return {name: base64.b64encode(whole).decode(), CHECKSUM_TYPE: FULL_OBJECT}
    whole = checksums.digest(algorithm, b"".join(digests))
    return {name: f"{base64.b64encode(whole).decode()}-{len(parts)}", CHECKSUM_TYPE: COMPOSITE}


def _chosen(asked: Sequence[CompletedPart], stored: Mapping[int, Part], min_part_bytes: int) -> list[Part]:
    if not 0 < len(asked) <= MAX_PARTS:
        raise InvalidRequest(f"an upload is completed from 1 to {MAX_PARTS} parts")
    parts: list[Part] = []
    for listed in asked:
        if parts and listed.number <= parts[-1].number:
            raise InvalidPartOrder(listed.number)
        parts.append(_matching(listed, stored.get(listed.number)))
    for part in parts[:-1]:
        if part.size < min_part_bytes:
            raise PartTooSmall(part.number, part.size, min_part_bytes, part.etag)
    return parts


def _matching(listed: CompletedPart, part: Part | None) -> Part:
    if part is None:
        raise InvalidPart(listed.number, "it was not uploaded")
    if listed.etag.lower() != part.etag:
        raise InvalidPart(listed.number, "its ETag is another one")
    for name, value in listed.checksums.items():
        if part.checksums.get(name) != value:
            raise InvalidPart(listed.number, f"its {name} is another one")
    return part


def _check_whole(name: str, declared: str, computed: str | None) -> None:
    """A composite checksum may be declared with or without the number of parts."""
    if computed is None:
        raise InvalidRequest(f"{name} of the whole cannot be checked: the parts came without it")
    if declared not in (computed, computed.partition("-")[0]):
        raise PayloadDigestMismatch(name, declared, computed)
