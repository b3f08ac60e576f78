"""The Downloader as the gateway sees it: what names mean on this SP, and their verified bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, Protocol, cast

import grpc

from proto import downloader_pb2 as pb
from proto.downloader_pb2_grpc import DownloaderStub
from sp.domain.jobs import Listing, ObjectEntry
from sp.runtime.parts import Parts
from sp.runtime.rpc import dial
from sp.wire import jobs as wire

CALL_TIMEOUT_S: Final = 30.0
GET_TIMEOUT_S: Final = 24 * 3600.0
"""A download lasts as long as its reader: what bounds it is the gateway's demand for progress, not its length."""


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


class DownloaderClient:
    """A Downloader in another process."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = DownloaderStub(channel)

    async def head(self, bucket: str, object_name: str) -> ObjectEntry:
        return wire.entry(await self._stub.Head(pb.HeadRequest(bucket=bucket, object_name=object_name)))

    async def get(self, entry: ObjectEntry, start: int, stop: int) -> AsyncIterator[bytes | memoryview]:
        call = self._stub.Get(pb.GetRequest(job_id=entry.job.id, start=start, stop=stop), timeout=GET_TIMEOUT_S)
        try:
            async for frame in call:
                yield frame.chunk
        finally:
            call.cancel()  # nothing left to cancel once it has ended

    async def list(self, bucket: str, prefix: str, delimiter: str, marker: str, limit: int) -> Listing:
        request = pb.ListRequest(bucket=bucket, prefix=prefix, delimiter=delimiter, marker=marker, limit=limit)
        return wire.listing(await self._stub.List(request))


async def connect(parts: Parts) -> Downloader:
    """The Downloader of this SP: the one in this process, else a client of the one at its endpoint."""
    if local := parts.local("downloader"):
        return cast("Downloader", local)
    target, tls = parts.common.endpoint.downloader, parts.common.tls
    return DownloaderClient(
        await parts.once(f"channel {target}", lambda: dial(target, tls=tls, timeout_s=CALL_TIMEOUT_S))
    )
