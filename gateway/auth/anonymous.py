"""Requests that claim nothing: they may read what is public."""

from __future__ import annotations

from gateway.auth.scheme import Identity
from gateway.request import RequestHead

SCHEME = "anonymous"
NOBODY = Identity(None, SCHEME)


class Anonymous:
    def recognises(self, head: RequestHead) -> bool:
        """True without an Authorization header, or with an empty one. Signatures in the query are recognised by schemes
        asked before."""
        return not head.header("authorization").strip()

    async def authenticate(self, head: RequestHead, now_s: int) -> Identity:
        return NOBODY
