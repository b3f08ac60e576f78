"""Deletions: the name is gone at once; the chain and every provider's store follow."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from chain.client import Chain
from signer.client import Signer
from sp.domain.errors import EventsPruned, JobMoved, NoSuchBucket, NoSuchObject, NoSuchObjectId, SpError, TxRefused
from sp.domain.ids import ObjectId
from sp.domain.ledger import ChainEvent, ChainObject, EventType, ObjectStatus
from sp.domain.lifecycle import JobState
from sp.domain.messages import MsgDeleteObject, MsgRejectSealObject, TxMessage
from sp.domain.retry import RetryPolicy
from sp.runtime.clock import Clock
from sp.runtime.log import get_logger
from spdb.cursors import Cursors, Position
from spdb.deletions import Deletion, Deletions
from spdb.jobs import Jobs
from spdb.objects import Objects
from tasknode.onchain import OnChain
from tasknode.vacancies import VacancyFinder
from tasknode.worker import Worker

log = get_logger(__name__)

BATCH = 100
EVENT_BLOCKS = 1000
CURSOR = "tasknode.chain-events"
CURSOR_EVERY = 30
"""Blocks between two writings of the cursor: what was carried out may be looked at again."""
ROUND = "tasknode.chain-round"
"""1 + the job to go on from, 0 when no round is due."""

GONE_EVENTS = frozenset(
    {
        EventType.DELETE_OBJECT,
        EventType.CANCEL_CREATE_OBJECT,
        EventType.DISCONTINUE_OBJECT,
    }
)
"""What takes an object off the chain without this SP having asked for it."""

BEGUN_EVENTS = frozenset({EventType.CREATE_OBJECT, EventType.UPDATE_OBJECT_CONTENT})
LEAVING_EVENTS = frozenset({EventType.STORAGE_PROVIDER_EXIT, EventType.STORAGE_PROVIDER_FORCED_EXIT})


@dataclass(frozen=True, slots=True)
class Deleter:
    """Carries out deletion intents. No put of the same name starts before an intent is done, so the order of a user's
    deletes and puts is the chain's order too."""

    deletions: Deletions
    chain: Chain
    onchain: OnChain
    signer: Signer
    worker: Worker
    retry: RetryPolicy
    clock: Clock
    random: Random

    async def tick(self) -> bool:
        due = await self.deletions.due(BATCH)
        for deletion in due:
            await self._carry_out(deletion)
        return bool(due)

    async def _carry_out(self, deletion: Deletion) -> None:
        try:
            await self.worker.drop(deletion.bucket, deletion.object_name)
            while (found := await self._on_chain(deletion)) is not None:
                await self.onchain.included(await self.signer.submit(await self._message(deletion, found)))
            await self.deletions.done(deletion.id)
            self.worker.wake()
        except (JobMoved, SpError) as error:
            attempts = deletion.attempts + 1
            delay_ms = self.retry.delay_ms(attempts, self.random.random())
            await self.deletions.postpone(deletion.id, str(error), self.clock.now_ms() + delay_ms)
            log.warning(
                "deletion postponed", bucket=deletion.bucket, object_name=deletion.object_name, error=str(error)
            )

    async def _on_chain(self, deletion: Deletion) -> ChainObject | None:
        """The object to be deleted as the chain has it; None when it is gone, or the name means another one now."""
        try:
            found = await self.chain.head_object(deletion.bucket, deletion.object_name)
        except (NoSuchObject, NoSuchBucket):
            return None
        if deletion.object_id is not None and found.id != deletion.object_id:
            return None
        return found

    async def _message(self, deletion: Deletion, found: ChainObject) -> TxMessage:
        """A sealed object is deleted by its account; an unsealed creation or update is rejected by the SP first."""
        if found.status is ObjectStatus.SEALED and found.update is None:
            return MsgDeleteObject(deletion.account, deletion.bucket, deletion.object_name)
        return MsgRejectSealObject((await self.signer.keys()).seal, deletion.bucket, deletion.object_name)


@dataclass(slots=True)
class ChainFollower:
    """Unlinks names whose objects were deleted on chain by others, and removes what this SP created there for a
    put that nobody works on any more: a transaction may land after its put was deleted, replaced or given up."""

    chain: Chain
    cursors: Cursors
    jobs: Jobs
    objects: Objects
    onchain: OnChain
    signer: Signer
    finder: VacancyFinder
    actor: str
    _round_due: bool = True
    _position: Position = field(init=False)

    def __post_init__(self) -> None:
        self._position = Position(self.cursors, CURSOR, CURSOR_EVERY)

    async def tick(self) -> bool:
        seen = await self._position.get()
        try:
            height, events = await self.chain.events(seen, EVENT_BLOCKS)
        except EventsPruned as pruned:
            await self._skip(pruned)
            return True
        for event in events:
            if event.type in GONE_EVENTS:
                await self._unlink(event.object_id)
            elif event.type in BEGUN_EVENTS:
                await self._remove_unclaimed(event)
        if any(event.type in LEAVING_EVENTS for event in events):
            await self.finder.begin_anew()
        await self._position.reached(height)
        return bool(events)

    async def _skip(self, pruned: EventsPruned) -> None:
        """The chain has forgotten events that were not seen here: look at every object instead (`round`)."""
        newest = (await self.chain.latest_block()).height
        log.warning("chain events missed, every object is looked at", error=str(pruned))
        await self.cursors.set_all({ROUND: 1, CURSOR: newest})
        self._position.forget()
        self._round_due = True
        await self.finder.begin_anew()

    async def round(self) -> bool:
        """After events were missed: the next objects, each held against the chain. False when that is not due."""
        if not self._round_due:
            return False
        self._round_due = False  # unless somebody says so from here on
        at = await self._round_at()
        if not at:
            return False
        self._round_due = True
        page, after = await self.jobs.walk(at - 1, BATCH)
        for job in page:
            if job.state is JobState.SEAL_OBJECT_DONE and job.object_id is not None:
                await self._unlink_gone(job.object_id)
        await self.cursors.set(ROUND, after + 1 if after is not None else 0)
        return True

    async def _round_at(self) -> int:
        try:
            return await self.cursors.get(ROUND)
        except SpError:
            self._round_due = True  # nothing is known: ask again
            raise

    async def _unlink_gone(self, object_id: ObjectId) -> None:
        try:
            await self.chain.head_object_by_id(object_id)
        except NoSuchObjectId:
            await self._unlink(object_id)

    async def _unlink(self, object_id: ObjectId) -> None:
        entry = await self.objects.by_object_id(object_id)
        if entry is not None:
            await self.objects.remove(
                entry.job.bucket, entry.job.object_name, entry.job.account, self.actor, "deleted on chain"
            )
            log.info("name unlinked, its object was deleted on chain", object_id=object_id)

    async def _remove_unclaimed(self, event: ChainEvent) -> None:
        """A put that is under way claims what it finds on chain. Ends that come after this was looked at (a deletion,
        giving up) look at the chain themselves, and find what this event tells of."""
        if not await self._ours(event.bucket):
            return
        if await self.jobs.under_way(event.bucket, event.object_name) is not False:
            return
        message = await self._removal(event)
        if message is None:
            return
        try:
            await self.onchain.included(await self.signer.submit(message))
        except TxRefused:
            if await self._removal(event) is not None:  # else somebody else has removed it a moment ago
                raise
        log.info("removed what no put claims", object_id=event.object_id, object_name=event.object_name)

    async def _ours(self, bucket: str) -> bool:
        """Most of a network's objects are not: that is known without a look at the database."""
        try:
            return (await self.chain.head_bucket(bucket)).primary_sp == (await self.signer.keys()).operator
        except NoSuchBucket:
            return False

    async def _removal(self, event: ChainEvent) -> TxMessage | None:
        """Of what waits for a seal by this provider and was made by its own delegation (it has no checksums yet), or is
        empty, so that the chain sealed it at its creation. None when it is claimed, gone, or another's."""
        try:
            found = await self.chain.head_object_by_id(event.object_id)
            bucket = await self.chain.head_bucket(found.bucket)
        except (NoSuchObjectId, NoSuchBucket):
            return None
        keys = await self.signer.keys()
        if bucket.primary_sp != keys.operator:
            return None
        waiting = found.update if found.update is not None else found
        if found.status is ObjectStatus.CREATED or found.update is not None:
            return None if waiting.checksums else MsgRejectSealObject(keys.seal, found.bucket, found.name)
        if found.payload_size or await self.objects.by_object_id(found.id) is not None:
            return None
        account = await self.jobs.ended_empty(found.bucket, found.name)
        return None if account is None else MsgDeleteObject(account, found.bucket, found.name)
