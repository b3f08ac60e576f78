"""One round of asking: the same signed question to every candidate, until enough agreed or time is up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from chain.client import Chain
from p2p.client import Accepted, Approvals, OtherPeers
from p2p.config import P2PConfig
from p2p.policy import objection
from signer.client import Signer
from sp.crypto.hashing import keccak256
from sp.domain.addresses import signer_of
from sp.domain.approvals import ApprovalRequest, ObjectRef
from sp.domain.errors import (
    ApprovalRefused,
    DeadlineExceeded,
    Kind,
    SignatureError,
    SpError,
    TooFewApprovals,
    TooFewReachable,
)
from sp.domain.ids import Address, Signature
from sp.domain.jobs import PeerRecord
from sp.domain.ledger import StorageProvider
from sp.runtime.clock import Clock
from sp.runtime.log import get_logger
from sp.runtime.metrics import counter
from spdb.peers import Peers

_REASON_CHARS = 200
_REFUSALS_CHARS = 2000

ASKED = counter("sp_p2p_asked_total", "Answers of other providers to our questions for an approval", ["outcome"])

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Whom a round may ask: `fresh` first, `frozen` ones only as the last resort, `silent` ones not: they are frozen,
    and did not answer the last resort of another round a moment ago. left_out: not asked, and why."""

    fresh: tuple[StorageProvider, ...]
    frozen: tuple[StorageProvider, ...]
    silent: tuple[StorageProvider, ...]
    left_out: tuple[tuple[Address, str], ...]


def candidates(
    providers: Iterable[StorageProvider],
    records: dict[Address, PeerRecord],
    me: Address,
    exclude: frozenset[Address],
    now_ms: int,
    busy_until_ms: Mapping[Address, int] = MappingProxyType({}),
    silent: frozenset[Address] = frozenset(),
) -> Candidates:
    """Pure: every other provider is in exactly one of the four; one that was busy a moment ago counts as frozen."""
    fresh: list[StorageProvider] = []
    frozen: list[StorageProvider] = []
    still: list[StorageProvider] = []
    left_out: list[tuple[Address, str]] = []
    for provider in providers:
        record = records.get(provider.operator)
        if provider.operator == me:
            continue
        if provider.operator in exclude:
            left_out.append((provider.operator, "excluded by the caller"))
        elif not provider.in_service:
            left_out.append((provider.operator, f"not in service: {provider.status.name}"))
        elif record and record.frozen_until_ms > now_ms:
            (still if provider.operator in silent else frozen).append(provider)
        elif busy_until_ms.get(provider.operator, 0) > now_ms:
            frozen.append(provider)
        else:
            fresh.append(provider)
    return Candidates(tuple(fresh), tuple(frozen), tuple(still), tuple(left_out))


@dataclass(frozen=True, slots=True)
class Asking:
    """What rounds have in common.

    busy_until_ms: who said a moment ago that it is at its limit, and until when it is not asked where others are enough
    well_ms: when the last success of a provider was recorded; without those that have failed since
    failed_s: when a failure of a provider was recorded last, by the monotonic clock
    silent_s: when a provider last did not answer a question, or not as it should, by the same
    """

    chain: Chain
    signer: Signer
    peers: OtherPeers
    records: Peers
    clock: Clock
    random: random.Random
    config: P2PConfig
    busy_until_ms: dict[Address, int] = field(default_factory=dict)
    well_ms: dict[Address, int] = field(default_factory=dict)
    failed_s: dict[Address, float] = field(default_factory=dict)
    silent_s: dict[Address, float] = field(default_factory=dict)

    async def round(self, wanted: ObjectRef, needed: int, spares: int, exclude: frozenset[Address]) -> Approvals:
        """TooFewApprovals, with every provider's reason; TooFewReachable, without having asked anybody."""
        me = (await self.signer.keys()).operator
        records = {record.provider: record for record in await self.records.all()}
        providers = (await self.chain.storage_providers()).values()
        chosen = candidates(
            providers, records, me, exclude, self.clock.now_ms(), self.busy_until_ms, self._silent_now()
        )
        if len(chosen.fresh) + len(chosen.frozen) < needed:
            raise TooFewReachable(needed, _text(_unasked(chosen, records)))
        nonce = f"{self.random.getrandbits(128):032x}"
        question = ApprovalRequest(wanted, me, self.clock.now_ms() // 1000, nonce)
        height = (await self.chain.latest_block()).height
        running = _Round(self, question, await self.signer.sign(question), height, needed, spares)
        try:
            async with asyncio.timeout(self.config.round_timeout_s):
                await running.run(chosen)
        except TimeoutError:
            log.info("round out of time", object_id=wanted.object_id, accepted=len(running.accepted))
        if running.answered:
            await _recorded(self.records.count_approvals(running.answered))
        return running.result(chosen, records)

    def _silent_now(self) -> frozenset[Address]:
        since_s = self.clock.monotonic_s() - self.config.silent_pause_s
        return frozenset(provider for provider, at_s in self.silent_s.items() if at_s > since_s)

    def busy(self, provider: Address) -> None:
        """No fault, so nothing is recorded: it is left alone for a moment, not the same one by all who were told."""
        pause_ms = int(1000 * self.config.busy_pause_s * (1 - self.random.random() / 2))
        self.busy_until_ms[provider] = self.clock.now_ms() + pause_ms

    async def failed(self, provider: Address, error: str, asked_s: float | None = None) -> None:
        """Record a failure and leave the provider alone for a while, longer each time in a row. Of many questions that
        were under way at once when it failed, only one failure counts. asked_s: monotonic time of the question"""
        if asked_s is not None and asked_s < self.failed_s.get(provider, 0.0):
            return
        self.failed_s[provider] = self.clock.monotonic_s()
        self.well_ms.pop(provider, None)
        known = {record.provider: record.failures for record in await self.records.all()}
        frozen_until_ms = self.clock.now_ms() + self.config.freeze_ms(known.get(provider, 0) + 1)
        await self.records.record_failure(provider, error[:_REASON_CHARS], frozen_until_ms)
        log.warning("peer frozen", provider=provider, error=error[:_REASON_CHARS], frozen_until_ms=frozen_until_ms)


@dataclass(slots=True)
class _Round:
    """One question on its way.

    height: of the chain when it started; answered: who has agreed (True) or refused, to be recorded at the end
    """

    asking: Asking
    question: ApprovalRequest
    signature: Signature
    height: int
    needed: int
    spares: int
    accepted: list[Accepted] = field(default_factory=list)
    refused: dict[Address, str] = field(default_factory=dict)
    asked: list[Address] = field(default_factory=list)
    answered: dict[Address, bool] = field(default_factory=dict)

    async def run(self, chosen: Candidates) -> None:
        """Frozen providers are asked when the others cannot be enough, or were not."""
        first, then = list(chosen.fresh), list(chosen.frozen)
        if len(first) < self.needed:
            first, then = first + then, []
        await self._ask_all(first)
        if len(self.accepted) < self.needed:
            await self._ask_all(then)

    def result(self, chosen: Candidates, records: dict[Address, PeerRecord]) -> Approvals:
        reasons = self._reasons(chosen, records)
        if len(self.accepted) < self.needed:
            raise TooFewApprovals(len(self.accepted), self.needed, _text(reasons))
        return Approvals(tuple(self.accepted), tuple(reasons.items()))

    @property
    def _enough(self) -> bool:
        return len(self.accepted) >= self.needed + self.spares

    def _reasons(self, chosen: Candidates, records: dict[Address, PeerRecord]) -> dict[Address, str]:
        agreed = {accepted.approval.approval.approver for accepted in self.accepted}
        silent = "not waited for" if self._enough else "no answer in time"
        reasons = dict.fromkeys(self.asked, silent) | self.refused
        for provider in (*chosen.frozen, *chosen.silent):
            if provider.operator not in reasons:
                reasons[provider.operator] = _why_frozen(records.get(provider.operator))
        reasons |= dict(chosen.left_out)
        return {provider: reason for provider, reason in reasons.items() if provider not in agreed}

    async def _ask_all(self, providers: Sequence[StorageProvider]) -> None:
        """In an order of chance, so that the same few are not always the first to be heard."""
        order = self.asking.random.sample(providers, len(providers))
        places = asyncio.Semaphore(self.asking.config.parallel_asks)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._ask_in_turn(provider, places)) for provider in order]
            for task in tasks:
                task.add_done_callback(lambda _: self._leave_stragglers(tasks))

    def _leave_stragglers(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        if self._enough:
            for task in tasks:
                task.cancel()

    async def _ask_in_turn(self, provider: StorageProvider, places: asyncio.Semaphore) -> None:
        async with places:
            self.asked.append(provider.operator)
            await self._ask(provider)

    async def _ask(self, provider: StorageProvider) -> None:
        operator = provider.operator
        timeout_s, asked_s = self.asking.config.ask_timeout_s, self.asking.clock.monotonic_s()
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self.asking.peers.ask(provider.p2p_endpoint, self.question, self.signature)
            self._check(provider, answer)
        except ApprovalRefused as refusal:
            self.refused[operator] = refusal.reason[:_REASON_CHARS]
            ASKED.labels("refused").inc()
            self.answered[operator] = False
        except TimeoutError:
            await self._blame(operator, DeadlineExceeded(provider.p2p_endpoint, int(timeout_s * 1000)), asked_s)
        except SpError as error:
            if error.kind is Kind.BUSY:
                self.refused[operator] = f"busy: {error}"[:_REASON_CHARS]
                ASKED.labels("busy").inc()
                self.asking.busy(operator)
            else:
                await self._blame(operator, error, asked_s)
        else:
            self.accepted.append(answer)
            ASKED.labels("accepted").inc()
            self.answered[operator] = True

    def _check(self, provider: StorageProvider, answer: Accepted) -> None:
        """SignatureError unless this is the provider's own word on exactly this question."""
        approval = answer.approval.approval
        now_s = self.asking.clock.now_ms() // 1000
        wrong = objection(approval, self.question, provider, now_s, self.height)
        if wrong:
            raise SignatureError(wrong)
        if signer_of(keccak256(approval.sign_bytes()), answer.approval.signature) != provider.approval:
            raise SignatureError("not signed by the approver's approval key")

    async def _blame(self, provider: Address, error: SpError, asked_s: float) -> None:
        ASKED.labels(type(error).__name__).inc()
        self.refused[provider] = f"{type(error).__name__}: {error}"[:_REASON_CHARS]
        self.asking.silent_s[provider] = self.asking.clock.monotonic_s()
        await _recorded(self.asking.failed(provider, str(error), asked_s))


def _text(reasons: Mapping[Address, str]) -> str:
    text = "; ".join(f"{provider} {reason}" for provider, reason in reasons.items())
    return text[:_REFUSALS_CHARS] or "there is nobody to ask"


def _unasked(chosen: Candidates, records: Mapping[Address, PeerRecord]) -> dict[Address, str]:
    """Why nobody was asked: everyone together would be too few."""
    reasons = {each.operator: _why_frozen(records.get(each.operator)) for each in chosen.silent}
    for each in (*chosen.fresh, *chosen.frozen):
        reasons[each.operator] = "not asked: with it there are too few"
    return reasons | dict(chosen.left_out)


def _why_frozen(record: PeerRecord | None) -> str:
    if record is None or not record.failures:
        return "busy a moment ago"
    return f"frozen after {record.failures} failures: {record.last_error}"


async def _recorded(writing: Awaitable[None]) -> None:
    """A round goes on without its records: whoever agreed has agreed."""
    try:
        await writing
    except SpError as error:
        log.warning("peer record not written", error=str(error))
