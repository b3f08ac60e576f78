"""What the chain says of a group that is held here: pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from receiver.offers import holder_of
from sp.domain.contents import content_of, leaving
from sp.domain.ids import Address
from sp.domain.jobs import ReceivedGroup
from sp.domain.ledger import ChainObject, StorageProvider


class Verdict(Enum):
    NAMED = auto()  # sealed, and we are the secondary of this column: keep
    WAITING = auto()  # not sealed, or sealed with one who leaves: keep for a while
    UNWANTED = auto()  # gone, replaced, or sealed with someone else who stays: drop


def verdict(
    group: ReceivedGroup, found: ChainObject | None, me: Address, providers: Mapping[Address, StorageProvider]
) -> Verdict:
    """By the newest state, not by the event that made us look: so late and repeated events do no harm.

    A discontinued object and a version older than the sealed one are nobody's any more. An update that is not sealed
    leaves the version before it alone. A column whose holder leaves may become ours, as one that is not sealed may.
    """
    content = content_of(found, group.object.version) if found else None
    if content is None:
        return Verdict.UNWANTED
    if not content.sealed:
        return Verdict.WAITING
    holder = holder_of(content, group.redundancy_index)
    if holder == me:
        return Verdict.NAMED
    if group.redundancy_index in leaving(content, providers) and me not in content.secondaries:
        return Verdict.WAITING
    return Verdict.UNWANTED
