"""Collect the pieces of parts that are no upload's any more, and end uploads that nobody ends."""

from __future__ import annotations

from dataclasses import dataclass

from piecestore.store import PieceStore
from sp.domain.multipart import Part, upload_id_text
from sp.runtime.log import get_logger
from spdb.multipart import MultipartUploads
from uploader.segments import delete_uncounted

log = get_logger(__name__)

BATCH = 100


@dataclass(frozen=True, slots=True)
class PartCollector:
    """Removes the pieces that one row proves dead: a part's pieces are its own, so its row alone decides. The pieces of
    a row that is not DEAD are never touched.

    Crash-safe: the row stays until its pieces are gone, and deleting twice is harmless.
    keep_open_ms: from its beginning on; keep_completed_ms: from its end on
    """

    pieces: PieceStore
    uploads: MultipartUploads
    keep_open_ms: int
    keep_completed_ms: int

    async def tick(self) -> bool:
        """Give up what dead processes left, abort what is too old, delete dead pieces, purge rows of ended uploads."""
        expired = await self.uploads.expire(self.keep_open_ms, BATCH)
        dead = await self.uploads.dead_parts(BATCH)
        for part in dead:
            await self._delete_pieces(part)
            await self.uploads.forget_part(part)
            log.info("part collected", upload_id=upload_id_text(part.upload_id), part=part.number, attempt=part.attempt)
        purged = await self.uploads.purge(self.keep_completed_ms, BATCH)
        return bool(expired or dead or purged)

    async def _delete_pieces(self, part: Part) -> None:
        """How many pieces a part had that was never stored is not recorded."""
        if part.piece_checksums:
            for piece in range(len(part.piece_checksums)):
                await self.pieces.delete(part.key(piece))
        else:
            await delete_uncounted(self.pieces, part.key)
