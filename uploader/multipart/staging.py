"""A part on its way in: cut, hashed, durable, recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from piecestore.store import PieceStore
from sp.domain.errors import ObjectTooLarge, UploadMoved
from sp.domain.ids import UploadId
from sp.domain.multipart import MAX_PART_BYTES, Part, PartState, upload_id_text
from sp.runtime.chunks import Piece
from sp.runtime.clock import Clock
from sp.runtime.leases import kept
from spdb.multipart import MultipartUploads
from uploader.multipart.client import PartEnding
from uploader.multipart.recording import seen_through
from uploader.segments import Cutter


@dataclass(frozen=True, slots=True)
class Staging:
    """piece_bytes: in each piece of a part but the last; lease_ms: a part whose process vanished is dead after that"""

    pieces: PieceStore
    uploads: MultipartUploads
    clock: Clock
    piece_bytes: int
    lease_ms: int

    async def put(self, upload_id: UploadId, number: int, body: AsyncIterator[Piece], ending: PartEnding) -> Part:
        """See uploader.multipart.client.Multipart.put_part. The row is there before the first piece is, so that no
        piece is without a row; `body` is not asked for a byte before."""
        begun = await self.uploads.begin_part(upload_id, number, self.piece_bytes, self.lease_ms)
        try:
            part = await self._stored(begun, body, ending)
            await self.uploads.finish_part(part)
        except BaseException:
            await seen_through(self.uploads.give_part_up(begun), "part not given up")
            raise
        return part

    async def _stored(self, begun: Part, body: AsyncIterator[Piece], ending: PartEnding) -> Part:
        async def renew() -> bool:
            return await self.uploads.renew_part(begun, self.lease_ms)

        name = upload_id_text(begun.upload_id)
        lease = f"lease of part {begun.number} of upload {name}"
        async with (
            kept(lease, renew, self.lease_ms, self.clock, UploadMoved(name)),
            Cutter(self.pieces, begun.key, begun.piece_size) as cutter,
        ):
            async for chunk in body:
                if cutter.payload_size + len(chunk) > MAX_PART_BYTES:
                    raise ObjectTooLarge(cutter.payload_size + len(chunk), MAX_PART_BYTES)
                await cutter.feed(chunk)
            checksums = await cutter.end()
        digests = ending()
        return replace(
            begun,
            state=PartState.STORED,
            size=cutter.payload_size,
            md5=digests.md5,
            checksums=digests.checksums,
            piece_checksums=checksums,
            stored_at_ms=self.clock.now_ms(),
        )
