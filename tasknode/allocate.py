"""ALLOC_SECONDARY_DOING: give the object its id on chain and choose who keeps its columns."""

from __future__ import annotations

from dataclasses import dataclass, replace

from p2p.client import P2P, Accepted, Approvals
from sp.domain.approvals import ObjectRef, SignedApproval
from sp.domain.errors import InvalidRequest
from sp.domain.ids import Address, RedundancyIndex
from sp.domain.jobs import Job, Move, Secondary, SecondaryState
from sp.domain.lifecycle import JobEvent
from sp.domain.params import StorageParams
from sp.domain.placement import Candidate, rank
from spdb.jobs import Jobs
from tasknode.onchain import Identity, OnChain


@dataclass(frozen=True, slots=True)
class Allocator:
    jobs: Jobs
    onchain: OnChain
    p2p: P2P
    spares: int
    actor: str

    async def run(self, job: Job) -> Job:
        """The job in REPLICATE_OBJECT_DOING with its ordered secondaries stored, or in SEAL_OBJECT_DONE if the object
        is empty: the chain seals those at their creation."""
        if job.delegated:  # one that was given up and is retried has the id of what the chain has let go of
            identity = await self.onchain.ensure_created(job)
            if identity.sealed:
                return await self.jobs.move(job, self._sealed(identity))
            check_params(job.params, await self.onchain.params_of(identity))
            job = replace(job, object_id=identity.object_id, version=identity.version)
        approvals = await self.p2p.get_approvals(job.object_ref(), job.params.secondaries, self.spares, frozenset())
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
