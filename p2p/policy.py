"""Whether this provider takes a column of someone's object: pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sp.domain.approvals import Approval, ApprovalRequest, ObjectRef
from sp.domain.contents import Content, contradiction, same_cut
from sp.domain.errors import InvalidRequest
from sp.domain.ids import Address
from sp.domain.ledger import Bucket, ChainObject, StorageProvider
from sp.domain.params import StorageParams
from sp.domain.segments import group_size

_NONCE: Final = re.compile(r"[0-9a-f]{32}")
_MIN_LIFETIME_BLOCKS: Final = 900
_MIB: Final = 1024 * 1024
MAX_OBJECT_ID: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator has decided (see P2PConfig)."""

    max_object_bytes: int
    reserve_bytes: int
    blocked_buckets: frozenset[str]
    blocked_providers: frozenset[Address]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known when a question is judged.

    closed: why nothing is taken now, or ""
    bucket, found, content: as the chain has them, None where it does not know them
    params: the chain's for this content, or the present ones where it does not know it
    vacant: it is sealed, and one of its secondaries leaves; keeping: it is sealed with this provider
    """

    closed: str
    free_bytes: int
    params: StorageParams
    bucket: Bucket | None
    found: ChainObject | None
    content: Content | None
    vacant: bool = False
    keeping: bool = False


def check_sizes(request: ApprovalRequest, signature: bytes) -> None:
    """The limits of proto/common.proto; InvalidRequest. First of all checks: nothing else is worth doing before."""
    ref = request.object
    if len(signature) != 65 or not _NONCE.fullmatch(request.nonce):
        raise InvalidRequest("a signature has 65 bytes and a nonce 32 lower-case hex digits")
    check_ref_sizes(ref)


def check_ref_sizes(ref: ObjectRef) -> None:
    if not 1 <= ref.object_id <= MAX_OBJECT_ID or not 0 <= ref.version < 2**31:
        raise InvalidRequest("object id or version out of bounds")
    if not 3 <= len(ref.bucket.encode()) <= 63 or not 1 <= len(ref.object_name.encode()) <= 1024:
        raise InvalidRequest("bucket or object name too short or too long")
    if not 1 <= ref.payload_size < 2**63:
        raise InvalidRequest("payload size out of bounds")


def refusal(request: ApprovalRequest, rules: Rules, facts: Facts) -> str:
    """Why this provider does not take the object, in words for the asker; "" when it does."""
    ref = request.object
    need_bytes = group_size(ref.payload_size, ref.params.max_segment_size, ref.params.data_chunks)
    if facts.closed:
        return f"not accepting: {facts.closed}"
    if request.asker in rules.blocked_providers or ref.bucket in rules.blocked_buckets:
        return "blocked"
    if rules.max_object_bytes and ref.payload_size > rules.max_object_bytes:
        return f"too large: at most {rules.max_object_bytes} bytes"
    if ref.payload_size > facts.params.max_payload_size:
        return "too large for the chain"
    if not same_cut(facts.params, ref.params):
        return "its storage parameters are not the chain's"
    if facts.free_bytes < need_bytes + rules.reserve_bytes:
        return "full"
    return _refusal_by_chain(request, facts)


def _refusal_by_chain(request: ApprovalRequest, facts: Facts) -> str:
    """What the chain does not know yet is not held against the asker: our view of it may lag behind."""
    if facts.bucket is not None and facts.bucket.primary_sp != request.asker:
        return "the asker is not the primary of the bucket"
    if facts.found is None:
        return ""
    if facts.content is None:
        return "superseded or discontinued" if request.object.version <= facts.found.version else ""
    if facts.content.sealed and not facts.vacant:
        return "sealed already"
    if facts.keeping:
        return "keeping another column of it"
    return contradiction(facts.found, facts.content, request.object)


def approval_for(request: ApprovalRequest, me: Address, now_s: int, height: int, lifetime_s: int) -> Approval:
    """Ends after `lifetime_s`, or the blocks that upstream gives (GREENFIELD.md 4.2), whichever comes first."""
    blocks = max(_MIN_LIFETIME_BLOCKS, request.object.payload_size // 5 // _MIB // 8 + 100)
    return Approval(request.object, request.asker, me, now_s + lifetime_s, height + blocks)


def objection(approval: Approval, question: ApprovalRequest, approver: StorageProvider, now_s: int, height: int) -> str:
    """What is wrong with an answer, its signature apart; "" when it is what was asked for."""
    if approval.object != question.object:
        return "approval for another object"
    if approval.asker != question.asker:
        return "approval for another asker"
    if approval.approver != approver.operator:
        return "approval of another provider"
    if approval.expires_at_s <= now_s or approval.expires_height <= height:
        return "approval expired"
    return ""
