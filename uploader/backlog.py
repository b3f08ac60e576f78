"""How much is acknowledged and not yet redundant: past a bound no more is taken in."""

from __future__ import annotations

from typing import Final

from sp.domain.errors import Overloaded
from sp.runtime.chores import Chore
from sp.runtime.limits import LIMIT, REFUSED, WAITING
from spdb.jobs import Jobs

INTERVAL_S: Final = 2.0
QUEUE: Final = "jobs in the queue"


class Backlog:
    """The job rows that wait for a task node, as they were counted a moment ago: an object that nobody replicates is
    as safe as one disk. most: past which puts are refused"""

    def __init__(self, jobs: Jobs, most: int) -> None:
        assert most >= 1
        self._jobs = jobs
        self._most = most
        self._waiting = 0
        self._refused = REFUSED.labels(QUEUE)
        LIMIT.labels(QUEUE).set(most)

    def chore(self) -> Chore:
        return Chore("count the job queue", INTERVAL_S, self.tick)

    async def tick(self) -> bool:
        self._waiting = await self._jobs.backlog(self._most + 1)
        WAITING.labels(QUEUE).set(self._waiting)
        return False

    def check(self) -> None:
        """Overloaded."""
        if self._waiting > self._most:
            self._refused.inc()
            raise Overloaded(QUEUE)
