"""The Downloader as the gateway sees it: what names mean on this SP, and their verified bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, Protocol

import grpc

from proto import downloader_pb2 as pb
from proto.downloader_pb2_grpc import DownloaderStub
from sp.domain.challenges import Challenge
from sp.domain.findings import Finding, ScrubOrder, Tally
from sp.domain.ids import ObjectId, RedundancyIndex, SegmentIndex
from sp.domain.jobs import Listing, ObjectEntry
from sp.runtime.neighbour import neighbour
from sp.runtime.parts import Parts
from sp.wire import jobs as wire
from sp.wire import scrub

CALL_TIMEOUT_S: Final = 30.0
SEGMENT_TIMEOUT_S: Final = 120.0
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

    def segment(self, object_id: ObjectId, version: int, index: SegmentIndex) -> AsyncIterator[bytes | memoryview]:
        """One whole segment of one content, as `get`. PieceNotFound when this provider is not the primary of it."""

    async def challenge(self, object_id: ObjectId, index: RedundancyIndex, segment: SegmentIndex) -> Challenge:
        """Proof that this provider has one piece, or (PRIMARY) one segment, of an object as the chain knows it: what
        the Greenfield challenge API answers. NoSuchObjectId, PieceNotFound, TooFewPieces."""

    def scrub(self, order: ScrubOrder) -> AsyncIterator[Finding | Tally]:
        """Check, and repair, segments of this primary. Findings as they are made, of more than one object only those
        that are not well; tallies now and then and at the end. NoSuchObject, Overloaded."""


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

    async def segment(
        self, object_id: ObjectId, version: int, index: SegmentIndex
    ) -> AsyncIterator[bytes | memoryview]:
        request = pb.GetSegmentRequest(object_id=object_id, version=version, segment=index)
        call = self._stub.GetSegment(request, timeout=SEGMENT_TIMEOUT_S)
        try:
            async for frame in call:
                yield frame.chunk
        finally:
            call.cancel()  # nothing left to cancel once it has ended

    async def challenge(self, object_id: ObjectId, index: RedundancyIndex, segment: SegmentIndex) -> Challenge:
        request = scrub.challenge_pb(object_id, index, segment)
        return await scrub.answer(request, self._stub.Challenge(request, timeout=SEGMENT_TIMEOUT_S))

    async def scrub(self, order: ScrubOrder) -> AsyncIterator[Finding | Tally]:
        call = self._stub.Scrub(scrub.order_pb(order), timeout=GET_TIMEOUT_S)
        try:
            async for frame in call:
                yield scrub.frame(frame)
        finally:
            call.cancel()


async def connect(parts: Parts) -> Downloader:
    """The Downloader of this SP: the one in this process, else a client of the one at its endpoint."""
    return await neighbour(parts, "downloader", parts.common.endpoint.downloader, DownloaderClient, CALL_TIMEOUT_S)
