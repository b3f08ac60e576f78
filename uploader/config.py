"""Settings of the Uploader, table [uploader] of sp.toml."""

from __future__ import annotations

from dataclasses import dataclass

from sp.domain.multipart import MIN_PART_BYTES


@dataclass(frozen=True, slots=True)
class UploaderConfig:
    """max_uploads: at once; one more is refused with Overloaded
    lease_ms: an upload whose process vanished is taken for dead this long after its last sign of life
    resumable_keep_ms: an upload that comes in several requests is given up when its next part is so long in coming
    max_completions: multipart uploads that are being made objects at once; further ones wait
    staged_piece_bytes: in which parts of multipart uploads are stored until then
    min_part_bytes: of every part but the last
    multipart_keep_ms: a multipart upload that is not completed so long after its beginning is aborted
    completed_keep_ms: how long a completed one is remembered, for a client that did not hear of it
    notify_timeout_s: how long a put waits for the task node to take the hint
    collect_interval_s: how often aborted uploads and replaced contents are looked for
    keep_replaced_ms: how long the segments of what was replaced or deleted stay, for the sake of readers who began
      before: the longest time a download may take
    keep_failed_ms: how long the row and history of an aborted upload stay readable after its pieces are gone
    """

    max_uploads: int = 256
    lease_ms: int = 15_000
    resumable_keep_ms: int = 24 * 3_600_000
    max_completions: int = 16
    staged_piece_bytes: int = 16 * 1024**2
    min_part_bytes: int = MIN_PART_BYTES
    multipart_keep_ms: int = 7 * 24 * 3_600_000
    completed_keep_ms: int = 24 * 3_600_000
    notify_timeout_s: float = 1.0
    collect_interval_s: float = 5.0
    keep_replaced_ms: int = 600_000
    keep_failed_ms: int = 7 * 24 * 3_600_000
