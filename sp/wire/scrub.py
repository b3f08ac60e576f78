"""Scrub orders, findings, tallies, challenges."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable

from proto import scrub_pb2 as pb
from sp.domain.addresses import parse_address
from sp.domain.challenges import Challenge
from sp.domain.errors import InvalidRequest
from sp.domain.findings import Finding, Health, ScrubOrder, Tally
from sp.domain.ids import ObjectId, RedundancyIndex, SegmentIndex
from sp.wire import common

CHUNK_BYTES = 1024 * 1024


def order(message: pb.ScrubRequest) -> ScrubOrder:
    if message.object_name and not message.bucket:
        raise InvalidRequest("an object without a bucket")
    return ScrubOrder(
        message.bucket, message.object_name, message.repair, message.everywhere, message.resume, message.recover
    )


def order_pb(value: ScrubOrder) -> pb.ScrubRequest:
    return pb.ScrubRequest(
        bucket=value.bucket,
        object_name=value.object_name,
        repair=value.repair,
        everywhere=value.everywhere,
        resume=value.resume,
        recover=value.recover,
    )


def frame_pb(value: Finding | Tally) -> pb.ScrubFrame:
    if isinstance(value, Tally):
        return pb.ScrubFrame(tally=_tally_pb(value))
    return pb.ScrubFrame(finding=_finding_pb(value))


def frame(message: pb.ScrubFrame) -> Finding | Tally:
    return _tally(message.tally) if message.WhichOneof("frame") == "tally" else _finding(message.finding)


def _finding_pb(value: Finding) -> pb.Finding:
    return pb.Finding(
        bucket=value.bucket,
        object_name=value.object_name,
        object_id=value.object_id or 0,
        version=value.version,
        segment=value.segment,
        redundancy_index=value.redundancy_index,
        provider=value.provider,
        health=value.health.value,
        repaired=value.repaired,
        reason=value.reason,
    )


def _finding(message: pb.Finding) -> Finding:
    return Finding(
        message.bucket,
        message.object_name,
        ObjectId(message.object_id) if message.object_id else None,
        message.version,
        SegmentIndex(message.segment),
        RedundancyIndex(message.redundancy_index),
        parse_address(message.provider),
        Health(message.health),
        message.repaired,
        message.reason,
    )


def _tally_pb(value: Tally) -> pb.Tally:
    return pb.Tally(
        objects=value.objects,
        parts=value.parts,
        size_bytes=value.size_bytes,
        damaged=value.damaged,
        repaired=value.repaired,
        unreachable=value.unreachable,
    )


def _tally(message: pb.Tally) -> Tally:
    return Tally(
        message.objects, message.parts, message.size_bytes, message.damaged, message.repaired, message.unreachable
    )


def challenge_pb(object_id: ObjectId, index: RedundancyIndex, segment: SegmentIndex) -> pb.ChallengeRequest:
    return pb.ChallengeRequest(object_id=object_id, redundancy_index=index, segment=segment)


def asked(message: pb.ChallengeRequest) -> tuple[ObjectId, RedundancyIndex, SegmentIndex]:
    return ObjectId(message.object_id), RedundancyIndex(message.redundancy_index), SegmentIndex(message.segment)


def answer_pb(value: Challenge) -> Iterable[pb.ChallengeFrame]:
    yield pb.ChallengeFrame(
        header=pb.ChallengeHeader(version=value.version, checksums=value.checksums, root=value.root)
    )
    view = memoryview(value.piece)
    for start in range(0, len(view), CHUNK_BYTES):
        yield pb.ChallengeFrame(chunk=bytes(view[start : start + CHUNK_BYTES]))


async def answer(request: pb.ChallengeRequest, frames: AsyncIterable[pb.ChallengeFrame]) -> Challenge:
    header, piece = pb.ChallengeHeader(), bytearray()
    async for each in frames:
        if each.WhichOneof("frame") == "header":
            header = each.header
        else:
            piece += each.chunk
    object_id, index, segment = asked(request)
    checksums = tuple(map(common.checksum, header.checksums))
    return Challenge(object_id, header.version, index, segment, bytes(piece), checksums, common.checksum(header.root))
