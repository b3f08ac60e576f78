"""Multipart in memory, in front of the test gateway's store."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sp.domain.errors import NoSuchUpload, SpError
from sp.domain.ids import UploadId
from sp.domain.jobs import PutOrder
from sp.domain.multipart import (
    Completion,
    Part,
    PartState,
    Upload,
    UploadOrder,
    UploadsPage,
    UploadsQuery,
    UploadState,
    assembly_of,
    upload_id_text,
)
from sp.runtime.chunks import Piece
from uploader.multipart.client import PartEnding

if TYPE_CHECKING:
    from tests.unit.gateway_world import Store


@dataclass
class FakeMultipart:
    """min_part_bytes: small, so that tests can be; go_on: what completions wait for; refuse: how they fail then"""

    store: Store
    min_part_bytes: int = 5
    uploads: dict[UploadId, Upload] = field(default_factory=dict)
    held: dict[UploadId, dict[int, tuple[Part, bytes]]] = field(default_factory=dict)
    completions: int = 0
    refuse: SpError | None = None
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.go_on.set()

    async def create(self, order: UploadOrder) -> Upload:
        upload = Upload(UploadId(len(self.uploads) + 1), order, UploadState.OPEN, 1, 0, self.store.clock.now_ms())
        self.uploads[upload.id], self.held[upload.id] = upload, {}
        return upload

    async def find(self, upload_id: UploadId) -> Upload:
        if upload_id not in self.uploads:
            raise NoSuchUpload(upload_id_text(upload_id))
        return self.uploads[upload_id]

    async def put_part(self, upload_id: UploadId, number: int, body: AsyncIterator[Piece], ending: PartEnding) -> Part:
        payload = b"".join([chunk async for chunk in body])
        digests = ending()
        assert digests.md5 == hashlib.md5(payload).digest()
        now_ms = self.store.clock.now_ms()
        part = Part(
            upload_id, number, 1, PartState.STORED, 16, len(payload), digests.md5, digests.checksums, (), now_ms
        )
        self.held[upload_id][number] = (part, payload)
        return part

    async def parts(self, upload_id: UploadId, after: int, limit: int) -> list[Part]:
        return [part for number, (part, _) in sorted(self.held[upload_id].items()) if number > after][:limit]

    async def page(self, query: UploadsQuery) -> UploadsPage:
        found = [u for u in self.uploads.values() if u.state is UploadState.OPEN and u.order.bucket == query.bucket]
        shown = found[: query.limit]
        if len(found) > len(shown) > 0:
            return UploadsPage(tuple(shown), (), shown[-1].order.object_name, shown[-1].id)
        return UploadsPage(tuple(shown), ())

    async def complete(self, upload_id: UploadId, order: PutOrder, asked: Completion) -> Upload:
        upload, held = self.uploads[upload_id], self.held[upload_id]
        assembly = assembly_of(upload, asked, [part for part, _ in held.values()], self.min_part_bytes)
        await self.go_on.wait()
        if self.refuse is not None:
            raise self.refuse
        self.completions += 1

        async def body() -> AsyncIterator[bytes]:
            for part in assembly.parts:
                yield held[part.number][1]

        receipt = await self.store.put(replace(order, headers=assembly.headers), body())
        done = replace(
            upload,
            order=replace(upload.order, headers=assembly.headers),
            state=UploadState.COMPLETED,
            job_id=receipt.job_id,
            payload_size=receipt.payload_size,
        )
        self.uploads[upload_id] = done
        return done

    async def abort(self, upload_id: UploadId) -> None:
        self.uploads[upload_id] = replace(self.uploads[upload_id], state=UploadState.ABORTED)
