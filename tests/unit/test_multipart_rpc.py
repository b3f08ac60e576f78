"""Multipart over its gRPC service: the client is as good as the service itself."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from sp.domain.errors import InvalidPart, InvalidRequest, NoSuchUpload
from sp.domain.ids import Checksum, JobId, UploadId
from sp.domain.jobs import Precondition, PutOrder
from sp.domain.ledger import Visibility
from sp.domain.multipart import (
    CompletedPart,
    Completion,
    Part,
    PartState,
    Upload,
    UploadOrder,
    UploadsPage,
    UploadsQuery,
    UploadState,
)
from sp.domain.params import StorageParams
from sp.runtime.chunks import Piece
from sp.runtime.rpc import dial, serving
from sp.wire import multipart as wire
from tests.unit.gateway_world import ALICE
from uploader.multipart.client import MultipartClient, PartDigests, PartEnding
from uploader.multipart.rpc import served

ORDER = UploadOrder(
    "b", "a/ü", ALICE, Visibility.PRIVATE, {"content-type": "a/b"}, "crc32", "COMPOSITE", {"tag": "value"}
)
UPLOAD = Upload(UploadId(2**62), ORDER, UploadState.COMPLETED, 3, 4, 5, JobId(6), 7, 8)
MD5 = hashlib.md5(b"x" * 3_000_000).digest()


class Recorder:
    """Answers with what it was asked, kept in `asked`."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    async def create(self, order: UploadOrder) -> Upload:
        return replace(UPLOAD, order=order)

    async def find(self, upload_id: UploadId) -> Upload:
        if upload_id != UPLOAD.id:
            raise NoSuchUpload("none")
        return UPLOAD

    async def put_part(self, upload_id: UploadId, number: int, body: AsyncIterator[Piece], ending: PartEnding) -> Part:
        payload = b"".join([chunk async for chunk in body])
        digests = ending()
        return Part(
            upload_id, number, 9, PartState.STORED, 16, len(payload), digests.md5, digests.checksums, stored_at_ms=1
        )

    async def parts(self, upload_id: UploadId, after: int, limit: int) -> list[Part]:
        checksums = (Checksum(b"a" * 32),)
        return [
            Part(upload_id, after + n, n, PartState.STORED, 16, 5, MD5, {"a": "b"}, checksums) for n in range(limit)
        ]

    async def page(self, query: UploadsQuery) -> UploadsPage:
        self.asked.append(query)
        return UploadsPage((UPLOAD,), ("p/", "q/"), "q/", None if query.id_marker is None else query.id_marker)

    async def complete(self, upload_id: UploadId, order: PutOrder, asked: Completion) -> Upload:
        self.asked += [order, asked]
        if not asked.checksums:
            raise InvalidPart(7, "it was not uploaded")
        return UPLOAD

    async def abort(self, upload_id: UploadId) -> None:
        await self.find(upload_id)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest_asyncio.fixture
async def client(recorder: Recorder) -> AsyncIterator[MultipartClient]:
    async with serving("127.0.0.1:0", [served(recorder)]) as address, dial(address, timeout_s=10) as channel:
        yield MultipartClient(channel)


async def body(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_an_upload_and_its_end_come_over_whole(client: MultipartClient, recorder: Recorder) -> None:
    assert await client.create(ORDER) == UPLOAD
    assert await client.find(UPLOAD.id) == UPLOAD
    order = PutOrder("b", "a/ü", ALICE, None, StorageParams(), precondition=Precondition(absent=True))
    parts = tuple(CompletedPart(n, "e" * 32, {"x-amz-checksum-sha256": "c" * 44}) for n in range(1, 10_001))
    asked = Completion(parts, {"x-amz-checksum-crc32": "AAAA"}, 0)
    assert await client.complete(UPLOAD.id, order, asked) == UPLOAD
    assert recorder.asked == [order, asked]
    with pytest.raises(InvalidPart) as refusal:
        await client.complete(UPLOAD.id, order, Completion(parts))
    assert refusal.value.part_number == 7
    await client.abort(UPLOAD.id)
    for call in (client.find(UploadId(1)), client.abort(UploadId(1))):
        with pytest.raises(NoSuchUpload):
            await call


async def test_a_part_comes_over_in_messages_of_bounded_size_with_its_digests_at_the_end(
    client: MultipartClient,
) -> None:
    sums = {"x-amz-checksum-crc32": "AAAA"}
    part = await client.put_part(UPLOAD.id, 3, body(b"x" * 2_999_999, b"", b"x"), lambda: PartDigests(MD5, sums))
    assert (part.number, part.size, part.md5, part.checksums) == (3, 3_000_000, MD5, sums)


async def test_a_part_whose_body_raises_is_not_stored_and_its_error_comes_out(client: MultipartClient) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"some"
        raise InvalidPart(1, "the client is gone")

    with pytest.raises(InvalidPart):
        await client.put_part(UPLOAD.id, 3, broken(), lambda: PartDigests(MD5))
    with pytest.raises(InvalidRequest):
        await client.put_part(UPLOAD.id, 3, body(b"x"), lambda: PartDigests(b"no md5"))


async def test_lists_come_over_without_what_would_not_fit(client: MultipartClient, recorder: Recorder) -> None:
    parts = await client.parts(UPLOAD.id, 4, 1000)
    assert [part.number for part in parts] == list(range(4, 1004))
    assert all((part.etag, part.checksums, part.piece_checksums) == (MD5.hex(), {"a": "b"}, ()) for part in parts)
    query = UploadsQuery("b", "p", "/", "k", UploadId(5), 10)
    assert await client.page(query) == UploadsPage((UPLOAD,), ("p/", "q/"), "q/", UploadId(5))
    assert (await client.page(replace(query, id_marker=None))).next_id is None
    assert recorder.asked == [query, replace(query, id_marker=None)]


def test_a_page_of_parts_fits_into_a_message_whatever_their_size() -> None:
    checksums = {"x-amz-checksum-sha256": "c" * 44}
    huge = Part(UPLOAD.id, 10_000, 2**40, PartState.STORED, 1, 5 * 2**30, MD5, checksums, (Checksum(b"a" * 32),) * 320)
    assert len(wire.part_pb(huge).SerializeToString()) * 1000 < 2**20
