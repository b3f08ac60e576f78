"""Keeping a lease on a job while working on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from sp.domain.errors import JobMoved, SpError
from sp.domain.ids import JobId
from sp.runtime.clock import Clock
from sp.runtime.log import get_logger

log = get_logger(__name__)


@asynccontextmanager
async def kept_lease(
    job_id: JobId, renew: Callable[[], Awaitable[bool]], lease_ms: int, clock: Clock
) -> AsyncIterator[None]:
    """As `kept`, of a job: JobMoved when it is lost."""
    async with kept(f"lease of job {job_id}", renew, lease_ms, clock, JobMoved(job_id)):
        yield


@asynccontextmanager
async def kept(
    name: str, renew: Callable[[], Awaitable[bool]], lease_ms: int, clock: Clock, moved: SpError
) -> AsyncIterator[None]:
    """Renew the lease while the block runs. When it is lost the block is cancelled and `moved` raised.

    renew: prolongs by `lease_ms`; False when another owner has it. Errors are tried again until the lease has run out.
    """
    worker = asyncio.current_task()
    assert worker is not None
    lost = False

    async def keep() -> None:
        nonlocal lost
        last_renewed_ms = clock.now_ms()
        while True:
            await clock.sleep(lease_ms / 3000)
            try:
                held = await renew()
            except SpError as error:
                log.warning("lease not renewed", lease=name, error=str(error))
                held = clock.now_ms() < last_renewed_ms + lease_ms
            else:
                last_renewed_ms = clock.now_ms()
            if not held:
                lost = True
                worker.cancel()
                return

    keeper = asyncio.create_task(keep(), name=name)
    try:
        yield
    except asyncio.CancelledError:
        if lost and worker.uncancel() == 0:
            raise moved from None
        raise
    finally:
        keeper.cancel()
        await asyncio.wait([keeper])
        if not keeper.cancelled() and (mistake := keeper.exception()) is not None:
            log.error("lease keeper failed", lease=name, exc_info=mistake)
