"""Take objects in by parts: in any order and at once, each staged durably, made one object at the end.

Owns:  staged pieces, and the rows of uploads and parts.
Never: makes an object in another way than by a put, so that it is cut, hashed and recorded as every other is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Final

from piecestore.notes import BlockNotes
from piecestore.store import PieceStore
from sp.domain.errors import InvalidPart, NoSuchUpload, ServiceUnavailable, UploadCompleting, UploadMoved
from sp.domain.ids import UploadId
from sp.domain.jobs import Job, PutOrder, StoredPayload
from sp.domain.multipart import (
    Assembly,
    Completion,
    Part,
    Upload,
    UploadOrder,
    UploadsPage,
    UploadsQuery,
    UploadState,
    listed_etag,
    upload_id_text,
)
from sp.domain.part_layout import without_layout
from sp.runtime.admission import Admission
from sp.runtime.chunks import Piece
from sp.runtime.clock import Clock
from sp.runtime.leases import kept
from sp.runtime.log import get_logger
from sp.runtime.pool import CpuPool
from sp.runtime.tasks import Tasks
from spdb.multipart import MultipartUploads
from uploader.config import UploaderConfig
from uploader.multipart.assembly import payload_of
from uploader.multipart.client import PartEnding
from uploader.multipart.recording import seen_through
from uploader.multipart.staging import Staging
from uploader.service import UploaderService

log = get_logger(__name__)

ELSEWHERE_POLL_S: Final = 1.0
"""How often to look whether another process has completed an upload."""


@dataclass(frozen=True, slots=True)
class MultipartService:
    """Multipart (uploader.multipart.client has the contract).

    admission: of parts; the one of whole puts
    tasks: own the completions, which outlive the requests that asked for them
    turns: completions at work at once; the others wait, under their lease
    notes: of this process
    """

    pieces: PieceStore
    uploads: MultipartUploads
    uploader: UploaderService
    pool: CpuPool
    clock: Clock
    config: UploaderConfig
    admission: Admission
    tasks: Tasks
    turns: asyncio.Semaphore
    notes: BlockNotes
    _completing: dict[UploadId, asyncio.Task[None]] = field(default_factory=dict)

    async def create(self, order: UploadOrder) -> Upload:
        return await self.uploads.create(order)

    async def find(self, upload_id: UploadId) -> Upload:
        return await self.uploads.find(upload_id)

    async def put_part(self, upload_id: UploadId, number: int, body: AsyncIterator[Piece], ending: PartEnding) -> Part:
        staging = Staging(self.pieces, self.uploads, self.clock, self.config.staged_piece_bytes, self.config.lease_ms)
        async with self.admission.admitted(None):
            return await staging.put(upload_id, number, body, ending)

    async def parts(self, upload_id: UploadId, after: int, limit: int) -> list[Part]:
        return await self.uploads.parts(upload_id, after, limit)

    async def page(self, query: UploadsQuery) -> UploadsPage:
        return await self.uploads.page(query)

    async def abort(self, upload_id: UploadId) -> None:
        await self.uploads.abort(upload_id)

    async def complete(self, upload_id: UploadId, order: PutOrder, asked: Completion) -> Upload:
        """See uploader.multipart.client.Multipart.complete."""
        while True:
            if (running := self._completing.get(upload_id)) is not None:
                await asyncio.wait([running])  # and see what it has left
            try:
                claimed, assembly = await self.uploads.claim(
                    upload_id, asked, self.config.min_part_bytes, self.config.lease_ms
                )
            except UploadCompleting:
                if upload_id not in self._completing:
                    await self.clock.sleep(ELSEWHERE_POLL_S)
                continue
            if assembly is None:
                return _completed_before(claimed, asked)
            return await self._begun(claimed, assembly, order)

    async def _begun(self, claimed: Upload, assembly: Assembly, order: PutOrder) -> Upload:
        """The claimed upload, completed by a task of its own."""
        outcome: asyncio.Future[Upload] = asyncio.get_running_loop().create_future()
        running = self.tasks.spawn(
            self._run(claimed, assembly, order, outcome), f"complete upload {upload_id_text(claimed.id)}"
        )
        self._completing[claimed.id] = running
        running.add_done_callback(lambda _: self._completing.pop(claimed.id))
        return await asyncio.shield(outcome)

    async def _run(self, claimed: Upload, assembly: Assembly, order: PutOrder, outcome: asyncio.Future[Upload]) -> None:
        try:
            outcome.set_result(await self._completed(claimed, assembly, order))
        except Exception as error:  # noqa: BLE001 - whoever asked gets it, and logs what is our mistake
            log.info("upload not completed", upload_id=upload_id_text(claimed.id), error=str(error))
            outcome.set_exception(error)
        finally:
            if not outcome.done():
                outcome.set_exception(ServiceUnavailable("uploader", "it is being stopped"))
            outcome.exception()  # retrieved: perhaps nobody is left to hear it

    async def _completed(self, claimed: Upload, assembly: Assembly, order: PutOrder) -> Upload:
        async def renew() -> bool:
            return await self.uploads.renew(claimed, self.config.lease_ms)

        name = upload_id_text(claimed.id)
        try:
            async with (
                kept(f"lease of upload {name}", renew, self.config.lease_ms, self.clock, UploadMoved(name)),
                self.turns,
            ):
                return await self._put(claimed, assembly, order)
        except BaseException as failure:
            await seen_through(self.uploads.release(claimed), "upload not released")
            if isinstance(failure, Exception):
                await self._check_not_aborted(claimed.id)
            raise

    async def _put(self, claimed: Upload, assembly: Assembly, order: PutOrder) -> Upload:
        async def finish(job: Job, stored: StoredPayload) -> Job:
            return await self.uploads.complete(claimed, job, stored, self.uploader.actor, order.precondition)

        size = assembly.payload_size if order.payload_size is None else order.payload_size
        whole = replace(order, payload_size=size, headers={**order.headers, **assembly.headers})
        async with aclosing(payload_of(assembly.parts, self.pieces, self.pool, self.notes)) as payload:
            receipt = await self.uploader.put_and(finish, whole, payload)
        return replace(
            claimed,
            order=replace(claimed.order, headers=without_layout(whole.headers)),
            state=UploadState.COMPLETED,
            job_id=receipt.job_id,
            payload_size=receipt.payload_size,
            ended_at_ms=receipt.stored_at_ms,
        )

    async def _check_not_aborted(self, upload_id: UploadId) -> None:
        """NoSuchUpload when that is why a completion failed: its parts may be gone already."""
        if (await self.uploads.find(upload_id)).state is UploadState.ABORTED:
            raise NoSuchUpload(upload_id_text(upload_id))


def _completed_before(upload: Upload, asked: Completion) -> Upload:
    """The same answer as the first time, to the same question."""
    if listed_etag(asked) != upload.etag:
        raise InvalidPart(asked.parts[-1].number if asked.parts else 0, "the upload was completed from other parts")
    return upload
