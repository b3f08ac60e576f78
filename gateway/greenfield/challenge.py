"""Proof that this provider holds a piece: validators ask for it (REAL-NETWORK 5.12)."""

from __future__ import annotations

from dataclasses import dataclass

from downloader.client import Downloader
from gateway.access import Access
from gateway.auth.scheme import Identity
from gateway.request import RequestHead
from sp.domain.challenges import Challenge
from sp.domain.errors import AccessDenied, InvalidRequest
from sp.domain.ids import ObjectId, RedundancyIndex, SegmentIndex
from sp.domain.ledger import Action

_MAX_DIGITS = 19


@dataclass(frozen=True, slots=True)
class ChallengeQuestion:
    """redundancy_index: -1 for a whole segment of the primary"""

    object_id: ObjectId
    redundancy_index: RedundancyIndex
    segment: SegmentIndex


def challenge_question(head: RequestHead) -> ChallengeQuestion:
    """From three headers, of which the first is not signed. InvalidRequest."""
    return ChallengeQuestion(
        ObjectId(_header(head, "x-gnfd-object-id", 1)),
        RedundancyIndex(_header(head, "x-gnfd-redundancy-index", -1)),
        SegmentIndex(_header(head, "x-gnfd-piece-index", 0)),
    )


@dataclass(frozen=True, slots=True)
class Challenges:
    access: Access
    downloader: Downloader

    async def answer(self, identity: Identity, question: ChallengeQuestion) -> Challenge:
        """For whoever may read the object, and for the operators of registered providers. NoSuchObjectId, AccessDenied,
        PieceNotFound."""
        found = await self.access.view.chain.head_object_by_id(question.object_id)
        if identity.account not in await self.access.view.chain.storage_providers():
            allowed = await self.access.view.allowed(identity.account, found.bucket, found.name, Action.GET_OBJECT)
            if not allowed:
                raise AccessDenied(identity.account or identity.scheme, "CHALLENGE", f"{found.bucket}/{found.name}")
        return await self.downloader.challenge(question.object_id, question.redundancy_index, question.segment)


def _header(head: RequestHead, name: str, least: int) -> int:
    text = head.header(name)
    digits = text.removeprefix("-") if least < 0 else text
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS) or int(text) < least:
        raise InvalidRequest(f"{name} is no number, or too small")
    return int(text)
