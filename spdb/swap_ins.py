"""Columns of this primary's sealed objects that other providers take over from those who leave.

Each method is one transaction. `swap` arguments are the caller's reading of a row; `owner` is who has leased it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sp.domain.approvals import SignedApproval
from sp.domain.ids import Address, Checksum, JobId, Signature
from sp.domain.jobs import Secondary
from sp.domain.swaps import SwapIn, Vacancy
from spdb.database import Clock, Database
from spdb.statements import swap_ins as statements


@dataclass(frozen=True, slots=True)
class SwapIns:
    db: Database
    clock: Clock

    async def vacancies(self, at: int, limit: int, leaving: Collection[Address]) -> tuple[list[Vacancy], JobId | None]:
        """Of the next `limit` jobs from id `at` on: columns of sealed puts that are with one of these providers. And
        the id to go on from, None at the end."""
        return await self.db.read(lambda c: statements.vacancies(c, at, limit, leaving))

    async def plan(self, found: Sequence[Vacancy]) -> int:
        """Note them as work to be done; those that are noted already stay as they are. How many are new."""
        now = self.clock.now_ms()
        return await self.db.write(lambda c: statements.plan(c, found, now))

    async def take(self, owner: str, lease_ms: int, limit: int) -> list[SwapIn]:
        """Lease up to `limit` that are due, the longest due first, one of each object."""
        now = self.clock.now_ms()
        return await self.db.write(lambda c: statements.take(c, owner, lease_ms, limit, now))

    async def renew(self, swap: SwapIn, owner: str, lease_ms: int) -> bool:
        """Keep it for `lease_ms` from now. False: another has taken it, or it is done."""
        until = self.clock.now_ms() + lease_ms
        return await self.db.write(lambda c: statements.renew(c, swap, owner, until))

    async def chosen(self, swap: SwapIn, owner: str, approval: SignedApproval) -> None:
        """A successor has agreed. JobMoved when the lease is lost."""
        await self.db.write(lambda c: statements.chosen(c, swap, owner, approval))

    async def signed(self, swap: SwapIn, owner: str, integrity_hash: Checksum, signature: Signature) -> None:
        """The successor's receipt is verified. JobMoved when the lease is lost."""
        await self.db.write(lambda c: statements.signed(c, swap, owner, integrity_hash, signature))

    async def failed(self, swap: SwapIn, owner: str, error: str, next_attempt_at_ms: int, *, another: bool) -> None:
        """Back to the queue until then. another: with another successor. Nothing when the lease is lost."""
        await self.db.write(lambda c: statements.failed(c, swap, owner, error, next_attempt_at_ms, another=another))

    async def forget(self, swap: SwapIn) -> None:
        """There is nothing left to take over. Nothing when that is known."""
        await self.db.write(lambda c: statements.forget(c, swap))

    async def done(self, swap: SwapIn, successor: Secondary, actor: str) -> bool:
        """The chain says that the column is with `successor` (DONE): the job's rows and its history say so from now on.
        False when they did already, or the put is sealed here no more."""
        now = self.clock.now_ms()
        return await self.db.write(lambda c: statements.done(c, swap, successor, actor, now))

    async def waiting(self, limit: int) -> list[SwapIn]:
        """What is to be done, the oldest first."""
        return await self.db.read(lambda c: statements.waiting(c, limit))

    async def counts(self) -> dict[Address, int]:
        """How many columns are still to be taken over from whom."""
        return await self.db.read(statements.counts)
