"""Recording why a put came to nothing, also when whoever waited for it has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sp.domain.errors import SpError
from sp.runtime.log import get_logger

log = get_logger(__name__)


async def recorded(failure: BaseException, record: Callable[[str], Awaitable[object]]) -> None:
    """record: stores the reason. If even that fails there is a line in the log: segments that are left are collected
    when the job's lease has ended."""
    reason = str(failure) if isinstance(failure, SpError) else f"{type(failure).__name__}: {failure}".rstrip(": ")
    recording = asyncio.ensure_future(record(reason))
    try:
        await asyncio.shield(recording)
    except asyncio.CancelledError:
        await asyncio.wait([recording])
        raise
    except SpError as error:
        log.warning("aborted upload not recorded", error=str(error))
