"""Finding the columns of sealed objects whose holder leaves: a bounded walk over the jobs, while anyone leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chain.client import Chain
from sp.domain.ids import Address
from sp.runtime.clock import Clock
from sp.runtime.log import get_logger
from spdb.cursors import Cursors
from spdb.swap_ins import SwapIns

JOBS_PER_TICK: Final = 200
AT: Final = "swap ins at"
ENDED: Final = "swap ins ended ms"

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class VacancyFinder:
    """Where the walk is, and when the last one ended, is kept in the database. Two processes that walk at once do no
    harm: a vacancy is noted once.

    pause_ms: between two walks. A put that was under way when the walk passed it may have been sealed since, with a
      provider that left right after; the next walk finds it. Someone else's leaving begins a walk at once.
    """

    swaps: SwapIns
    chain: Chain
    cursors: Cursors
    clock: Clock
    pause_ms: int

    async def leaving(self) -> frozenset[Address]:
        providers = await self.chain.storage_providers()
        return frozenset(operator for operator, provider in providers.items() if provider.exiting)

    async def tick(self) -> bool:
        """The next jobs. True when there are more, or some of these have vacancies."""
        leaving = await self.leaving()
        if not leaving:
            return False
        at = await self.cursors.get(AT)
        if not at and self.clock.now_ms() < await self.cursors.get(ENDED) + self.pause_ms:
            return False
        found, after = await self.swaps.vacancies(at, JOBS_PER_TICK, leaving)
        new = await self.swaps.plan(found) if found else 0
        if after is None:
            await self.cursors.set_all({AT: 0, ENDED: self.clock.now_ms()})
        else:
            await self.cursors.set(AT, after)
        if new:
            log.info("columns to be taken over", columns=new)
        return bool(new) or after is not None

    async def begin_anew(self) -> None:
        """Somebody has begun to leave: those that were passed over may be concerned now."""
        await self.cursors.set_all({AT: 0, ENDED: 0})
