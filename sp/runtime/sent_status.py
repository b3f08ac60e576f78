"""The status that the far side sent, though grpc.aio has overwritten it.

When a server ends a call while its client is still writing, the failed write makes grpc.aio report "Internal error from
Core" in place of the status that the server sent (grpc/grpc#36066, open at 1.85). Depending on which of the two is seen
first, the sent status is replaced, or is still on its way. A done callback sees each status as it is set, so the sent
one is kept here. This module alone touches grpc.aio's private parts; it can go when the bug has.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import grpc
from grpc._common import CYGRPC_STATUS_CODE_TO_STATUS_CODE

OVERWRITTEN_DETAILS: Final = "Internal error from Core"

STILL_ON_ITS_WAY_S: Final = 1.0
"""How long to wait for a status after a write failed: it is there already, or has been received and not yet read."""


class SentStatus:
    def __init__(self, call: Any) -> None:
        self._status: Any = None
        self._arrived = asyncio.Event()
        call.add_done_callback(self._note)

    def _note(self, call: Any) -> None:
        status = call._cython_call._status
        if self._status is None and status is not None and status.details() != OVERWRITTEN_DETAILS:
            self._status = status
            self._arrived.set()

    async def behind(self, error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        """The error itself, or the status that it stands in the place of. That one's code may be OK."""
        if error.code() is not grpc.StatusCode.INTERNAL or error.details() != OVERWRITTEN_DETAILS:
            return error
        try:
            async with asyncio.timeout(STILL_ON_ITS_WAY_S):
                await self._arrived.wait()
        except TimeoutError:
            return error
        return grpc.aio.AioRpcError(
            CYGRPC_STATUS_CODE_TO_STATUS_CODE[self._status.code()],
            None,
            grpc.aio.Metadata.from_tuple(self._status.trailing_metadata() or ()),
            self._status.details(),
        )
