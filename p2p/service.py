"""Find other providers that will keep an object's columns, and answer their questions.

Owns:  what this provider remembers of the others (failures, freezes, last ping), and the rounds of asking under way.
Never: chooses secondaries (the task node does), moves payload, sees a private key.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from chain.client import Chain
from p2p.answering import Answering
from p2p.asking import Asking
from p2p.client import Approvals, OtherPeers, Peer, PeerStatus
from signer.client import Signer
from sp.domain.approvals import ApprovalRequest, ObjectRef, SignedApproval
from sp.domain.errors import InvalidRequest, SpError, UnknownProvider
from sp.domain.ids import Address, ObjectId
from sp.domain.jobs import PeerRecord
from sp.domain.ledger import StorageProvider
from sp.runtime.clock import Clock
from sp.runtime.log import get_logger
from spdb.peers import Peers

MAX_SPARES = 32
SUCCESS_FRESH_MS = 1000
"""A success is not recorded again when the last one of that provider, with no failure since, is younger than this."""

_ERROR_CHARS = 1024

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Wish:
    needed: int
    spares: int
    exclude: frozenset[Address]


@dataclass(slots=True)
class _Shared:
    """A round and the callers who wait for it; with the last of them it is cancelled."""

    wish: _Wish
    task: asyncio.Task[Approvals]
    callers: int = 0


@dataclass(frozen=True, slots=True)
class _Seen:
    """The last ping. status None: no answer."""

    status: PeerStatus | None
    ping_us: int


@dataclass(frozen=True, slots=True)
class P2PService:
    """See p2p.client.P2P for what each method promises."""

    chain: Chain
    signer: Signer
    peers: OtherPeers
    records: Peers
    clock: Clock
    asking: Asking
    answering: Answering
    _rounds: dict[tuple[ObjectId, int], _Shared] = field(default_factory=dict)
    _seen: dict[Address, _Seen] = field(default_factory=dict)

    async def answer(self, request: ApprovalRequest, signature: bytes) -> tuple[SignedApproval, int]:
        return await self.answering.answer(request, signature)

    async def status(self) -> PeerStatus:
        return await self.answering.status()

    async def get_approvals(
        self, wanted: ObjectRef, needed: int, spares: int, exclude: frozenset[Address]
    ) -> Approvals:
        """A caller with other wishes for the same object waits until the round under way has ended."""
        if needed < 1 or not 0 <= spares <= MAX_SPARES:
            raise InvalidRequest(f"needed is at least 1 and spares 0 to {MAX_SPARES}")
        wish, key = _Wish(needed, spares, exclude), (wanted.object_id, wanted.version)
        while (shared := self._rounds.get(key)) is not None and shared.wish != wish:
            await asyncio.wait([shared.task])
        if shared is None:
            round_ = self.asking.round(wanted, needed, spares, exclude)
            shared = _Shared(wish, asyncio.create_task(round_, name=f"approvals for object {wanted.object_id}"))
            self._rounds[key] = shared
            shared.task.add_done_callback(lambda _: self._forget(key, shared))
        return await self._join(key, shared)

    async def list_peers(self, ping: bool) -> list[Peer]:
        if ping:
            await self.ping_all()
        me = (await self.signer.keys()).operator
        records = {record.provider: record for record in await self.records.all()}
        providers = (await self.chain.storage_providers()).values()
        others = [provider for provider in providers if provider.operator != me]
        return [self._peer(provider, records.get(provider.operator)) for provider in others]

    async def report_peer(self, operator: Address, error: str | None) -> None:
        if operator not in await self.chain.storage_providers():
            raise UnknownProvider(operator)
        if error is not None:
            await self.asking.failed(operator, error[:_ERROR_CHARS])
        elif self.clock.now_ms() - self.asking.well_ms.get(operator, 0) >= SUCCESS_FRESH_MS:
            await self._succeeded(operator)

    async def _succeeded(self, operator: Address) -> None:
        self.asking.well_ms[operator] = self.clock.now_ms()  # first: a failure meanwhile takes it away
        try:
            await self.records.record_success(operator)
        except SpError:
            self.asking.well_ms.pop(operator, None)
            raise

    async def ping_all(self) -> None:
        """Every other provider, the unreachable ones up to their deadline."""
        me = (await self.signer.keys()).operator
        providers = (await self.chain.storage_providers()).values()
        places = asyncio.Semaphore(self.asking.config.parallel_asks)
        async with asyncio.TaskGroup() as group:
            for provider in providers:
                if provider.operator != me:
                    group.create_task(self._ping(provider, places))

    async def _ping(self, provider: StorageProvider, places: asyncio.Semaphore) -> None:
        status: PeerStatus | None = None
        async with places:
            started_s = self.clock.monotonic_s()
            with suppress(SpError, TimeoutError):  # what does not answer is unreachable: that is the result
                async with asyncio.timeout(self.asking.config.ask_timeout_s):
                    status = await self.peers.ping(provider.p2p_endpoint)
            took_s = self.clock.monotonic_s() - started_s
        if status is not None and status.operator != provider.operator:
            log.warning("peer is another", provider=provider.operator, says=status.operator)
            status = None
        self._seen[provider.operator] = _Seen(status, int(took_s * 1_000_000) if status else 0)

    def _peer(self, provider: StorageProvider, record: PeerRecord | None) -> Peer:
        seen = self._seen.get(provider.operator, _Seen(None, 0))
        status = seen.status
        frozen_until_ms = record.frozen_until_ms if record else 0
        return Peer(
            operator=provider.operator,
            moniker=provider.moniker,
            p2p_endpoint=provider.p2p_endpoint,
            in_service=provider.in_service,
            reachable=status is not None,
            ping_us=seen.ping_us,
            height=status.height if status else 0,
            free_bytes=status.free_bytes if status else 0,
            accepting=status.accepting if status else False,
            frozen_until_ms=frozen_until_ms if frozen_until_ms > self.clock.now_ms() else 0,
            failures=record.failures if record else 0,
            last_error=record.last_error if record else "",
            approvals_given=record.approvals_given if record else 0,
            approvals_refused=record.approvals_refused if record else 0,
            version=status.version if status else "",
        )

    async def _join(self, key: tuple[ObjectId, int], shared: _Shared) -> Approvals:
        shared.callers += 1
        try:
            return await asyncio.shield(shared.task)
        finally:
            shared.callers -= 1
            if not shared.callers and not shared.task.done():
                self._forget(key, shared)  # nobody may join a round that is being called off
                shared.task.cancel()
                await asyncio.wait([shared.task])

    def _forget(self, key: tuple[ObjectId, int], shared: _Shared) -> None:
        if self._rounds.get(key) is shared:
            del self._rounds[key]
