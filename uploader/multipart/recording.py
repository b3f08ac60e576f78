"""Recording what became of work, though the work was cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from sp.domain.errors import SpError
from sp.runtime.log import get_logger

log = get_logger(__name__)


async def seen_through(recording: Coroutine[Any, Any, None], warning: str) -> None:
    """Carry it out to its end, also when this task is cancelled meanwhile. A failure is logged: a lease's end does the
    same later."""
    task = asyncio.ensure_future(recording)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.warning(warning, error=str(failure))
        raise
    except SpError as error:
        log.warning(warning, error=str(error))
