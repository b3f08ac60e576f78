"""The Downloader as the gateway sees it: what names mean on this SP, and their verified bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from sp.domain.jobs import Listing, ObjectEntry


class Downloader(Protocol):
    async def head(self, bucket: str, object_name: str) -> ObjectEntry:
        """NoSuchObject."""

    def get(self, entry: ObjectEntry, start: int, stop: int) -> AsyncIterator[bytes | memoryview]:
        """Bytes [start, stop) of exactly the content that `entry` names (an overwrite meanwhile does not mix in), in
        chunks of at most 1 MiB, every byte checked against its recorded checksum before it is yielded; a missing or
        damaged segment is rebuilt from secondaries and written back. TooFewPieces when that fails; NoSuchObject when
        the content is gone."""

    async def list(self, bucket: str, prefix: str, delimiter: str, marker: str, limit: int) -> Listing:
        """Names after `marker` in UTF-8 byte order; at most `limit` entries and common prefixes together."""


