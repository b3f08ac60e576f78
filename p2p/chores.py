"""Background work of the P2P node."""

from __future__ import annotations

from p2p.service import P2PService
from sp.runtime.chores import Chore


def pings(node: P2PService, interval_s: float) -> Chore:
    """Look at every other provider now and then, so that `list_peers` has something to tell."""

    async def tick() -> bool:
        await node.ping_all()
        return False

    return Chore("ping peers", interval_s, tick)
