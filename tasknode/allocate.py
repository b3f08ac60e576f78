"""ALLOC_SECONDARY_DOING: give the object its id on chain and choose who keeps its columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from p2p.client import P2P, Accepted, Approvals
from sp.domain.approvals import ObjectRef, SignedApproval
from sp.domain.errors import InvalidRequest, TooFewReachable
from sp.domain.ids import Address, RedundancyIndex
from sp.domain.jobs import Job, Move, Secondary, SecondaryState
from sp.domain.lifecycle import JobEvent
from sp.domain.params import StorageParams
from sp.domain.placement import Candidate, rank
from sp.runtime.clock import Clock
from spdb.jobs import Jobs
from tasknode.onchain import Identity, OnChain
from tasknode.places import waiting_aside


@dataclass(frozen=True, slots=True)
class Allocator:
    """reach_wait_s: how long a job waits aside when too few providers can be reached, before it asks again: half to one
    and a half of it, so that not all come back at once"""

    jobs: Jobs
    onchain: OnChain
    p2p: P2P
    spares: int
    actor: str
    clock: Clock
    random: Random
    reach_wait_s: float

    async def run(self, job: Job) -> Job:
        """The job in REPLICATE_OBJECT_DOING with its ordered secondaries stored, or in SEAL_OBJECT_DONE if the object
        is empty: the chain seals those at their creation."""
        if job.delegated:  # one that was given up and is retried has the id of what the chain has let go of
            identity = await self.onchain.ensure_created(job)
            if identity.sealed:
                return await self.jobs.move(job, self._sealed(identity))
            check_params(job.params, await self.onchain.params_of(identity))
            job = replace(job, object_id=identity.object_id, version=identity.version)
        approvals = await self._approvals(job)
        chosen, spares = choose(job.object_ref(), approvals)
        rows = [
            Secondary(job.id, RedundancyIndex(i), a.approval.approver, a, SecondaryState.CHOSEN)
            for i, a in enumerate(chosen)
        ]
        return await self.jobs.choose_secondaries(
            job,
            rows,
            spares,
            self._chosen(job, approvals),
            Move(JobEvent.REPLICATION_STARTED, self.actor),
        )

    async def _approvals(self, job: Job) -> Approvals:
        """With nobody to ask a job waits aside, then asks once more. Those who may wait so are bounded, and no further
        job is taken while they do: else each that is queued would fail in vain, one after the other, without a pause.
        """
        wanted, needed = job.object_ref(), job.params.secondaries
        try:
            return await self.p2p.get_approvals(wanted, needed, self.spares, frozenset())
        except TooFewReachable:
            async with waiting_aside():
                await self.clock.sleep(self.reach_wait_s * (0.5 + self.random.random()))
            return await self.p2p.get_approvals(wanted, needed, self.spares, frozenset())

    def _chosen(self, job: Job, approvals: Approvals) -> Move:
        """Its reason names those who did not agree: the history tells why an object is not with them."""
        reason = "; ".join(f"{provider} {refusal}" for provider, refusal in approvals.refused)
        return Move(
            JobEvent.SECONDARIES_CHOSEN, self.actor, reason, object_id=job.object_id, version=job.version, attempts=0
        )

    def _sealed(self, identity: Identity) -> Move:
        return Move(
            JobEvent.SEAL_SEEN,
            self.actor,
            "an empty object is sealed at its creation",
            object_id=identity.object_id,
            version=identity.version,
            attempts=0,
        )


def choose(wanted: ObjectRef, approvals: Approvals) -> tuple[list[SignedApproval], list[SignedApproval]]:
    """Those that will keep the columns, in column order, and the spares, best first."""
    by_provider: dict[Address, Accepted] = {a.approval.approval.approver: a for a in approvals.accepted}
    candidates = [Candidate(provider, a.free_bytes) for provider, a in by_provider.items()]
    ranked = [by_provider[p].approval for p in rank(candidates, wanted.object_id, wanted.version)]
    return ranked[: wanted.params.secondaries], ranked[wanted.params.secondaries :]


def check_params(cut_with: StorageParams, on_chain: StorageParams) -> None:
    """The segments in the store must be cut as the chain holds this object to be cut."""
    if (cut_with.max_segment_size, cut_with.data_chunks, cut_with.parity_chunks) != (
        on_chain.max_segment_size,
        on_chain.data_chunks,
        on_chain.parity_chunks,
    ):
        raise InvalidRequest("the chain's storage parameters changed between upload and creation: put the object again")
