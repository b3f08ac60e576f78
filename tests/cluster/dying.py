"""A task node whose process dies at a chosen step, as if killed: nothing is given back, nothing is written any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest

import tasknode.app
from sp.domain.jobs import Move
from sp.domain.lifecycle import JobEvent
from sp.runtime.parts import Parts
from spdb.jobs import Jobs
from tasknode.service import TaskNodeService
from tests.cluster.network import Runner


class Dead(Exception):
    """What a call finds that a process makes after its death."""


class When(Enum):
    BEFORE = "before"  # what the step did has happened, but the row does not say so
    AFTER = "after"  # the row says so, and nothing was done since


@dataclass(frozen=True, slots=True)
class Death:
    """at: an event of the lifecycle, or the name of a method of Jobs; count: at its so-manieth time
    died: set once it has happened

    An event that is usually stored together with the next one is stored alone, if death comes after it.
    """

    at: str
    when: When
    count: int = 1
    died: asyncio.Event = field(default_factory=asyncio.Event)


class DyingJobs:
    """Stands in the place of a task node's Jobs."""

    def __init__(self, true: Jobs, death: Death) -> None:
        self._true = true
        self._death = death
        self._seen = 0

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method: Callable[..., Awaitable[Any]] = getattr(self._true, name)

        async def call(*given: Any, **named: Any) -> Any:
            if self._death.died.is_set():
                raise Dead
            if not self._is_it(name, given):
                return await method(*given, **named)
            if self._death.when is When.AFTER:
                await method(*self._cut(given), **named)
            self._death.died.set()
            raise Dead

        return call

    def _is_it(self, name: str, given: tuple[Any, ...]) -> bool:
        happened = [name, *(str(step.event) for step in given if isinstance(step, Move))]
        self._seen += self._death.at in happened
        return self._death.at in happened and self._seen == self._death.count

    def _cut(self, given: tuple[Any, ...]) -> tuple[Any, ...]:
        """Without the moves behind the last one."""
        events = [str(step.event) if isinstance(step, Move) else "" for step in given]
        return given[: events.index(self._death.at) + 1] if self._death.at in events else given


def dying_tasknode(death: Death) -> Runner:
    """For `Sp.runners["tasknode"]`. Stopping the SP raises Dead, as its process would have ended."""
    return tasknode_with(lambda jobs: DyingJobs(jobs, death))


def tasknode_with(replace: Callable[[Jobs], Any]) -> Runner:
    """A task node that has something else in the place of its Jobs."""

    @asynccontextmanager
    async def running(parts: Parts) -> AsyncIterator[TaskNodeService]:
        async with AsyncExitStack() as stack:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(tasknode.app, "Jobs", lambda *given: replace(Jobs(*given)))
                service = await stack.enter_async_context(tasknode.app.running(parts))
            yield service

    return running


EVENTS = (
    JobEvent.ALLOCATION_STARTED,
    JobEvent.SECONDARIES_CHOSEN,
    JobEvent.REPLICATION_STARTED,
    JobEvent.ALL_SECONDARIES_SIGNED,
    JobEvent.SIGNING_STARTED,
    JobEvent.SEAL_BROADCAST,
    JobEvent.SEAL_WATCH_STARTED,
    JobEvent.SEAL_SEEN,
)
"""Every step of a put behind its 200, in order."""
