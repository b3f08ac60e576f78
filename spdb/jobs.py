"""The jobs of this provider: every put, its state, its secondaries and what happened to it.

Each method is one transaction. `job` arguments are the caller's last reading of a row: the store compares before it
changes anything, and JobMoved says that someone else was faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sp.domain.approvals import SignedApproval
from sp.domain.errors import NoSuchJob
from sp.domain.ids import Address, Checksum, JobId, RedundancyIndex, Signature
from sp.domain.jobs import HistoryRow, Job, JobFilter, Move, Precondition, PutOrder, Secondary, StoredPayload
from sp.domain.ledger import Visibility
from sp.domain.lifecycle import JobState
from spdb.database import Clock, Database
from spdb.statements import browse, collection, moves, queue, recovery, secondaries, tags, uploads


@dataclass(frozen=True, slots=True)
class Jobs:
    """new_job_id: a fresh id, larger than all given before"""

    db: Database
    clock: Clock
    new_job_id: Callable[[], JobId]

    # --- upload ---------------------------------------------------------------------------------------------------

    async def begin_upload(self, order: PutOrder, actor: str, lease_ms: int) -> Job:
        """A new job in UPLOAD_OBJECT_DOING, leased to `actor`.

        For an object that is on chain already: UploadInProgress while another job is bringing it, ObjectNotCreated
        when one has brought it. InvalidRequest for names no database takes.
        """
        now = self.clock.now_ms()
        return await self._inserted(partial(uploads.begin, order=order, actor=actor, lease_ms=lease_ms, now_ms=now))

    async def _inserted(self, insert: Callable[..., Job | None]) -> Job:
        """insert: takes a connection and `job_id`, under which it inserts a job; None when the id is taken."""
        while True:  # two processes may draw one id, once in a blue moon: draw again
            job = await self.db.write(partial(insert, job_id=self.new_job_id()))
            if job is not None:
                return job

    async def renew_lease(self, job_id: JobId, owner: str, lease_ms: int) -> bool:
        """Keep the lease for `lease_ms` from now. False: it is another's, or the work is over; stop.

        Leaves row_version as it is, so that the work beside it goes on with the job it has. A lease that ran out but
        that nobody took is taken up again.
        """
        until = self.clock.now_ms() + lease_ms
        return await self.db.write(lambda c: uploads.renew(c, job_id, owner, until))

    async def finish_upload(
        self, job: Job, stored: StoredPayload, actor: str, precondition: Precondition | None = None
    ) -> Job:
        """UPLOAD_OBJECT_DONE: all that a 200 promises, durable when this returns. The name leads to this job from now
        on (of concurrent puts the last one finished wins), and the row waits for a task node. JobMoved.

        precondition: of what the name means until now; PreconditionFailed or ConditionalRequestConflict when it does
        not hold, and nothing has changed.
        """
        now = self.clock.now_ms()
        return await self.db.write(lambda c: uploads.finish(c, job, stored, actor, now, precondition))

    async def put_small(self, order: PutOrder, stored: StoredPayload, payload: bytes, actor: str) -> Job:
        """`begin_upload` and `finish_upload` in one transaction, in which the payload is kept, too: durable with its
        row, or nowhere. It has one segment at most. The errors of both, but for JobMoved: nothing is left then."""
        assert len(stored.segment_checksums) == (1 if payload else 0)
        now = self.clock.now_ms()
        return await self._inserted(
            partial(uploads.put_small, order=order, stored=stored, payload=payload, actor=actor, now_ms=now)
        )

    async def refuse_small(self, order: PutOrder, reason: str, actor: str) -> JobId:
        """UPLOAD_OBJECT_ERROR of a put that was to be `put_small`: for its history alone, there are no pieces.
        InvalidRequest as in begin_upload."""
        now = self.clock.now_ms()
        refuse = partial(uploads.refuse_small, order=order, reason=reason, actor=actor, now_ms=now)
        return (await self._inserted(refuse)).id

    async def finish_recovery(
        self, job: Job, stored: StoredPayload, holders: Sequence[Secondary], stored_at_ms: int, actor: str
    ) -> None:
        """SEAL_OBJECT_DONE for what the chain has sealed and this database had lost: its segments are durable.

        holders: its secondaries, in column order; stored_at_ms: when it was put, as far as the chain knows. A name that
        means something keeps its meaning. JobMoved; ObjectNotCreated when the name was sealed anew.
        """
        now = self.clock.now_ms()
        await self.db.write(lambda c: recovery.finish(c, job, stored, holders, stored_at_ms, actor, now))

    async def fail_upload(self, job_id: JobId, reason: str, actor: str, *, only_expired: bool = False) -> None:
        """UPLOAD_OBJECT_ERROR and its pieces are garbage; nothing when it is not uploading any more. NoSuchJob.

        only_expired: nothing either when the uploader holds its lease (for those who clean up behind dead ones)
        """
        now = self.clock.now_ms()
        await self.db.write(lambda c: uploads.fail(c, job_id, reason, actor, now, only_expired=only_expired))

    async def expired_uploads(self, limit: int) -> list[Job]:
        """Uploads whose lease ran out, the longest first."""
        now = self.clock.now_ms()
        return await self.db.read(lambda c: uploads.expired(c, limit, now))

    # --- moves ----------------------------------------------------------------------------------------------------

    async def move(self, job: Job, *steps: Move) -> Job:
        """One or more moves as one. IllegalMove; JobMoved.

        A lease stays unless a move releases it or the job is final. A job that is final or given up has no next
        attempt; one that is to go on and has none yet is due now. SEAL_OBJECT_DONE makes garbage of the puts of this
        name that were acknowledged before and are final or given up. OBJECT_DISCONTINUED makes garbage of the job, and
        a name that led to it leads nowhere.
        """
        now = self.clock.now_ms()
        return await self.db.write(lambda c: moves.apply_moves(c, job, steps, now))

    async def postpone(self, job: Job, error: str, *, attempts: int, next_attempt_at_ms: int | None, actor: str) -> Job:
        """An attempt failed without changing the state: back to the queue until then, or given up (None). JobMoved."""
        now = self.clock.now_ms()
        return await self.db.write(lambda c: moves.postpone(c, job, error, attempts, next_attempt_at_ms, actor, now))

    async def note(self, job: Job, event: str, reason: str, provider: str, actor: str) -> None:
        """A history row without a move. NoSuchJob."""
        now = self.clock.now_ms()
        known = await self.db.write(
            lambda c: moves.add_note(c, job.id, event, now, reason=reason, provider=provider, actor=actor)
        )
        if not known:
            raise NoSuchJob(job.id)

    # --- secondaries ----------------------------------------------------------------------------------------------

    async def choose_secondaries(
        self, job: Job, chosen: Sequence[Secondary], spares: Sequence[SignedApproval], *steps: Move
    ) -> Job:
        """Store the ordered secondaries and the spares (best first) together with the moves. IllegalMove; JobMoved;
        InvalidRequest when an approval is about another object than the job's."""
        now = self.clock.now_ms()
        return await self.db.write(lambda c: secondaries.choose(c, job, chosen, spares, steps, now))

    async def add_spares(self, job: Job, spares: Sequence[SignedApproval]) -> None:
        """More spares, behind those there are. JobMoved when the lease is lost."""
        now = self.clock.now_ms()
        await self.db.write(lambda c: secondaries.add_spares(c, job, spares, now))

    async def secondary_started(self, job: Job, index: RedundancyIndex, provider: Address) -> None:
        """REPLICATING, one attempt more. JobMoved when the lease is lost or the column is not this provider's."""
        now = self.clock.now_ms()
        await self.db.write(lambda c: secondaries.started(c, job, index, provider, now))

    async def secondary_done(
        self, job: Job, index: RedundancyIndex, provider: Address, integrity_hash: Checksum, signature: Signature
    ) -> None:
        """DONE: its receipt was verified. JobMoved as above."""
        now = self.clock.now_ms()
        await self.db.write(lambda c: secondaries.done(c, job, index, provider, integrity_hash, signature, now))

    async def secondary_failed(self, job: Job, index: RedundancyIndex, provider: Address, error: str) -> None:
        """FAILED for good in this job, named in the history; the column is free for `replace_secondary`. JobMoved as
        above."""
        now = self.clock.now_ms()
        await self.db.write(lambda c: secondaries.failed(c, job, index, provider, error, now))

    async def replace_secondary(
        self, job: Job, index: RedundancyIndex, failed: Address, error: str, replacement: Secondary
    ) -> None:
        """`failed` is FAILED (it may be already), `replacement` has its column and is no spare any more; the history
        names both. JobMoved when the lease is lost or the column never was `failed`'s."""
        now = self.clock.now_ms()
        await self.db.write(lambda c: secondaries.replace(c, job, index, failed, error, replacement, now))

    async def secondaries(self, job_id: JobId) -> list[Secondary]:
        """All, failed ones too, in the order they were chosen. NoSuchJob."""
        return await self.db.read(lambda c: secondaries.all_of(c, job_id))

    async def spares(self, job_id: JobId) -> list[SignedApproval]:
        """Approvals not used yet, best first. NoSuchJob."""
        return await self.db.read(lambda c: secondaries.spares_of(c, job_id))

    # --- the queue ------------------------------------------------------------------------------------------------

    async def take(self, owner: str, lease_ms: int, limit: int) -> list[Job]:
        """Lease jobs that are due, those due longest first; a lease that ran out is taken over, and the history says
        so. Puts of one name come one at a time in the order of their acknowledgement, and not while a deletion of
        that name is pending."""
        now = self.clock.now_ms()
        return await self.db.write(lambda c: queue.take(c, owner, lease_ms, limit, now))

    async def next_due_ms(self) -> int | None:
        """When to call `take` again (unix ms); None: not before another put."""
        return await self.db.read(queue.next_due_ms)

    async def release(self, job: Job) -> None:
        """Give the lease back. Nothing when it is another's by now."""
        await self.db.write(lambda c: queue.release(c, job))

    async def retry_now(self, job_id: JobId, actor: str = "operator") -> Job:
        """Due now, whatever the retry policy said; one that was given up counts its attempts anew. The job as it is
        when someone works on it. NoSuchJob. IllegalMove when it is final, uploading, garbage, or when a later put of
        its name is past it."""
        now = self.clock.now_ms()
        return await self.db.write(lambda c: queue.retry_now(c, job_id, actor, now))

    # --- looking --------------------------------------------------------------------------------------------------

    async def get(self, job_id: JobId) -> Job:
        """NoSuchJob."""
        return await self.db.read(lambda c: browse.get(c, job_id))

    async def walk(self, at: int, limit: int, bucket: str = "") -> tuple[list[Job], JobId | None]:
        """A page of the jobs whose content is stored and kept, from id `at` on (0: the first), and where the next page
        begins, None at the end. A page may be empty: what is not kept is passed over a page at a time."""
        return await self.db.read(lambda c: browse.walk(c, at, limit, bucket))

    async def newest_of(self, bucket: str, object_name: str) -> Job | None:
        """The put of a name that began last, whatever became of it."""
        return await self.db.read(lambda c: browse.newest_of(c, bucket, object_name))

    async def under_way(self, bucket: str, object_name: str) -> bool | None:
        """Whether work on a put of this name is to be expected, and is not stopped by a pending deletion; None when no
        put of this name is known here."""
        return await self.db.read(lambda c: queue.under_way(c, bucket, object_name))

    async def ended_empty(self, bucket: str, object_name: str) -> Address | None:
        """Whose empty put of this name has ended without having learned the id that the chain gave, or may yet give, to
        what was created for it. None: there is no such put."""
        return await self.db.read(lambda c: queue.ended_empty(c, bucket, object_name))

    async def history(self, job_id: JobId) -> list[HistoryRow]:
        """In order. NoSuchJob."""
        return await self.db.read(lambda c: browse.history_rows(c, job_id))

    async def backlog(self, most: int) -> int:
        """Stored objects on which there is work to do yet; counts no further than `most`."""
        return await self.db.read(lambda c: queue.backlog(c, most))

    async def counts(self) -> dict[JobState, int]:
        """Jobs by state; states without jobs are left out."""
        return await self.db.read(browse.counts)

    # --- what may change of an object -------------------------------------------------------------------------------

    async def set_tags(self, job_id: JobId, tag_set: dict[str, str]) -> None:
        """The whole tag set of a put's object. NoSuchJob."""
        await self.db.write(lambda c: tags.replace(c, job_id, tag_set))

    async def set_visibility(self, job_id: JobId, visibility: Visibility) -> bool:
        """How the object is to be created on chain. False, and nothing changed, when it is there already or a task
        node is at work on it. NoSuchJob."""
        now = self.clock.now_ms()
        return await self.db.write(lambda c: moves.set_visibility(c, job_id, visibility, now))

    # --- garbage --------------------------------------------------------------------------------------------------

    async def collectable(self, limit: int, *, marked_before_ms: int | None = None) -> list[Job]:
        """Jobs whose pieces are garbage and that nobody works on, longest marked first.

        marked_before_ms: only those that became garbage by then (unix ms), so that readers of the old content may end;
          aborted uploads, which have none, at once
        """
        now = self.clock.now_ms()
        before = now if marked_before_ms is None else marked_before_ms
        return await self.db.read(lambda c: collection.collectable(c, limit, before, now))

    async def collected(self, job_id: JobId, actor: str = "collector") -> None:
        """The pieces of this garbage are gone; its rows stay until `purge`. Nothing when it is no garbage."""
        now = self.clock.now_ms()
        await self.db.write(lambda c: collection.collected(c, job_id, actor, now))

    async def purgeable(self, older_than_ms: int, limit: int) -> list[Job]:
        """Jobs whose pieces have been gone for longer than that (ms), the longest first: nobody will ask for their
        history any more."""
        before = self.clock.now_ms() - older_than_ms
        return await self.db.read(lambda c: collection.purgeable(c, before, limit))

    async def forget(self, job_ids: Sequence[JobId]) -> int:
        """Delete those of these jobs whose pieces are gone, with all their rows. How many."""
        return await self.db.write(lambda c: collection.forget(c, job_ids))

    async def purge(self, older_than_ms: int, limit: int) -> int:
        """`purgeable`, `forget`. How many."""
        return await self.forget([job.id for job in await self.purgeable(older_than_ms, limit)])

    # --- last, because within the class its name hides the type ----------------------------------------------------

    async def list(self, wanted: JobFilter) -> list[Job]:
        """One page, newest first."""
        return await self.db.read(lambda c: browse.page(c, wanted))
