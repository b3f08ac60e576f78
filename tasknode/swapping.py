"""Filling vacancies: another provider takes a column over from one that leaves, and the chain is told.

What has been done is asked of the chain before anything is done again, so a crash after any step costs that step at
most: an approval is kept in the row; a successor that has its pieces says so when they are offered again, and signs
again; a transaction that was included is found on chain, and recorded.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random

from chain.client import Chain
from p2p.client import P2P
from receiver.client import Receipt, Receivers
from signer.client import Signer
from sp.domain.approvals import Approval, Offer, SignedApproval
from sp.domain.contents import Content, content_of, departed
from sp.domain.errors import (
    DeadlineExceeded,
    IntegrityMismatch,
    JobMoved,
    NoSuchObjectId,
    SpError,
    UnknownProvider,
)
from sp.domain.ids import Address
from sp.domain.integrity import expected_for
from sp.domain.jobs import Secondary, SecondaryState
from sp.domain.ledger import StorageProvider
from sp.domain.messages import MsgCompleteSwapIn
from sp.domain.swaps import SwapIn
from sp.runtime.clock import Clock
from sp.runtime.leases import kept
from sp.runtime.log import bound, get_logger
from sp.runtime.metrics import counter
from spdb.swap_ins import SwapIns
from tasknode.columns import Column, ColumnFeeder
from tasknode.config import TaskNodeConfig
from tasknode.onchain import OnChain
from tasknode.replicate import check_receipt
from tasknode.vacancies import VacancyFinder

SWAPPED = counter("sp_swap_ins_total", "Columns taken over from providers that leave", ["outcome"])

log = get_logger(__name__)


@dataclass(slots=True)
class _SuccessorFailed(Exception):
    """It is the successor's failure, so that another is chosen."""

    successor: Address
    error: SpError


@dataclass(slots=True)
class SwapCarrier:
    """A few at a time, behind everything else: `feeder` reads at a bounded rate and has a memory budget of its own."""

    swaps: SwapIns
    finder: VacancyFinder
    chain: Chain
    onchain: OnChain
    signer: Signer
    p2p: P2P
    receivers: Receivers
    feeder: ColumnFeeder
    clock: Clock
    random: Random
    config: TaskNodeConfig
    actor: str
    _rows_left: bool = True

    async def tick(self) -> bool:
        """Carry what is due. True when there was something."""
        leaving = await self.finder.leaving()
        if not leaving and not self._rows_left:
            return False
        due = await self.swaps.take(self.actor, self.config.lease_ms, self.config.swap_ins_at_once)
        self._rows_left = bool(leaving or due)
        async with asyncio.TaskGroup() as group:
            for swap in due:
                group.create_task(self._carry(swap), name=f"swap in for job {swap.job.id}")
        return bool(due)

    async def _carry(self, swap: SwapIn) -> None:
        async def renew() -> bool:
            return await self.swaps.renew(swap, self.actor, self.config.lease_ms)

        name, moved = f"swap in {swap.redundancy_index} of job {swap.job.id}", JobMoved(swap.job.id)
        try:
            with bound(job_id=swap.job.id, object_id=swap.job.object_id, column=swap.redundancy_index):
                async with kept(name, renew, self.config.lease_ms, self.clock, moved):
                    await self._fill(swap)
        except JobMoved:
            log.info("swap in taken over by another", job_id=swap.job.id)
        except _SuccessorFailed as failed:
            await self._blame(failed)
            await self._failed(swap, failed.error, another=True)
        except SpError as error:
            await self._failed(swap, error, another=False)

    async def _failed(self, swap: SwapIn, error: SpError, *, another: bool) -> None:
        """Never given up: without it the object stays one column short."""
        SWAPPED.labels("failed").inc()
        log.warning("column not taken over", job_id=swap.job.id, column=swap.redundancy_index, error=str(error))
        delay_ms = self.config.retry.delay_ms(swap.attempts + 1, self.random.random())
        await self.swaps.failed(swap, self.actor, str(error), self.clock.now_ms() + delay_ms, another=another)

    async def _blame(self, failed: _SuccessorFailed) -> None:
        try:
            await self.p2p.report_peer(failed.successor, str(failed.error))
        except SpError as error:  # its failure is in the row; that it is not frozen costs one more attempt
            log.warning("peer not reported", provider=failed.successor, error=str(error))

    # --- one column ---------------------------------------------------------------------------------------------------

    async def _fill(self, swap: SwapIn) -> None:
        content = await self._content(swap)
        if content is None:
            await self.swaps.forget(swap)
            return
        holder = content.secondaries[swap.redundancy_index]
        if not departed(holder, await self.chain.storage_providers()):
            await self._record(swap, await self._approval_of(swap, holder), _receipt_of(swap, holder), content)
            return
        approval = await self._successor(swap, content)
        receipt = await self._replicated(swap, approval, content)
        await self.swaps.signed(swap, self.actor, receipt.integrity_hash, receipt.signature)
        await self.onchain.included(await self.signer.submit(await self._message(swap, content, approval, receipt)))
        await self._record(swap, approval, receipt, content)

    async def _content(self, swap: SwapIn) -> Content | None:
        """The sealed content that the job holds; None when the chain has let go of it."""
        assert swap.job.object_id is not None
        try:
            content = content_of(await self.chain.head_object_by_id(swap.job.object_id), swap.job.version)
        except NoSuchObjectId:
            return None
        return content if content is not None and content.sealed else None

    async def _successor(self, swap: SwapIn, content: Content) -> SignedApproval:
        """The one that has agreed already, as long as that holds; else one that agrees now. TooFewApprovals."""
        if swap.approval is not None and await self._holds(swap.approval, content):
            return swap.approval
        others = frozenset(content.secondaries)
        approvals = await self.p2p.get_approvals(swap.job.object_ref(), 1, 0, others)
        chosen = approvals.accepted[0].approval
        await self.swaps.chosen(swap, self.actor, chosen)
        return chosen

    async def _holds(self, approval: SignedApproval, content: Content) -> bool:
        given = approval.approval
        height, now_s = (await self.chain.latest_block()).height, self.clock.now_ms() // 1000
        provider = (await self.chain.storage_providers()).get(given.approver)
        return (
            provider is not None
            and provider.in_service
            and given.approver not in content.secondaries
            and now_s < given.expires_at_s
            and height < given.expires_height
        )

    async def _replicated(self, swap: SwapIn, approval: SignedApproval, content: Content) -> Receipt:
        """The column is with the successor, which has signed for it: checked like any other receipt, and against the
        seal. _SuccessorFailed; anything else is our own failure."""
        successor = approval.approval.approver
        async with AsyncExitStack() as streams:
            try:
                column = await self._open(swap, approval, content, streams)
            except SpError as error:
                raise _SuccessorFailed(successor, error) from error
            await self.feeder.feed(swap.job, [column])
        if column.error is not None:
            raise _SuccessorFailed(successor, column.error) from column.error
        assert column.receipt is not None
        return column.receipt

    async def _open(self, swap: SwapIn, approval: SignedApproval, content: Content, streams: AsyncExitStack) -> Column:
        provider = (await self.chain.storage_providers()).get(approval.approval.approver)
        if provider is None:
            raise UnknownProvider(approval.approval.approver)
        offer = Offer(approval, swap.redundancy_index, self.clock.now_ms() // 1000)
        signature = await self.signer.sign(offer)
        config = self.config
        stream = self.receivers.replicate(provider.receiver_endpoint, offer, signature, config.group_timeout_s)
        try:
            async with asyncio.timeout(config.open_timeout_s):
                sender = await streams.enter_async_context(stream)
        except TimeoutError:
            raise DeadlineExceeded("the answer to an offer", int(config.open_timeout_s * 1000)) from None

        async def conclude(column: Column) -> SpError | None:
            return _objection(swap, approval, column, provider, content)

        return Column(swap.redundancy_index, sender, config.piece_timeout_s, conclude)

    async def _message(
        self, swap: SwapIn, content: Content, approval: SignedApproval, receipt: Receipt
    ) -> MsgCompleteSwapIn:
        assert swap.job.object_id is not None
        return MsgCompleteSwapIn(
            operator=(await self.signer.keys()).seal,
            bucket=swap.job.bucket,
            object_name=swap.job.object_name,
            object_id=swap.job.object_id,
            version=swap.job.version,
            redundancy_index=swap.redundancy_index,
            target_sp=content.secondaries[swap.redundancy_index],
            successor_sp=approval.approval.approver,
            signature=receipt.signature,
        )

    async def _record(self, swap: SwapIn, approval: SignedApproval, receipt: Receipt | None, content: Content) -> None:
        successor = approval.approval.approver
        row = Secondary(
            swap.job.id,
            swap.redundancy_index,
            successor,
            approval,
            SecondaryState.DONE,
            expected_for(content.checksums, swap.redundancy_index),
            receipt.signature if receipt is not None else None,
            attempts=swap.attempts + 1,
            started_at_ms=swap.created_at_ms,
            ended_at_ms=self.clock.now_ms(),
        )
        if await self.swaps.done(swap, row, self.actor):
            SWAPPED.labels("done").inc()
            log.info("column taken over", job_id=swap.job.id, column=swap.redundancy_index, successor=successor)

    async def _approval_of(self, swap: SwapIn, holder: Address) -> SignedApproval:
        """The one that is kept, or an empty one of a holder that we know from the chain alone: a transaction of an
        attempt with an earlier successor has landed late."""
        if swap.approval is not None and swap.successor == holder:
            return swap.approval
        me = (await self.signer.keys()).operator
        return SignedApproval(Approval(swap.job.object_ref(), me, holder, 0, 0), b"")


def _receipt_of(swap: SwapIn, holder: Address) -> Receipt | None:
    if swap.successor != holder or swap.integrity_hash is None or swap.signature is None:
        return None
    return Receipt(swap.integrity_hash, swap.signature)


def _objection(
    swap: SwapIn, approval: SignedApproval, column: Column, provider: StorageProvider, content: Content
) -> SpError | None:
    """What is wrong with a successor's receipt."""
    assert column.receipt is not None
    expected = expected_for(content.checksums, swap.redundancy_index)
    secondary = Secondary(swap.job.id, swap.redundancy_index, provider.operator, approval, SecondaryState.REPLICATING)
    try:
        check_receipt(swap.job, secondary, column.receipt, column.integrity_hash, provider)
        if column.integrity_hash != expected:
            raise IntegrityMismatch(swap.redundancy_index, expected.hex(), column.integrity_hash.hex())
    except SpError as error:
        return error
    return None
