"""Who sends a request: the interface of all signature schemes, and what they find out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.auth.sigv4_chunks import ChunkSeed
from gateway.errors import UnsupportedScheme
from gateway.request import RequestHead
from sp.domain.ids import Address, Checksum


@dataclass(frozen=True, slots=True)
class BodyCheck:
    """What a scheme promises of the body.

    sha256: of the whole body, or None when it is not signed as a whole
    chunks: what signatures inside the body start from, or None when there are none
    """

    sha256: Checksum | None = None
    chunks: ChunkSeed | None = None


UNSIGNED = BodyCheck()


@dataclass(frozen=True, slots=True)
class Identity:
    """account: None for an anonymous request. custodial: our Signer keeps its key and acts for it."""

    account: Address | None
    scheme: str
    custodial: bool = False
    body_check: BodyCheck = UNSIGNED


class Scheme(Protocol):
    def recognises(self, head: RequestHead) -> bool:
        """Whether the request claims to be signed in this way (or, anonymous, in none). Looks at the head only."""

    async def authenticate(self, head: RequestHead, now_s: int) -> Identity:
        """Who signed it, or a typed refusal. now_s: unix seconds."""


@dataclass(frozen=True, slots=True)
class Authenticator:
    """The schemes in the order in which they are asked; the first that recognises a request decides."""

    schemes: Sequence[Scheme]

    async def authenticate(self, head: RequestHead, now_s: int) -> Identity:
        for scheme in self.schemes:
            if scheme.recognises(head):
                return await scheme.authenticate(head, now_s)
        raise UnsupportedScheme(head.header("authorization").partition(" ")[0][:64])
