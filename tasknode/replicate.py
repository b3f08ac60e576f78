"""REPLICATE_OBJECT_DOING: every column to its secondary, every receipt verified, failing secondaries replaced."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from chain.client import Chain
from p2p.client import P2P
from receiver.client import GroupSender, Receipt, Receivers
from signer.client import Signer
from sp.crypto.hashing import keccak256
from sp.domain.addresses import signer_of
from sp.domain.approvals import Offer, ReceiptDoc, SignedApproval
from sp.domain.errors import (
    DeadlineExceeded,
    IntegrityMismatch,
    Kind,
    Overloaded,
    SecondaryFailed,
    SignatureError,
    SpError,
    UnknownProvider,
)
from sp.domain.ids import Address, Checksum, RedundancyIndex
from sp.domain.integrity import expected_for
from sp.domain.jobs import Job, Move, Secondary, SecondaryState
from sp.domain.ledger import StorageProvider
from sp.domain.lifecycle import JobEvent
from sp.runtime.clock import Clock
from sp.runtime.log import get_logger
from spdb.jobs import Jobs
from tasknode.columns import Buffer, Column, ColumnFeeder
from tasknode.config import TaskNodeConfig
from tasknode.onchain import OnChain
from tasknode.whole import WholePiece, travels_whole

BUSY_PAUSES_S: Final = (0.1, 0.3, 0.9)
"""Before a secondary at its limit is offered a column again; after the last one another takes its place."""

log = get_logger(__name__)

Failure = tuple[Secondary, SpError]


@dataclass(frozen=True, slots=True)
class Replicator:
    jobs: Jobs
    chain: Chain
    onchain: OnChain
    signer: Signer
    p2p: P2P
    receivers: Receivers
    feeder: ColumnFeeder
    clock: Clock
    config: TaskNodeConfig
    actor: str

    async def run(self, job: Job) -> Job:
        """The job in SIGN_OBJECT_DOING. Passes over the columns that are not done yet until all are; a failed
        secondary is replaced between passes and not asked again in this attempt, so passes are bounded by the number
        of providers. TooFewApprovals when nobody is left to replace one with."""
        failed: set[Address] = set()
        while True:
            active = await self._fill_gaps(job, failed)
            pending = [s for s in active if s.state is not SecondaryState.DONE]
            if not pending:
                return await self._conclude(job, active)
            failures = await self._pass(job, pending)
            if not failures and job.delegated:  # nothing to compare with: no need to read the rows again
                return await self._conclude(job, [])
            for secondary, error in failures:
                log.warning("secondary failed", provider=secondary.provider, error=str(error))
                failed.add(secondary.provider)
                if error.kind is not Kind.BUSY:  # to be at its limit is no fault: nobody is frozen for it
                    await self.p2p.report_peer(secondary.provider, str(error))
                await self.jobs.secondary_failed(job, secondary.redundancy_index, secondary.provider, str(error))

    async def _pass(self, job: Job, pending: list[Secondary]) -> list[Failure]:
        """One pass: who failed in it, and how. The others are DONE and recorded."""
        providers = await self.chain.storage_providers()
        failures: list[Failure] = []
        async with AsyncExitStack() as streams:
            opened = await asyncio.gather(*(self._open(job, s, providers, streams) for s in pending))
            await self.feeder.feed(job, [column for column in opened if isinstance(column, Column)])
        for secondary, column in zip(pending, opened, strict=True):
            error = column.error if isinstance(column, Column) else column
            if isinstance(error, IntegrityMismatch) and isinstance(column, Column):
                await self._check_announced(job, column)
            if error is not None:
                failures.append((secondary, error))
        return failures

    async def _open(
        self, job: Job, secondary: Secondary, providers: dict[Address, StorageProvider], streams: AsyncExitStack
    ) -> Column | SpError:
        """Offer one column to its secondary. What goes wrong is the secondary's failure, returned, not raised."""
        await self.jobs.secondary_started(job, secondary.redundancy_index, secondary.provider)
        try:
            provider = providers.get(secondary.provider)
            if provider is None or not provider.in_service:
                raise UnknownProvider(secondary.provider)
            sender = (
                WholePiece(lambda piece: self._placed(secondary, provider, piece))
                if travels_whole(job)
                else await self._offered(secondary, provider, streams)
            )
        except TimeoutError:
            return DeadlineExceeded("the answer to an offer", int(self.config.open_timeout_s * 1000))
        except SpError as error:
            return error

        async def conclude(column: Column) -> SpError | None:
            return await self._conclude_column(job, secondary, column, provider)

        return Column(secondary.redundancy_index, sender, self.config.piece_timeout_s, conclude)

    async def _offered(self, secondary: Secondary, provider: StorageProvider, streams: AsyncExitStack) -> GroupSender:
        """One at its limit is asked again after a pause, some times; what it raises comes out then."""
        for pause_s in (*BUSY_PAUSES_S, None):
            offer = Offer(secondary.approval, secondary.redundancy_index, self.clock.now_ms() // 1000)
            signature = await self.signer.sign(offer)
            stream = self.receivers.replicate(provider.receiver_endpoint, offer, signature, self.config.group_timeout_s)
            try:
                async with asyncio.timeout(self.config.open_timeout_s):
                    return await streams.enter_async_context(stream)
            except Overloaded:
                if pause_s is None:
                    raise
            await self.clock.sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")

    async def _placed(self, secondary: Secondary, provider: StorageProvider, piece: Buffer) -> Receipt:
        """As `_offered`, of a column that is one small piece."""
        for pause_s in (*BUSY_PAUSES_S, None):
            offer = Offer(secondary.approval, secondary.redundancy_index, self.clock.now_ms() // 1000)
            signature, endpoint = await self.signer.sign(offer), provider.receiver_endpoint
            try:
                return await self.receivers.replicate_small(
                    endpoint, offer, signature, piece, self.config.group_timeout_s
                )
            except Overloaded:
                if pause_s is None:
                    raise
            await self.clock.sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")

    async def _conclude_column(
        self, job: Job, secondary: Secondary, column: Column, provider: StorageProvider
    ) -> SpError | None:
        """Verify a receipt and record it; or what is wrong with it."""
        assert column.receipt is not None
        try:
            check_receipt(job, secondary, column.receipt, column.integrity_hash, provider)
        except SpError as error:
            return error
        await self.jobs.secondary_done(
            job, secondary.redundancy_index, secondary.provider, column.receipt.integrity_hash, column.receipt.signature
        )
        await self.p2p.report_peer(secondary.provider, None)
        return None

    async def _fill_gaps(self, job: Job, failed_now: set[Address]) -> list[Secondary]:
        """Give every column without an active secondary a replacement: an approved spare, else a newly asked one. All
        active ones, in column order."""
        rows = await self.jobs.secondaries(job.id)
        active = {s.redundancy_index: s for s in rows if s.state is not SecondaryState.FAILED}
        for index in map(RedundancyIndex, range(job.params.secondaries)):
            if index not in active:
                failed = next(s for s in reversed(rows) if s.redundancy_index == index)
                taken = frozenset(s.provider for s in active.values())
                burnt = frozenset(s.provider for s in rows if s.state is SecondaryState.FAILED)
                approval = await self._replacement(job, taken | failed_now, burnt)
                replacement = Secondary(job.id, index, approval.approval.approver, approval, SecondaryState.CHOSEN)
                await self.jobs.replace_secondary(job, index, failed.provider, failed.error, replacement)
                active[index] = replacement
        return [active[index] for index in sorted(active)]

    async def _replacement(self, job: Job, never: frozenset[Address], burnt: frozenset[Address]) -> SignedApproval:
        """Another provider's approval: a stored spare, a fresh one, and last one of an earlier attempt's failures that
        agrees again. never: those with a column of this object, or that failed just now."""
        now_s = self.clock.now_ms() // 1000
        for spare in await self.jobs.spares(job.id):
            if spare.approval.approver not in never | burnt and spare.approval.expires_at_s > now_s:
                return spare
        try:
            approvals = await self.p2p.get_approvals(job.object_ref(), 1, self.config.spares, never | burnt)
        except SpError:
            if not burnt - never:
                raise
            approvals = await self.p2p.get_approvals(job.object_ref(), 1, self.config.spares, never)
        first, *others = (a.approval for a in approvals.accepted)
        await self.jobs.add_spares(job, others)
        return first

    async def _check_announced(self, job: Job, column: Column) -> None:
        """A secondary says that the whole column is not what the chain expects. IntegrityMismatch if we find the same:
        then the object was created with wrong checksums, and no secondary is to blame."""
        checksums = await self._announced(job)
        if not checksums or len(column.checksums) < job.segments:
            return
        expected = expected_for(checksums, column.index)
        if column.integrity_hash != expected:
            raise IntegrityMismatch(column.index, expected.hex(), column.integrity_hash.hex())

    async def _announced(self, job: Job) -> tuple[Checksum, ...]:
        """The checksums that the chain has for the job's content already; none for a delegated one."""
        found = await self.onchain.expected(job)
        return found.update.checksums if found.update and found.update.version == job.version else found.checksums

    async def _conclude(self, job: Job, active: list[Secondary]) -> Job:
        """All columns are signed for: the job in SIGN_OBJECT_DOING. Where the chain has their expected hashes already,
        they must be the same."""
        checksums = () if job.delegated else await self._announced(job)
        for secondary in active if checksums else []:
            expected = expected_for(checksums, secondary.redundancy_index)
            assert secondary.integrity_hash is not None
            if secondary.integrity_hash != expected:
                raise IntegrityMismatch(secondary.redundancy_index, expected.hex(), secondary.integrity_hash.hex())
        return await self.jobs.move(
            job,
            Move(JobEvent.ALL_SECONDARIES_SIGNED, self.actor, attempts=0),
            Move(JobEvent.SIGNING_STARTED, self.actor),
        )


def check_receipt(
    job: Job, secondary: Secondary, receipt: Receipt, computed: Checksum, provider: StorageProvider
) -> None:
    """A secondary must hold what was sent and sign for it with the approval key it registered."""
    if receipt.integrity_hash != computed:
        raise SecondaryFailed(
            secondary.provider, secondary.redundancy_index, "its integrity hash is not that of the pieces sent"
        )
    assert job.object_id is not None
    document = ReceiptDoc(secondary.provider, job.object_id, receipt.integrity_hash)
    signer = signer_of(keccak256(document.sign_bytes()), receipt.signature)
    if signer != provider.approval:
        raise SignatureError(f"receipt of {secondary.provider} is not signed by its approval key")
