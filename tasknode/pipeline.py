"""Carry one leased job from wherever it stands towards SEAL_OBJECT_DONE."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from sp.domain.errors import IntegrityMismatch, InvalidRequest, JobMoved, SpError, TxRefused
from sp.domain.jobs import Job, Move
from sp.domain.lifecycle import ERROR_EVENT, FINAL, RETRY_EVENT, JobEvent, JobState
from sp.domain.retry import RetryPolicy
from sp.runtime.clock import Clock
from sp.runtime.log import get_logger
from spdb.jobs import Jobs
from spdb.objects import Objects
from tasknode.allocate import Allocator
from tasknode.onchain import Fate, OnChain
from tasknode.replicate import Replicator
from tasknode.seal import Sealer

log = get_logger(__name__)

S, E = JobState, JobEvent

ALLOCATING: Final = frozenset({S.ALLOC_SECONDARY_DOING, S.ALLOC_SECONDARY_ERROR})
"""States of a delegated put whose object id, if it has one, is that of an object that was given up."""


HOPELESS: Final = (IntegrityMismatch, InvalidRequest)
"""What a step raises when the put itself is wrong: its columns are not those announced on chain, or it was cut by
parameters that are not the chain's. The user has to put again."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One step per state; each step is safe to repeat, so a job goes on from its row alone, whoever had it before."""

    jobs: Jobs
    objects: Objects
    onchain: OnChain
    allocator: Allocator
    replicator: Replicator
    sealer: Sealer
    retry: RetryPolicy
    clock: Clock
    random: Random
    changed: Callable[[Job], None]
    actor: str

    async def carry(self, job: Job) -> None:
        """As far as it goes: until it is final or given up, or has failed and waits for its next attempt. JobMoved when
        another owner has it."""
        first = True
        try:
            while job.state not in FINAL and not job.given_up:
                if first and (settled := await self._settled_by_chain(job)):
                    job = settled
                else:
                    job = await self._step(job)
                first = False
                self.changed(job)
        except JobMoved:
            raise
        except SpError as error:
            self.changed(await self._failed(await self.jobs.get(job.id), error))

    async def _settled_by_chain(self, job: Job) -> Job | None:
        """Before taking a job up again: has the chain sealed it meanwhile, or lost it? Then there is no work left."""
        if job.object_id is None or job.state is S.UPLOAD_OBJECT_DONE or (job.delegated and job.state in ALLOCATING):
            return None
        fate = await self.onchain.fate(job)
        if fate is Fate.SEALED:
            return await self.jobs.move(job, self.sealer.seen("found on chain"))
        if fate is Fate.GONE and not self._exhausted(job):
            return await self.jobs.move(job, Move(E.DISCONTINUED, self.actor, "the chain has this content no longer"))
        return None

    def _exhausted(self, job: Job) -> bool:
        """It has failed for the last time: what is left to do is to give it up."""
        return job.state in RETRY_EVENT and job.attempts >= self.retry.max_attempts

    async def _step(self, job: Job) -> Job:
        if self._exhausted(job):
            return await self._give_up(job)
        steps: dict[JobState, Callable[[Job], Awaitable[Job]]] = {
            S.UPLOAD_OBJECT_DONE: self._begin,
            S.ALLOC_SECONDARY_DOING: self.allocator.run,
            S.ALLOC_SECONDARY_DONE: self._move(E.REPLICATION_STARTED),
            S.ALLOC_SECONDARY_ERROR: self._move(RETRY_EVENT[S.ALLOC_SECONDARY_ERROR]),
            S.REPLICATE_OBJECT_DOING: self.replicator.run,
            S.REPLICATE_OBJECT_DONE: self._move(E.SIGNING_STARTED),
            S.REPLICATE_OBJECT_ERROR: self._move(RETRY_EVENT[S.REPLICATE_OBJECT_ERROR]),
            S.SIGN_OBJECT_DOING: self.sealer.sign,
            S.SIGN_OBJECT_DONE: self._move(E.SEAL_WATCH_STARTED),
            S.SIGN_OBJECT_ERROR: self._sign_again,
            S.SEAL_OBJECT_TX_DOING: self.sealer.watch,
            S.SEAL_OBJECT_ERROR: self._seal_again,
        }
        return await steps[job.state](job)

    async def _begin(self, job: Job) -> Job:
        """A put whose name means a later one already, and that the chain knows nothing of, need not go there."""
        current = await self.objects.head(job.bucket, job.object_name)
        if job.object_id is None and current is not None and current.job.id != job.id:
            return await self.jobs.move(job, Move(E.DISCONTINUED, self.actor, f"replaced by job {current.job.id}"))
        return await self.jobs.move(job, Move(E.ALLOCATION_STARTED, self.actor))

    def _move(self, event: JobEvent) -> Callable[[Job], Awaitable[Job]]:
        async def move(job: Job) -> Job:
            return await self.jobs.move(job, Move(event, self.actor))

        return move

    async def _sign_again(self, job: Job) -> Job:
        return await self._replace_departed(job) or await self._move(RETRY_EVENT[S.SIGN_OBJECT_ERROR])(job)

    async def _seal_again(self, job: Job) -> Job:
        return await self._replace_departed(job) or await self.sealer.rebroadcast(job)

    async def _replace_departed(self, job: Job) -> Job | None:
        """Back to replication when secondaries left the network after they had signed."""
        departed = await self.sealer.departed(job)
        if not departed:
            return None
        for secondary in departed:
            reason = "left the network before the seal"
            await self.jobs.secondary_failed(job, secondary.redundancy_index, secondary.provider, reason)
        return await self.jobs.move(job, Move(E.SECONDARIES_REJECTED, self.actor))

    async def _failed(self, job: Job, error: SpError) -> Job:
        """To the *_ERROR state with its reason, and its next attempt: of the step, or of giving the job up."""
        log.warning("step failed", job_id=job.id, state=job.state.name, error=str(error))
        attempts, now_ms, chance = job.attempts + 1, self.clock.now_ms(), self.random.random()
        next_ms = self.retry.next_attempt_at_ms(attempts, job.created_at_ms, now_ms, chance)
        if isinstance(error, HOPELESS):
            next_ms = None
        event = ERROR_EVENT.get(job.state)
        if event is None:  # an *_ERROR state that could not be left: its retry, or giving it up, failed at once
            at_ms = now_ms + self.retry.delay_ms(attempts, chance)
            return await self.jobs.postpone(
                job, str(error), attempts=attempts, next_attempt_at_ms=at_ms, actor=self.actor
            )
        return await self.jobs.move(
            job,
            Move(
                event,
                self.actor,
                str(error),
                attempts=attempts if next_ms is not None else max(attempts, self.retry.max_attempts),
                next_attempt_at_ms=next_ms if next_ms is not None else now_ms,
                release_lease=True,
            ),
        )

    async def _give_up(self, job: Job) -> Job:
        """The chain first, then the row: after a crash in between it is done again. The bytes stay, and `sp jobs retry`
        goes on with creating the object anew, where it was this provider that created it."""
        if settled := await self._settled_by_chain(job):
            return settled
        try:
            await self.onchain.reject(job)
        except TxRefused as refused:  # it was sealed, deleted or replaced a moment ago
            log.warning("seal not rejected", job_id=job.id, error=str(refused))
            if settled := await self._settled_by_chain(job):
                return settled
        log.error("job given up", job_id=job.id, bucket=job.bucket, object_name=job.object_name, error=job.error)
        if not job.delegated:
            return await self.jobs.postpone(
                job, job.error, attempts=job.attempts, next_attempt_at_ms=None, actor=self.actor
            )
        return await self.jobs.move(
            job, Move(E.SEAL_REJECTED, self.actor, job.error, given_up=True, release_lease=True)
        )
