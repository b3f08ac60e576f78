"""The Downloader service on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from downloader.service import DownloaderService
from proto import downloader_pb2 as pb
from proto import scrub_pb2
from proto.downloader_pb2_grpc import DownloaderServicer, add_DownloaderServicer_to_server
from sp.domain.ids import JobId, ObjectId, SegmentIndex
from sp.runtime.chunks import chunks_of
from sp.runtime.rpc import Serving
from sp.wire import jobs as wire
from sp.wire import scrub

SERVICE = "greenfield_sp.downloader.v1.Downloader"


def served(downloader: DownloaderService) -> Serving:
    return Serving(add_DownloaderServicer_to_server, DownloaderRpc(downloader), SERVICE)


class DownloaderRpc(DownloaderServicer):
    def __init__(self, downloader: DownloaderService) -> None:
        self._downloader = downloader

    async def Head(self, request: pb.HeadRequest, context: Any) -> pb.ObjectEntry:
        return wire.entry_pb(await self._downloader.head(request.bucket, request.object_name))

    async def Get(self, request: pb.GetRequest, context: Any) -> AsyncIterator[pb.GetFrame]:
        entry = await self._downloader.entry_of(JobId(request.job_id), request.start, request.stop)
        async for block in self._downloader.get(entry, request.start, request.stop):
            for chunk in chunks_of(block):
                yield pb.GetFrame(chunk=chunk)

    async def List(self, request: pb.ListRequest, context: Any) -> pb.ListReply:
        limit = min(max(request.limit, 1), 1000)
        return wire.listing_pb(
            await self._downloader.list(request.bucket, request.prefix, request.delimiter, request.marker, limit)
        )

    async def GetSegment(self, request: pb.GetSegmentRequest, context: Any) -> AsyncIterator[pb.GetFrame]:
        object_id, segment = ObjectId(request.object_id), SegmentIndex(request.segment)
        async for block in self._downloader.segment(object_id, request.version, segment):
            for chunk in chunks_of(block):
                yield pb.GetFrame(chunk=chunk)

    async def Scrub(self, request: scrub_pb2.ScrubRequest, context: Any) -> AsyncIterator[scrub_pb2.ScrubFrame]:
        async for each in self._downloader.scrub(scrub.order(request)):
            yield scrub.frame_pb(each)

    async def Challenge(
        self, request: scrub_pb2.ChallengeRequest, context: Any
    ) -> AsyncIterator[scrub_pb2.ChallengeFrame]:
        for frame in scrub.answer_pb(await self._downloader.challenge(*scrub.asked(request))):
            yield frame
