"""Uploads that come in several requests: each is one job in UPLOAD_OBJECT_DOING whose segments so far are recorded.

The job's own lease lasts for hours, so that the collector leaves it alone while it waits for its next part; who
receives a part holds it for seconds, so that the death of a process delays the next attempt by no more than that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sp.domain.ids import Address, Checksum, JobId
from sp.domain.jobs import Job, PutOrder, StoredPayload
from spdb.database import Clock, Database
from spdb.statements import resumables as statements
from spdb.statements.resumables import Resumable

__all__ = ["Resumable", "Resumables"]


@dataclass(frozen=True, slots=True)
class Resumables:
    """keep_ms: how long an upload waits for its next part; new_job_id: a fresh id, larger than all given before"""

    db: Database
    clock: Clock
    new_job_id: Callable[[], JobId]
    keep_ms: int

    async def find(self, bucket: str, object_name: str, account: Address) -> Resumable | None:
        """The upload under way, if there is one."""
        return await self.db.read(lambda c: statements.find(c, bucket, object_name, account))

    async def take(self, order: PutOrder, offset: int, actor: str, hold_ms: int) -> Resumable:
        """Hold the upload to receive what follows `offset` (bytes), for `hold_ms`; begun when offset is 0 and there is
        none. OffsetRefused when that is not where it stands; UploadInProgress while another holds it, or a whole put of
        the object is on its way; ObjectNotCreated when its payload is here already."""
        holder = f"{actor}/{self.new_job_id()}"
        now = self.clock.now_ms()
        hold = statements.Hold(holder, now + hold_ms, now + self.keep_ms)
        while True:  # two processes may draw one id, once in a blue moon: draw again
            take = partial(
                statements.take, order=order, offset=offset, hold=hold, new_job_id=self.new_job_id(), now_ms=now
            )
            taken = await self.db.write(take)
            if taken is not None:
                return taken

    async def renew(self, held: Resumable, hold_ms: int) -> bool:
        """Hold it for `hold_ms` from now. False: it is another's, or the upload is over; stop."""
        until_ms = self.clock.now_ms() + hold_ms
        return await self.db.write(lambda c: statements.renew(c, held, until_ms))

    async def add(self, held: Resumable, checksums: tuple[Checksum, ...]) -> None:
        """These further segments are durable; the upload waits for its next part. JobMoved when it is not ours."""
        until_ms = self.clock.now_ms() + self.keep_ms
        await self.db.write(lambda c: statements.add(c, held, checksums, until_ms))

    async def release(self, held: Resumable) -> None:
        """The part came to nothing: the upload stands where it stood. Nothing when it is not ours any more."""
        await self.db.write(lambda c: statements.release(c, held))

    async def finish(self, held: Resumable, stored: StoredPayload, actor: str) -> Job:
        """As Jobs.finish_upload. JobMoved when it is not ours any more."""
        now = self.clock.now_ms()
        return await self.db.write(lambda c: statements.finish(c, held, stored, actor, now))

    async def fail(self, held: Resumable, reason: str, actor: str) -> None:
        """As Jobs.fail_upload: the whole upload has come to nothing. Nothing when it is not ours any more."""
        now = self.clock.now_ms()
        await self.db.write(lambda c: statements.fail(c, held, reason, actor, now))
