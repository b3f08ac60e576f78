"""What a PieceStore key names.

A segment is named by the job that uploaded it, not by its object: every put owns its pieces alone, so a second
attempt never meets the first one's bytes, an overwrite never touches what is being read, and the collector can prove
from one row that a piece is dead (docs/decisions/0002). An erasure-coded piece, held for another SP, is named by the
chain's object id, its version and its column, as on the network (GREENFIELD.md 1). A part of a multipart upload waits
in staged pieces, named by the upload and by the number of the attempt that brought them: a part that is sent again gets
names of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sp.domain.errors import InvalidRequest
from sp.domain.ids import JobId, ObjectId, RedundancyIndex, SegmentIndex, UploadId

_SEGMENT: Final = re.compile(r"u(\d{1,19})_s(\d{1,9})")
_PIECE: Final = re.compile(r"e(\d{1,20})_s(\d{1,9})_p(\d{1,3})(?:_v(\d{1,9}))?")
_STAGED: Final = re.compile(r"m(\d{1,19})_p(\d{1,5})_(\d{1,9})_s(\d{1,9})")


@dataclass(frozen=True, slots=True)
class SegmentKey:
    """A whole segment on the primary SP: `u{job}_s{segment}`."""

    job_id: JobId
    segment: SegmentIndex

    def __str__(self) -> str:
        return f"u{self.job_id}_s{self.segment}"


@dataclass(frozen=True, slots=True)
class EcPieceKey:
    """A piece on a secondary SP: `e{object}_s{segment}_p{column}`, with `_v{version}` after an update."""

    object_id: ObjectId
    version: int
    segment: SegmentIndex
    column: RedundancyIndex

    def __str__(self) -> str:
        name = f"e{self.object_id}_s{self.segment}_p{self.column}"
        return f"{name}_v{self.version}" if self.version else name


@dataclass(frozen=True, slots=True)
class StagedKey:
    """A piece of a part of a multipart upload, until it is completed: `m{upload}_p{part}_{attempt}_s{piece}`.

    attempt: counts every part that was begun in this upload, so that no name is used twice
    """

    upload_id: UploadId
    part_number: int
    attempt: int
    piece: SegmentIndex

    def __str__(self) -> str:
        return f"m{self.upload_id}_p{self.part_number}_{self.attempt}_s{self.piece}"


PieceKey = SegmentKey | EcPieceKey | StagedKey


def parse_key(name: str) -> PieceKey:
    """The key that prints as `name`; InvalidRequest for anything else."""
    if match := _SEGMENT.fullmatch(name):
        key: PieceKey = SegmentKey(JobId(int(match[1])), SegmentIndex(int(match[2])))
    elif match := _PIECE.fullmatch(name):
        key = EcPieceKey(
            ObjectId(int(match[1])), int(match[4] or 0), SegmentIndex(int(match[2])), RedundancyIndex(int(match[3]))
        )
    elif match := _STAGED.fullmatch(name):
        key = StagedKey(UploadId(int(match[1])), int(match[2]), int(match[3]), SegmentIndex(int(match[4])))
    else:
        raise InvalidRequest(f"not a piece key: {name[:80]!r}")
    if str(key) != name:
        raise InvalidRequest(f"not a piece key in its one spelling: {name[:80]!r}")
    return key
