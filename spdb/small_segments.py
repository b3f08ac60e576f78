"""The segments that are rows: what the piece store of an SP looks for beside its files (piecestore.small)."""

from __future__ import annotations

from dataclasses import dataclass

from sp.domain.ids import JobId
from spdb.database import Database
from spdb.statements import names, small_segments


@dataclass(frozen=True, slots=True)
class SmallSegments:
    """They come with their jobs (Jobs.put_small) and go by themselves."""

    db: Database

    async def get(self, job_id: JobId) -> bytes | None:
        """The job's payload; None when it is not kept here."""
        if not names.is_id(job_id):
            return None
        return await self.db.read(lambda c: small_segments.get(c, job_id))

    async def size(self, job_id: JobId) -> int | None:
        """Bytes of it."""
        if not names.is_id(job_id):
            return None
        return await self.db.read(lambda c: small_segments.size(c, job_id))

    async def delete(self, job_id: JobId) -> None:
        """Durably gone. Absent is success, and costs no transaction that writes."""
        if await self.size(job_id) is not None:
            await self.db.write(lambda c: small_segments.remove(c, job_id))

    async def page(self, after: int, limit: int) -> list[JobId]:
        """Whose are kept here: ids above `after`, ascending."""
        return await self.db.read(lambda c: small_segments.page(c, after, limit))
