"""Settings of the Uploader, table [uploader] of sp.toml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from piecestore.small import SMALL_MOST_BYTES
from sp.domain.errors import ConfigError
from sp.domain.multipart import MIN_PART_BYTES
from sp.runtime.admission import Admission

UPLOAD_BYTES: Final = 8 * 1024**2
"""What one upload holds in memory at most: the connection's buffer, two chunks on their way through the checks, and two
blocks each of the segment that arrives and of the one before, which is being made durable."""


@dataclass(frozen=True, slots=True)
class UploaderConfig:
    """max_uploads: at once, parts of multipart and resumable uploads included; one more waits its turn
    upload_memory_bytes: of bodies on their way in, over all uploads; each counts its size, at most UPLOAD_BYTES
    small_upload_bytes: uploads up to this size have an eighth of both to themselves
    small_object_bytes: an object up to this size, of one segment, is kept in SPDB beside its row: one durable
      transaction instead of a file and two; 0: none is. What is kept there stays readable whatever it says
    max_waiting_uploads: in line for a place; one more is refused with Overloaded
    upload_wait_s: longest wait there, then Overloaded
    lease_ms: an upload whose process vanished is taken for dead this long after its last sign of life
    resumable_keep_ms: an upload that comes in several requests is given up when its next part is so long in coming
    max_queued_jobs: stored objects that wait to be replicated and sealed; past that puts are refused with Overloaded
    max_completions: multipart uploads that are being made objects at once; further ones wait
    staged_piece_bytes: in which parts of multipart uploads are stored until then
    min_part_bytes: of every part but the last
    multipart_keep_ms: a multipart upload that is not completed so long after its beginning is aborted
    completed_keep_ms: how long a completed one is remembered, for a client that did not hear of it
    notify_timeout_s: how long the task node may take to take a hint that there is work
    collect_interval_s: how often aborted uploads and replaced contents are looked for
    keep_replaced_ms: how long the segments of what was replaced or deleted stay, for the sake of readers who began
      before: the longest time a download may take
    keep_failed_ms: how long the row and history of an aborted upload stay readable after its pieces are gone
    """

    max_uploads: int = 256
    upload_memory_bytes: int = 512 * 1024**2
    small_upload_bytes: int = 1024**2
    small_object_bytes: int = 32 * 1024
    max_waiting_uploads: int = 128
    upload_wait_s: float = 5.0
    lease_ms: int = 15_000
    resumable_keep_ms: int = 24 * 3_600_000
    max_queued_jobs: int = 100_000
    max_completions: int = 16
    staged_piece_bytes: int = 16 * 1024**2
    min_part_bytes: int = MIN_PART_BYTES
    multipart_keep_ms: int = 7 * 24 * 3_600_000
    completed_keep_ms: int = 24 * 3_600_000
    notify_timeout_s: float = 1.0
    collect_interval_s: float = 5.0
    keep_replaced_ms: int = 600_000
    keep_failed_ms: int = 7 * 24 * 3_600_000

    def __post_init__(self) -> None:
        for name in ("max_uploads", "max_completions", "upload_wait_s", "max_queued_jobs"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"uploader.{name}", "more than 0")
        for name in ("small_upload_bytes", "max_waiting_uploads"):
            if getattr(self, name) < 0:
                raise ConfigError(f"uploader.{name}", "not negative")
        if not 0 <= self.small_object_bytes <= SMALL_MOST_BYTES:
            raise ConfigError("uploader.small_object_bytes", f"0 (none) to {SMALL_MOST_BYTES}")
        if self.upload_memory_bytes < self.max_uploads:
            raise ConfigError("uploader.upload_memory_bytes", "at least a byte for each of max_uploads")

    def admission(self) -> Admission:
        """One for all uploads of a process."""
        return Admission(
            "uploads",
            total_bytes=self.upload_memory_bytes,
            most=self.max_uploads,
            each_bytes=UPLOAD_BYTES,
            small_bytes=self.small_upload_bytes,
            queue=self.max_waiting_uploads,
            patience_s=self.upload_wait_s,
        )
