"""Background work of the Receiver: following the chain, and dropping what it never named us for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from chain.client import Chain
from receiver.claims import GroupKey
from receiver.service import ReceiverService
from receiver.verdicts import Verdict
from sp.domain.errors import EventsPruned
from sp.domain.ids import ObjectId
from sp.domain.jobs import ReceivedGroup, ReceivedState
from sp.domain.ledger import EventType
from sp.runtime.chores import Chore
from sp.runtime.clock import Clock
from sp.runtime.log import get_logger
from spdb.cursors import Cursors, Position
from spdb.received import PAGE, Received

CURSOR: Final = "receiver chain events"
BLOCKS_PER_TICK: Final = 200
CURSOR_EVERY: Final = 30
"""Blocks between two writings of the cursor: what was looked at may be looked at again."""
OBJECTS_AT_ONCE: Final = 200
GROUPS_PER_TICK: Final = 100

FATEFUL: Final = frozenset(
    {
        EventType.SEAL_OBJECT,
        EventType.UPDATE_OBJECT_CONTENT_SUCCESS,
        EventType.REJECT_SEAL_OBJECT,
        EventType.CANCEL_CREATE_OBJECT,
        EventType.DELETE_OBJECT,
        EventType.DISCONTINUE_OBJECT,
        EventType.COMPLETE_SWAP_IN,
    }
)
"""Events after which a group may have become ours for good, or nobody's."""

log = get_logger(__name__)


@dataclass(slots=True)
class ChainFollower:
    """Looks at the groups of every object that something fateful happened to. What to do with each is decided by the
    newest state of the chain (receiver.verdicts), so events may come late, twice, or again after a crash."""

    receiver: ReceiverService
    chain: Chain
    records: Received
    cursors: Cursors
    _position: Position = field(init=False)

    def __post_init__(self) -> None:
        self._position = Position(self.cursors, CURSOR, CURSOR_EVERY)

    async def tick(self) -> bool:
        """The next blocks. True when there were any."""
        newest = (await self.chain.latest_block()).height
        seen = await self._position.get()
        if not seen:  # a new database holds no groups: nothing that happened before concerns it
            await self._position.set(newest)
            return False
        if newest <= seen:
            return False
        try:
            height, events = await self.chain.events(seen, BLOCKS_PER_TICK)
        except EventsPruned as pruned:  # the collector's round comes by every group anyway
            log.warning("chain events missed", error=str(pruned))
            await self._position.set(newest)
            return True
        object_ids = _distinct(event.object_id for event in events if event.type in FATEFUL)
        for start in range(0, len(object_ids), OBJECTS_AT_ONCE):
            await self._look(object_ids[start : start + OBJECTS_AT_ONCE])
        await self._position.reached(height)
        return height > seen

    async def _look(self, object_ids: Sequence[ObjectId]) -> None:
        """Usually all are sealed with us: one question and one transaction for all of them."""
        async for page in _groups_of(self.records, object_ids):
            sealed = []
            for group in page:
                if group.state is ReceivedState.SIGNED and await self.receiver.judge(group) is Verdict.NAMED:
                    sealed.append(key_of(group))
                else:
                    await settle(self.receiver, self.records, group)
            await self.records.mark_all_sealed(sealed)


@dataclass(slots=True)
class Collector:
    """Drops groups that nobody sealed in all the time they were given; never one that the chain names us for. And goes
    round all groups, a page at a time, for the sake of those whose event was missed (a database from a backup)."""

    receiver: ReceiverService
    records: Received
    clock: Clock
    unsealed_ttl_s: float
    _after: GroupKey | None = field(default=None)

    async def tick(self) -> bool:
        """True when something was changed."""
        overdue = await self._collect_overdue()
        return await self._go_round() or overdue

    async def _collect_overdue(self) -> bool:
        before_ms = self.clock.now_ms() - int(self.unsealed_ttl_s * 1000)
        changed = False
        for group in await self.records.unsealed(before_ms, GROUPS_PER_TICK):
            if await self.receiver.judge(group, newest=True) is Verdict.WAITING:
                await self.receiver.drop(group, "never sealed")
                changed = True
            elif await settle(self.receiver, self.records, group):
                changed = True
            else:
                await self.records.touch(*key_of(group))  # it is an operator's case: make way for the others
        return changed

    async def _go_round(self) -> bool:
        page = await self.records.list(GROUPS_PER_TICK, self._after)
        self._after = key_of(page[-1]) if len(page) == GROUPS_PER_TICK else None
        return any([await settle(self.receiver, self.records, group, newest=True) for group in page])


async def settle(receiver: ReceiverService, records: Received, group: ReceivedGroup, *, newest: bool = False) -> bool:
    """Do with a group what the chain says of it now; whether that changed anything.

    newest: a group is not dropped before the newest block says so, too. A process that slept answers from what it heard
    before, of groups that another one may have taken in since.
    """
    found = await receiver.judge(group)
    if newest and found is Verdict.UNWANTED:
        found = await receiver.judge(group, newest=True)
    match found:
        case Verdict.NAMED:
            return await named(records, group)
        case Verdict.UNWANTED:
            await receiver.drop(group, "not wanted by the chain")
            return True
        case Verdict.WAITING:
            return False


async def named(records: Received, group: ReceivedGroup) -> bool:
    """The chain names us for this column; whether the row had to be moved. We only get there by our own signature, so
    a group that is not signed has lost its row to something outside (a restored backup): an operator must look."""
    ref = group.object
    if group.state is ReceivedState.RECEIVING:  # when it was read, before the chain was asked
        for now in await records.get(*key_of(group)):
            group = now
    if group.state is ReceivedState.RECEIVING:
        log.error("named for a group that is not whole", object_id=ref.object_id, index=group.redundancy_index)
        return False
    if group.state is ReceivedState.SEALED:
        return False
    await records.mark_sealed(*key_of(group))
    return True


def chores(follower: ChainFollower, collector: Collector, collect_interval_s: float) -> tuple[Chore, ...]:
    """Looking for a new block costs nothing while there is none: the chain client follows them."""
    return (
        Chore("follow the chain", 1.0, follower.tick),
        Chore("collect unsealed groups", collect_interval_s, collector.tick),
    )


def key_of(group: ReceivedGroup) -> GroupKey:
    return group.object.object_id, group.object.version, group.redundancy_index


async def _groups_of(records: Received, object_ids: Sequence[ObjectId]) -> AsyncIterator[list[ReceivedGroup]]:
    """All versions and columns of these objects that are here, in pages."""
    after: GroupKey | None = None
    while page := await records.of_objects(object_ids, after):
        yield page
        if len(page) < PAGE:
            return
        after = key_of(page[-1])


def _distinct(object_ids: Iterable[ObjectId]) -> list[ObjectId]:
    return list(dict.fromkeys(object_ids))
