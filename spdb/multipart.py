"""Multipart uploads and their parts. Each method is one transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sp.domain.ids import UploadId
from sp.domain.jobs import Job, Precondition, StoredPayload
from sp.domain.multipart import Assembly, Completion, Part, Upload, UploadOrder, UploadsPage, UploadsQuery
from spdb.database import Clock, Database
from spdb.statements import multipart, multipart_garbage, multipart_listing


@dataclass(frozen=True, slots=True)
class MultipartUploads:
    """new_upload_id: a fresh id, larger than all given before"""

    db: Database
    clock: Clock
    new_upload_id: Callable[[], UploadId]

    async def create(self, order: UploadOrder) -> Upload:
        """A new upload, OPEN. InvalidRequest for names no database takes."""
        now = self.clock.now_ms()
        while True:  # two processes may draw one id, once in a blue moon: draw again
            upload_id = self.new_upload_id()
            upload = await self.db.write(lambda c, drawn=upload_id: multipart.create(c, drawn, order, now))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            if upload is not None:
                return upload

    async def find(self, upload_id: UploadId) -> Upload:
        """In whatever state. NoSuchUpload."""
        return await self.db.read(lambda c: multipart.find(c, upload_id))

    async def parts(self, upload_id: UploadId, after: int = 0, limit: int | None = None) -> list[Part]:
        """Those that count, by number, behind number `after`."""
        return await self.db.read(lambda c: multipart.stored_parts(c, upload_id, after, limit))

    async def page(self, query: UploadsQuery) -> UploadsPage:
        """Uploads that are OPEN or COMPLETING, without headers and tags. InvalidRequest for text that is not Unicode,
        or holds NUL."""
        return await self.db.read(lambda c: multipart_listing.page(c, query))

    # --- a part ---------------------------------------------------------------------------------------------------

    async def begin_part(self, upload_id: UploadId, number: int, piece_size: int, lease_ms: int) -> Part:
        """A new attempt, STAGING, with a number that no other of the upload has. NoSuchUpload; UploadCompleting."""
        until = self.clock.now_ms() + lease_ms
        return await self.db.write(lambda c: multipart.begin_part(c, upload_id, number, piece_size, until))

    async def renew_part(self, part: Part, lease_ms: int) -> bool:
        """Keep it for `lease_ms` from now. False: it was taken for dead; stop."""
        until = self.clock.now_ms() + lease_ms
        return await self.db.write(lambda c: multipart.renew_part(c, part, until))

    async def finish_part(self, part: Part) -> None:
        """`part`, now STORED with all that is known of it, is what its number means; what it replaces is DEAD.
        NoSuchUpload; UploadCompleting; UploadMoved when it was taken for dead."""
        await self.db.write(lambda c: multipart.finish_part(c, part))

    async def give_part_up(self, part: Part) -> None:
        """DEAD, unless it has been stored."""
        await self.db.write(lambda c: multipart.give_part_up(c, part))

    # --- the end --------------------------------------------------------------------------------------------------

    async def claim(
        self, upload_id: UploadId, asked: Completion, min_part_bytes: int, lease_ms: int
    ) -> tuple[Upload, Assembly | None]:
        """COMPLETING, leased to this caller, and what is to be made of it; (upload, None): it is COMPLETED already.

        No part comes or goes from here on. NoSuchUpload; UploadCompleting while another has the lease; InvalidPart,
        InvalidPartOrder, PartTooSmall, PayloadSizeMismatch, PayloadDigestMismatch, with nothing changed.
        """
        now = self.clock.now_ms()
        return await self.db.write(
            lambda c: multipart.claim(c, upload_id, asked, min_part_bytes, now + lease_ms, now),
        )

    async def renew(self, upload: Upload, lease_ms: int) -> bool:
        """Keep the claim for `lease_ms` from now. False: it is another's, or the upload has ended; stop."""
        until = self.clock.now_ms() + lease_ms
        return await self.db.write(lambda c: multipart.renew(c, upload, until))

    async def release(self, upload: Upload) -> None:
        """The completion came to nothing: OPEN again. Nothing when the claim is lost."""
        await self.db.write(lambda c: multipart.release(c, upload))

    async def complete(
        self, upload: Upload, job: Job, stored: StoredPayload, actor: str, precondition: Precondition | None
    ) -> Job:
        """As Jobs.finish_upload, and the upload is COMPLETED: both or neither. UploadMoved when the claim is lost."""
        now = self.clock.now_ms()
        return await self.db.write(lambda c: multipart.complete(c, upload, job, stored, actor, now, precondition))

    async def abort(self, upload_id: UploadId) -> None:
        """ABORTED, and its parts garbage; a completion under way comes to nothing. NoSuchUpload when it has ended."""
        now = self.clock.now_ms()
        await self.db.write(lambda c: multipart.abort(c, upload_id, now))

    # --- garbage --------------------------------------------------------------------------------------------------

    async def expire(self, max_age_ms: int, limit: int) -> int:
        """Parts and completions whose process vanished are given up (an upload is OPEN again), and uploads older than
        `max_age_ms` are aborted. How many."""
        now = self.clock.now_ms()
        return await self.db.write(lambda c: multipart_garbage.expire(c, limit, now - max_age_ms, now))

    async def dead_parts(self, limit: int) -> list[Part]:
        """Parts that were replaced, aborted, given up, or have become an object: their pieces are garbage."""
        return await self.db.read(lambda c: multipart_garbage.dead(c, limit))

    async def forget_part(self, part: Part) -> None:
        """The pieces of this garbage are gone."""
        await self.db.write(lambda c: multipart_garbage.forget(c, part))

    async def purge(self, keep_completed_ms: int, limit: int) -> int:
        """Delete uploads that have ended and have no part left, completed ones after that time (ms). How many."""
        before = self.clock.now_ms() - keep_completed_ms
        return await self.db.write(lambda c: multipart_garbage.purge(c, before, limit))
