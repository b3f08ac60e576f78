"""A small S3 client: what `sp put|get|ls|rm|mb` and the demo say to a gateway, as any other S3 client would."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import mimetypes
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element, ParseError

import aiohttp
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from yarl import URL

from cli.errors import FileFailed, NotReached, RequestRefused, WrongBytes
from gateway.request import RequestHead, percent_encoded
from gateway.sign import sign_sigv4

CHUNK_BYTES: Final = 1024 * 1024
IDLE_TIMEOUT_S: Final = 120.0
"""Longest silence of the gateway, the wait for a sealed transaction of a new bucket included."""

_SHA256: Final = "x-amz-checksum-sha256"

Progress = Callable[[int], None]
"""Told of so many more bytes."""


@dataclass(frozen=True, slots=True)
class Credentials:
    access_key_id: str
    secret_access_key: str
    region: str = "us-east-1"

    def __repr__(self) -> str:
        return f"Credentials(access_key_id={self.access_key_id!r})"


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as the gateway describes it. status: CREATED, or SEALED; sha256: of the whole, None when not kept"""

    etag: str
    size: int
    status: str
    sha256: bytes | None


@dataclass(frozen=True, slots=True)
class Listed:
    name: str
    size: int
    modified: str


@dataclass(frozen=True, slots=True)
class Page:
    """next_token: None on the last page"""

    objects: tuple[Listed, ...]
    prefixes: tuple[str, ...]
    next_token: str | None


class S3Client:
    """Every method raises RequestRefused for an answer that is an error, NotReached when there is none."""

    def __init__(self, session: aiohttp.ClientSession, endpoint: str, credentials: Credentials) -> None:
        """endpoint: base URL without a path"""
        self._session = session
        self._endpoint = endpoint.rstrip("/")
        self._credentials = credentials

    async def make_bucket(self, bucket: str) -> None:
        async with self._request("PUT", f"/{bucket}"):
            pass

    async def delete_bucket(self, bucket: str) -> None:
        async with self._request("DELETE", f"/{bucket}"):
            pass

    async def buckets(self) -> list[tuple[str, str]]:
        """(name, creation time) of all buckets of the account."""
        async with self._request("GET", "/") as response:
            root = await _xml(response)
        return [(_child(b, "Name"), _child(b, "CreationDate")) for b in _all(root, "Bucket")]

    async def put(self, bucket: str, name: str, path: Path, sent: Progress) -> str:
        """Store a file; its ETag. The file's sha256 travels in a signed header, and the gateway checks the body by it:
        when this returns, exactly these bytes are stored. FileFailed."""
        try:
            size, digest = await asyncio.to_thread(_measure, path)
            with path.open("rb") as file:
                headers = {
                    "content-length": str(size),
                    "content-type": mimetypes.guess_type(path.name)[0] or "application/octet-stream",
                    _SHA256: base64.b64encode(digest).decode(),
                }
                body = _chunks(file, size, sent)
                async with self._request("PUT", _target(bucket, name), headers=headers, body=body) as response:
                    return response.headers.get("ETag", "").strip('"')
        except OSError as error:
            raise FileFailed(str(path), error.strerror or type(error).__name__) from error

    async def head(self, bucket: str, name: str) -> Stored:
        headers = {"x-amz-checksum-mode": "ENABLED"}
        async with self._request("HEAD", _target(bucket, name), headers=headers) as response:
            return _stored(response)

    @asynccontextmanager
    async def get(self, bucket: str, name: str) -> AsyncIterator[tuple[Stored, AsyncIterator[bytes]]]:
        """The object and its bytes in chunks; WrongBytes after the last one if they are not those that were put."""
        headers = {"x-amz-checksum-mode": "ENABLED"}
        async with self._request("GET", _target(bucket, name), headers=headers) as response:
            stored = _stored(response)
            yield stored, self._checked(response, stored.sha256)

    async def delete(self, bucket: str, name: str) -> None:
        async with self._request("DELETE", _target(bucket, name)):
            pass

    async def page(self, bucket: str, prefix: str, delimiter: str, token: str | None) -> Page:
        """One page of a bucket, names in order."""
        query = {"list-type": "2", "prefix": prefix, "delimiter": delimiter, "continuation-token": token or ""}
        async with self._request("GET", f"/{bucket}", {k: v for k, v in query.items() if v}) as response:
            root = await _xml(response)
        objects = tuple(
            Listed(_child(o, "Key"), int(_child(o, "Size") or 0), _child(o, "LastModified"))
            for o in _all(root, "Contents")
        )
        prefixes = tuple(_child(p, "Prefix") for p in _all(root, "CommonPrefixes"))
        return Page(objects, prefixes, _child(root, "NextContinuationToken") or None)

    async def _checked(self, response: aiohttp.ClientResponse, expected: bytes | None) -> AsyncIterator[bytes]:
        digest = hashlib.sha256()
        try:
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                await asyncio.to_thread(digest.update, chunk)
                yield chunk
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NotReached(self._endpoint, _words(error)) from error
        if expected is not None and digest.digest() != expected:
            raise WrongBytes(expected.hex(), digest.hexdigest())

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: AsyncIterator[bytes] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """path: percent-encoded already; it is signed and sent as it is."""
        raw_query = "&".join(f"{_quoted(k)}={_quoted(v)}" for k, v in sorted((query or {}).items()))
        head = RequestHead(
            method, path, raw_query, (("host", urlsplit(self._endpoint).netloc), *(headers or {}).items())
        )
        signed = sign_sigv4(
            head,
            self._credentials.access_key_id,
            self._credentials.secret_access_key,
            int(time.time()),
            region=self._credentials.region,
            payload=None if body is not None else b"",
        )
        url = URL(f"{self._endpoint}{path}{f'?{raw_query}' if raw_query else ''}", encoded=True)
        try:
            async with self._session.request(
                method, url, headers={**(headers or {}), **dict(signed)}, data=body, allow_redirects=False
            ) as response:
                if response.status >= 300:
                    raise await _refusal(response)
                yield response
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NotReached(self._endpoint, _words(error)) from error


@asynccontextmanager
async def s3_client(endpoint: str, credentials: Credentials) -> AsyncIterator[S3Client]:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=IDLE_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
        yield S3Client(session, endpoint, credentials)


async def save(chunks: AsyncIterator[bytes], path: Path, received: Progress) -> None:
    """Write to a file that appears under its name only when it is whole. FileFailed."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("xb") as file:
            async for chunk in chunks:
                await asyncio.to_thread(file.write, chunk)
                received(len(chunk))
        temporary.replace(path)
    except OSError as error:
        raise FileFailed(str(path), error.strerror or type(error).__name__) from error
    finally:
        temporary.unlink(missing_ok=True)


def _measure(path: Path) -> tuple[int, bytes]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
        return file.seek(0, os.SEEK_END), digest


async def _chunks(file: BinaryIO, size: int, sent: Progress) -> AsyncIterator[bytes]:
    """Exactly `size` bytes, or fewer if the file has become shorter: the declared length tells the gateway then."""
    left = size
    while left and (chunk := await asyncio.to_thread(file.read, min(CHUNK_BYTES, left))):
        left -= len(chunk)
        yield chunk
        sent(len(chunk))


def _target(bucket: str, name: str) -> str:
    return f"/{bucket}/{percent_encoded(name.encode('utf-8', 'surrogateescape'), keep='/')}"


def _quoted(text: str) -> str:
    return percent_encoded(text.encode("utf-8", "surrogateescape"))


def _stored(response: aiohttp.ClientResponse) -> Stored:
    return Stored(
        response.headers.get("ETag", "").strip('"'),
        int(response.headers.get("Content-Length", "0")),
        response.headers.get("x-sp-object-status", ""),
        _digest(response.headers.get(_SHA256, "")),
    )


def _digest(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) or None
    except binascii.Error:
        return None


async def _refusal(response: aiohttp.ClientResponse) -> RequestRefused:
    """The gateway's own words; the HTTP reason where the answer has no body (HEAD) or is no XML."""
    try:
        root = await _xml(response)
    except NotReached:
        return RequestRefused(response.status, response.reason or "", "")
    return RequestRefused(response.status, _child(root, "Code"), _child(root, "Message"))


async def _xml(response: aiohttp.ClientResponse) -> Element:
    try:
        root: Element = fromstring(await response.read(), forbid_dtd=True)
    except (ParseError, DefusedXmlException) as error:
        raise NotReached(str(response.url.origin()), "the answer is no XML") from error
    return root


def _all(parent: Element, tag: str) -> list[Element]:
    return parent.findall(f".//{{*}}{tag}")


def _child(parent: Element, tag: str) -> str:
    return parent.findtext(f"{{*}}{tag}") or ""


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
