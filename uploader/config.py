"""Settings of the Uploader, table [uploader] of sp.toml."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UploaderConfig:
    """max_uploads: at once; one more is refused with Overloaded
    lease_ms: an upload whose process vanished is taken for dead this long after its last sign of life
    resumable_keep_ms: an upload that comes in several requests is given up when its next part is so long in coming
    notify_timeout_s: how long a put waits for the task node to take the hint
    collect_interval_s: how often aborted uploads and replaced contents are looked for
    keep_replaced_ms: how long the segments of what was replaced or deleted stay, for the sake of readers who began
      before: the longest time a download may take
    keep_failed_ms: how long the row and history of an aborted upload stay readable after its pieces are gone
    """

    max_uploads: int = 256
    lease_ms: int = 15_000
    resumable_keep_ms: int = 24 * 3_600_000
    notify_timeout_s: float = 1.0
    collect_interval_s: float = 5.0
    keep_replaced_ms: int = 600_000
    keep_failed_ms: int = 7 * 24 * 3_600_000
