"""One column of a sealed object on its way from a provider that leaves to another: records."""

from __future__ import annotations

from dataclasses import dataclass

from sp.domain.approvals import SignedApproval
from sp.domain.ids import Address, Checksum, JobId, RedundancyIndex, Signature
from sp.domain.jobs import Job


@dataclass(frozen=True, slots=True)
class Vacancy:
    """A column of a sealed put whose holder leaves. target: that one (the chain's word for it)"""

    job_id: JobId
    redundancy_index: RedundancyIndex
    target: Address


@dataclass(frozen=True, slots=True)
class SwapIn:
    """A vacancy being filled.

    job: the put, as it was when the work was taken up
    approval: of the successor chosen last, None while there is none
    integrity_hash, signature: its receipt, None until it has signed
    attempts: failures so far; next_attempt_at_ms: unix ms; error: the last failure
    """

    job: Job
    redundancy_index: RedundancyIndex
    target: Address
    approval: SignedApproval | None
    integrity_hash: Checksum | None
    signature: Signature | None
    attempts: int
    next_attempt_at_ms: int
    error: str
    created_at_ms: int

    @property
    def successor(self) -> Address | None:
        return None if self.approval is None else self.approval.approval.approver
