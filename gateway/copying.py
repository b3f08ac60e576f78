"""CopyObject: what its head asks for (pure), and the copy itself, streamed from the Downloader to the Uploader."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.auth.scheme import Identity
from gateway.body import BodyPlan
from gateway.checksums import CHECKSUM_HEADERS, CHECKSUM_PREFIX, CHECKSUM_TYPE
from gateway.conditions import check_conditions
from gateway.errors import InvalidArgument, NoSuchVersion, NotModified, NotSupported
from gateway.puts import COPY_SOURCE, Put
from gateway.request import RequestHead, object_name_of
from gateway.s3_xml import document, element, quoted, timestamp
from gateway.service import Gateway, PutResult
from gateway.streams import closed_after
from sp.domain.errors import AccessDenied, InvalidRequest, NotForThisSp, PreconditionFailed
from sp.domain.jobs import INTERNAL_PREFIX, ObjectEntry

_CONDITIONS: Final = f"{COPY_SOURCE}-if-"
_VERSION: Final = "?versionId="


@dataclass(frozen=True, slots=True)
class Source:
    bucket: str
    object_name: str


def source_of(head: RequestHead) -> Source:
    """From x-amz-copy-source: `[/]bucket/object`, percent-encoded, `?versionId=null` at most. Also for UploadPartCopy.

    InvalidArgument, NoSuchVersion, and what is wrong with the object name. A plus is a blank, as in S3.
    """
    raw = head.header(COPY_SOURCE)
    path, _, version = raw.partition(_VERSION)
    if raw.startswith("arn:"):
        raise NotSupported("access points as a copy source")
    decoded = unquote_to_bytes(path.replace("+", " ").encode("utf-8", "surrogateescape")).removeprefix(b"/")
    bucket, slash, name = decoded.partition(b"/")
    if not bucket or not slash or not name:
        raise InvalidArgument(COPY_SOURCE, "it must be BUCKET/OBJECT, percent-encoded")
    try:
        source = Source(bucket.decode(), object_name_of(name))
    except UnicodeDecodeError as error:
        raise InvalidArgument(COPY_SOURCE, "it is not UTF-8") from error
    if version not in ("", "null"):
        raise NoSuchVersion(source.bucket, source.object_name, version[:64])
    return source


def check_source_conditions(head: RequestHead, entry: ObjectEntry) -> None:
    """PreconditionFailed unless the x-amz-copy-source-if-* headers hold; their precedence is that of a GET."""
    conditions = tuple(
        (name.lower().removeprefix(f"{COPY_SOURCE}-"), value)
        for name, value in head.headers
        if name.lower().startswith(_CONDITIONS)
    )
    try:
        check_conditions(RequestHead("GET", head.raw_path, "", conditions), entry.etag, entry.updated_at_ms)
    except PreconditionFailed as failed:
        raise PreconditionFailed(f"{COPY_SOURCE}-{failed.condition}") from failed
    except NotModified as same:
        given = "If-None-Match" if head.values(f"{_CONDITIONS}none-match") else "If-Modified-Since"
        raise PreconditionFailed(f"{COPY_SOURCE}-{given}") from same


@dataclass(frozen=True, slots=True)
class Copy:
    """put: of the target, with the headers and tags that the request itself gives
    replaces_headers, replaces_tags: those, and not the source's, are the copy's
    """

    source: Source
    put: Put
    replaces_headers: bool
    replaces_tags: bool


def copy_of(head: RequestHead, put: Put) -> Copy:
    """InvalidArgument for directives that do not exist, InvalidRequest for a copy that would change nothing."""
    copy = Copy(
        source_of(head),
        replace(put, computed=_algorithm(head)),
        _replaces(head, "x-amz-metadata-directive"),
        _replaces(head, "x-amz-tagging-directive"),
    )
    if copy.source == Source(put.bucket, put.object_name) and not copy.replaces_headers:
        raise InvalidRequest(
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes."
        )
    return copy


def completed(copy: Copy, entry: ObjectEntry) -> Put:
    """The put of the target, now that the source is known.

    The bytes are equal, so the source's checksum holds, but for one that is made of its parts'. Another one that the
    request asks for is computed on the way.
    """
    assert entry.job.payload_size is not None
    source = entry.job.headers
    checksums = {name: source[name] for name in CHECKSUM_HEADERS if "-" not in source.get(name, "-")}
    computed = tuple(name for name in copy.put.computed if name not in checksums)
    if computed:
        checksums = {}
    kept = copy.put.headers if copy.replaces_headers else source
    left_out = {*CHECKSUM_HEADERS, CHECKSUM_TYPE}
    mine = {name: value for name, value in kept.items() if not name.startswith(INTERNAL_PREFIX)}
    headers = {name: value for name, value in mine.items() if name not in left_out} | checksums
    given_tags = copy.put.tags if copy.replaces_tags else entry.tags
    body = BodyPlan(entry.job.payload_size)
    return replace(copy.put, body=body, headers=headers, tags=given_tags, computed=computed)


def _algorithm(head: RequestHead) -> tuple[str, ...]:
    """The header of the checksum that x-amz-checksum-algorithm asks for."""
    algorithm = head.header("x-amz-checksum-algorithm")
    name = f"{CHECKSUM_PREFIX}{algorithm.lower()}"
    if algorithm and name not in CHECKSUM_HEADERS:
        raise InvalidArgument("x-amz-checksum-algorithm", "there is no such algorithm here")
    return (name,) if algorithm else ()


def _replaces(head: RequestHead, directive: str) -> bool:
    value = head.header(directive, "COPY")
    if value not in ("COPY", "REPLACE"):
        raise InvalidArgument(directive, "it can be COPY or REPLACE")
    return value == "REPLACE"


@dataclass(frozen=True, slots=True)
class Copies:
    gateway: Gateway

    async def source(self, identity: Identity, source: Source, head: RequestHead) -> ObjectEntry:
        """What is to be copied, if this account may read it and the request's conditions on it hold. NoSuchObject,
        AccessDenied, PreconditionFailed; NotSupported for a bucket of another provider."""
        if identity.account is None:
            raise AccessDenied(identity.scheme, "COPY_OBJECT", f"{source.bucket}/{source.object_name}")
        if expected := head.header("x-amz-source-expected-bucket-owner"):
            await self.gateway.access.check_owner(source.bucket, expected)
        try:
            entry = await self.gateway.head_object(identity, source.bucket, source.object_name)
        except NotForThisSp as elsewhere:
            raise NotSupported("copies from a bucket whose primary is another provider") from elsewhere
        check_source_conditions(head, entry)
        return entry

    async def copy(self, identity: Identity, copy: Copy, entry: ObjectEntry) -> PutResult:
        """The copy is stored when it returns. Content that is deleted while it is read aborts it: NoSuchObject."""
        put = completed(copy, entry)
        assert put.size is not None
        async with aclosing(self._content(entry, put.size)) as content:
            return await self.gateway.put_object(identity, put, content)

    async def _content(self, entry: ObjectEntry, size: int) -> AsyncGenerator[bytes, None]:
        if not size:
            return
        chunks = self.gateway.read(entry, 0, size)
        async with closed_after(chunks):
            async for chunk in chunks:
                yield bytes(chunk)


def copy_result(stored: PutResult) -> bytes:
    """A CopyObjectResult."""
    return document(
        "CopyObjectResult",
        element("LastModified", timestamp(stored.stored_at_ms)),
        element("ETag", quoted(stored.etag)),
        *checksum_elements(stored.headers),
    )


def checksum_elements(headers: Mapping[str, str]) -> list[str]:
    """x-amz-checksum-crc64nvme is ChecksumCRC64NVME; of which type it is, is said where there is one."""
    found = [
        element(f"Checksum{name.removeprefix(CHECKSUM_PREFIX).upper()}", headers[name])
        for name in CHECKSUM_HEADERS
        if name in headers
    ]
    return [*found, element("ChecksumType", headers.get(CHECKSUM_TYPE, "FULL_OBJECT"))] if found else []
