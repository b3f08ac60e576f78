"""The Uploader as the gateway sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from sp.domain.ids import Checksum, JobId
from sp.domain.jobs import PutOrder


@dataclass(frozen=True, slots=True)
class PutReceipt:
    """An acknowledged put: every segment is durable, the job is recorded. stored_at_ms: unix ms."""

    job_id: JobId
    payload_size: int
    root: Checksum
    stored_at_ms: int


class Uploader(Protocol):
    async def put(self, order: PutOrder, body: AsyncIterator[bytes]) -> PutReceipt:
        """Store the object. The put is committed only when `body` ends by itself; an exception raised by `body` (the
        client went away, a digest did not match) aborts it, leaves nothing behind that is not collected, and comes out
        again here. PayloadSizeMismatch, IntegrityMismatch, ObjectTooLarge, UploadInProgress, ObjectNotCreated,
        Overloaded, StoreFull."""
