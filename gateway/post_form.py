"""A form that a browser uploads (multipart/form-data, RFC 7578), as it comes: fields, then the bytes of the file."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from gateway.errors import InvalidArgument
from gateway.form_errors import FormTooLarge, MalformedForm
from sp.domain.errors import PreconditionFailed

MAX_FORM_BYTES: Final = 65_536
"""Of everything before the file. S3's limit is 20 kB, without the names."""

FILE: Final = "file"
_MAX_BOUNDARY: Final = 200  # RFC 2046 allows 70
_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]+)"|([^\s;]+))', re.IGNORECASE)
_PARAMETER = re.compile(r';\s*([a-z*]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;]+))', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Form:
    """fields: by lower-case name; filename: of the file, without folders, "" when the client does not say"""

    fields: dict[str, str]
    filename: str


def boundary_of(content_type: str) -> bytes:
    """PreconditionFailed for a body that is no form; MalformedForm."""
    if not content_type.lower().startswith("multipart/form-data"):
        raise PreconditionFailed("Bucket POST must be of the enclosure-type multipart/form-data")
    found = _BOUNDARY.search(content_type)
    boundary = (found[1] or found[2]) if found else ""
    if not boundary or len(boundary) > _MAX_BOUNDARY:
        raise MalformedForm("it has no boundary")
    return boundary.encode("utf-8", "surrogateescape")


class FormReader:
    """Reads `chunks` as far as it is asked to: `form` first, then `file`. Holds a chunk and a form at most."""

    def __init__(self, chunks: AsyncIterator[bytes], boundary: bytes) -> None:
        self._chunks = chunks
        self._delimiter = b"\r\n--" + boundary
        self._held = b"\r\n"  # a delimiter begins with the end of the line before, and the first has none
        self._form_bytes = 0

    async def form(self) -> Form:
        """All fields before the file. MalformedForm, FormTooLarge, InvalidArgument for a form without a file."""
        fields: dict[str, str] = {}
        await self._until(self._delimiter)
        while (following := await self._two()) != b"--":
            if following != b"\r\n":
                raise MalformedForm("a boundary is not followed by the end of its line")
            head = await self._until(b"\r\n\r\n")
            parameters = _disposition(head.decode("utf-8", "replace"))
            name = parameters.get("name", "").lower()
            if not name:
                raise MalformedForm("a part has no name")
            if name == FILE:
                return Form(fields, re.split(r"[/\\]", parameters.get("filename", ""))[-1])
            if name in fields:
                raise InvalidArgument(name[:64], "the field is there twice")
            fields[name] = _text(name, await self._until(self._delimiter))
        raise InvalidArgument(FILE, "POST requires exactly one file upload per request.")

    async def file(self) -> AsyncGenerator[bytes, None]:
        """The bytes of the file, once the form has been read. MalformedForm when the body ends before they do."""
        keep = len(self._delimiter) - 1
        while True:
            found = self._held.find(self._delimiter)
            if found >= 0:
                if found:
                    yield self._held[:found]
                return
            if len(self._held) > keep:
                yield self._held[: len(self._held) - keep]
                self._held = self._held[len(self._held) - keep :]
            await self._more()

    async def _until(self, mark: bytes) -> bytes:
        """What stands before the mark, which is taken too. FormTooLarge."""
        while (found := self._held.find(mark)) < 0:
            if self._form_bytes + len(self._held) > MAX_FORM_BYTES:
                raise FormTooLarge(MAX_FORM_BYTES)
            await self._more()
        return self._taken(found + len(mark)).removesuffix(mark)

    async def _two(self) -> bytes:
        while len(self._held) < 2:
            await self._more()
        return self._taken(2)

    def _taken(self, size: int) -> bytes:
        taken, self._held = self._held[:size], self._held[size:]
        self._form_bytes += size
        if self._form_bytes > MAX_FORM_BYTES:
            raise FormTooLarge(MAX_FORM_BYTES)
        return taken

    async def _more(self) -> None:
        chunk = await anext(self._chunks, b"")
        if not chunk:
            raise MalformedForm("it ends before its last boundary")
        self._held += chunk


def _disposition(head: str) -> dict[str, str]:
    """The parameters of the Content-Disposition among a part's headers."""
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            found = {key.lower(): quoted or bare for key, quoted, bare in _PARAMETER.findall(value)}
            if extended := found.get("filename*"):
                found["filename"] = unquote(extended.split("'")[-1])
            return {key: re.sub(r"\\([\"\\])", r"\1", text) for key, text in found.items()}
    return {}


def _text(name: str, raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidArgument(name[:64], "it is not UTF-8") from error
