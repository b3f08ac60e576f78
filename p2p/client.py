"""The P2P node as the other services of its provider see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sp.domain.approvals import ObjectRef, SignedApproval
from sp.domain.ids import Address


@dataclass(frozen=True, slots=True)
class Accepted:
    """One provider's approval, its signature already verified. free_bytes: its own word, for placement."""

    approval: SignedApproval
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Approvals:
    """What a round of asking brought: who agreed, and why the others did not (provider, reason)."""

    accepted: tuple[Accepted, ...]
    refused: tuple[tuple[Address, str], ...]


@dataclass(frozen=True, slots=True)
class Peer:
    """Another provider as this one sees it. ping_us: round trip in microseconds; frozen_until_ms: 0 = not frozen."""

    operator: Address
    moniker: str
    p2p_endpoint: str
    in_service: bool
    reachable: bool
    ping_us: int
    height: int
    free_bytes: int
    accepting: bool
    frozen_until_ms: int
    failures: int
    last_error: str
    approvals_given: int
    approvals_refused: int
    version: str


class P2P(Protocol):
    async def get_approvals(
        self, wanted: ObjectRef, needed: int, spares: int, exclude: frozenset[Address]
    ) -> Approvals:
        """Ask every other provider in service (but the excluded and frozen ones) to keep a column of `wanted`, until
        needed + spares agreed or the deadline passed. TooFewApprovals with the refusals when fewer than `needed` did.
        One question per object at a time: a second caller joins the first one's round."""

    async def list_peers(self, ping: bool) -> list[Peer]:
        """All other registered providers; ping: ask each now."""

    async def report_peer(self, operator: Address, error: str | None) -> None:
        """How a provider did: an error freezes it for a while (longer each time), None clears it."""
