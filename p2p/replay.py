"""Which questions were seen already."""

from __future__ import annotations

from collections import OrderedDict

from sp.domain.approvals import CLOCK_SKEW_S, MESSAGE_LIFETIME_S
from sp.domain.errors import SignatureError
from sp.domain.ids import Address


class SeenNonces:
    """Remembers each asker's nonces for as long as its messages would pass as fresh, at most `per_asker` of them.

    Past that number the oldest are forgotten: an answer replayed to nobody but its rightful asker does no harm, and a
    busy asker must not be locked out. Askers are registered providers, so their number is bounded by the chain.
    """

    def __init__(self, per_asker: int) -> None:
        self._per_asker = per_asker
        self._seen: dict[Address, OrderedDict[str, int]] = {}

    def add(self, asker: Address, nonce: str, now_s: int) -> None:
        """SignatureError when this asker has used the nonce before."""
        seen = self._seen.setdefault(asker, OrderedDict())
        while seen and next(iter(seen.values())) <= now_s:
            seen.popitem(last=False)
        if nonce in seen:
            raise SignatureError("replayed")
        if len(seen) >= self._per_asker:
            seen.popitem(last=False)
        seen[nonce] = now_s + MESSAGE_LIFETIME_S + CLOCK_SKEW_S + 1
