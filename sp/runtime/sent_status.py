"""The status that the far side sent, though grpc.aio has overwritten it.

When a call ends while its client is still writing, the failed write makes grpc.aio report "Internal error from Core" in
place of the call's status (grpc/grpc#36066, open at 1.85). Either the status was there and is overwritten: then a done
callback has seen it and it is kept here. Or it arrives a moment later and takes the place of the other, of which nobody
is told: then it is looked for until it is there. This module alone touches grpc.aio's private parts; it can go when
the bug has.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import grpc
from grpc._common import CYGRPC_STATUS_CODE_TO_STATUS_CODE

OVERWRITTEN_DETAILS: Final = "Internal error from Core"

LOOKED_FOR_S: Final = 1.0
"""A failed write's status has been received, or is made on this side (deadline): it is a few turns of the loop away."""

LOOKS_EVERY_MAX_S: Final = 0.02


class SentStatus:
    def __init__(self, call: Any) -> None:
        self._call = call
        self._status: Any = None
        call.add_done_callback(self._note)

    def _note(self, call: Any) -> None:
        status = call._cython_call._status
        if self._status is None and status is not None and status.details() != OVERWRITTEN_DETAILS:
            self._status = status

    async def behind(self, error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        """The error itself, or the status that it stands in the place of. That one's code may be OK."""
        if error.code() is not grpc.StatusCode.INTERNAL or error.details() != OVERWRITTEN_DETAILS:
            return error
        await self._look()
        if self._status is None:
            return error
        return grpc.aio.AioRpcError(
            CYGRPC_STATUS_CODE_TO_STATUS_CODE[self._status.code()],
            None,
            grpc.aio.Metadata.from_tuple(self._status.trailing_metadata() or ()),
            self._status.details(),
        )

    async def _look(self) -> None:
        waited_s, pause_s = 0.0, 0.0005
        while self._status is None and waited_s < LOOKED_FOR_S:
            self._note(self._call)
            await asyncio.sleep(pause_s)
            waited_s += pause_s
            pause_s = min(LOOKS_EVERY_MAX_S, pause_s * 2)
