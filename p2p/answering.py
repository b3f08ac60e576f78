"""The side of the P2P node that other providers talk to: will you keep a column of this object?"""

from __future__ import annotations

from dataclasses import dataclass

from chain.client import Chain
from p2p.client import PeerStatus
from p2p.policy import Facts, Rules, approval_for, check_sizes, refusal
from p2p.replay import SeenNonces
from piecestore.store import PieceStore
from signer.client import Signer
from sp.crypto.hashing import keccak256
from sp.domain.addresses import signer_of
from sp.domain.approvals import ApprovalRequest, SignedApproval, check_age
from sp.domain.contents import content_of, leaving
from sp.domain.errors import ApprovalRefused, NoSuchBucket, NoSuchObjectId, SignatureError, UnknownProvider
from sp.domain.ids import Address
from sp.domain.ledger import Bucket, ChainObject
from sp.runtime.clock import Clock
from sp.runtime.limits import Slots, SlotsBySender
from sp.runtime.log import get_logger
from sp.runtime.metrics import counter

ANSWERS = counter("sp_p2p_answers_total", "Questions of other providers for an approval", ["outcome"])

log = get_logger(__name__)


@dataclass(slots=True)
class Door:
    """Whether new objects are taken; `reason` says why not. Turned at run time by the operator, and by tests."""

    reason: str = ""

    def close(self, reason: str) -> None:
        self.reason = reason

    def open(self) -> None:
        self.reason = ""


@dataclass(frozen=True, slots=True)
class Answering:
    """Checks in the order of docs/design.md 10, then the operator's rules; never trusts a field that is not signed."""

    chain: Chain
    store: PieceStore
    signer: Signer
    clock: Clock
    rules: Rules
    door: Door
    seen: SeenNonces
    lifetime_s: int
    version: str
    questions: Slots
    questions_each: SlotsBySender

    async def answer(self, request: ApprovalRequest, signature: bytes) -> tuple[SignedApproval, int]:
        """An approval and the free bytes of this provider. InvalidRequest, UnknownProvider, SignatureError,
        ApprovalRefused with the reason. Overloaded: too many at once, in all or of this asker, who has proved who it
        is by then: nobody can use up another's share."""
        check_sizes(request, signature)
        with self.questions.slot():
            me = (await self.signer.keys()).operator
            await self._check_asker(request, signature, me)
            with self.questions_each.of(request.asker).slot():
                return await self._answer(request, me)

    async def _answer(self, request: ApprovalRequest, me: Address) -> tuple[SignedApproval, int]:
        facts = await self._facts(request, me)
        reason = refusal(request, self.rules, facts)
        if reason:
            log.info("approval refused", object_id=request.object.object_id, asker=request.asker, reason=reason)
            ANSWERS.labels("refused").inc()
            raise ApprovalRefused(me, reason)
        height = (await self.chain.latest_block()).height
        approval = approval_for(request, me, self._now_s(), height, self.lifetime_s)
        ANSWERS.labels("given").inc()
        return SignedApproval(approval, await self.signer.sign(approval)), facts.free_bytes

    async def status(self) -> PeerStatus:
        me = (await self.signer.keys()).operator
        height = (await self.chain.latest_block()).height
        return PeerStatus(me, height, await self.store.free_bytes(), not self.door.reason, self.version)

    async def _check_asker(self, request: ApprovalRequest, signature: bytes, me: Address) -> None:
        asker = (await self.chain.storage_providers()).get(request.asker)
        if asker is None or not asker.serving or asker.operator == me:
            raise UnknownProvider(request.asker)
        if signer_of(keccak256(request.sign_bytes()), signature) != asker.operator:
            raise SignatureError("not signed by the asker")
        check_age(request.asked_at_s, self._now_s())
        self.seen.add(request.asker, request.nonce, self._now_s())

    async def _facts(self, request: ApprovalRequest, me: Address) -> Facts:
        ref = request.object
        bucket, found = await self._bucket(ref.bucket), await self._object(request)
        content = content_of(found, ref.version) if found else None
        if found is not None and content is None:  # the asker may have heard of its block before us
            found = await self._object(request, newest=True)
            content = content_of(found, ref.version) if found else None
        params_time = content.params_time if content else (await self.chain.latest_block()).time_s
        return Facts(
            self.door.reason,
            await self.store.free_bytes(),
            await self.chain.params_at(params_time),
            bucket,
            found,
            content,
            vacant=content is not None and bool(leaving(content, await self.chain.storage_providers())),
            keeping=content is not None and me in content.secondaries,
        )

    async def _bucket(self, name: str) -> Bucket | None:
        try:
            return await self.chain.head_bucket(name)
        except NoSuchBucket:
            return None

    async def _object(self, request: ApprovalRequest, *, newest: bool = False) -> ChainObject | None:
        try:
            return await self.chain.head_object_by_id(request.object.object_id, newest=newest)
        except NoSuchObjectId:
            return None

    def _now_s(self) -> int:
        return self.clock.now_ms() // 1000
