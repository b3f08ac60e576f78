"""What must be true once the faults have stopped and everything has come to rest: the promises of the design."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from typing import Any

from sqlalchemy import Connection, func, select

from sp.crypto.ec import best_kernel
from sp.domain.erasure import encode_segment, rebuild_segment
from sp.domain.errors import SpError
from sp.domain.findings import ScrubOrder
from sp.domain.ids import RedundancyIndex, SegmentIndex
from sp.domain.integrity import piece_checksum
from sp.domain.jobs import SecondaryState
from sp.domain.ledger import ChainObject, ObjectStatus
from sp.domain.lifecycle import FINAL, TABLE, JobEvent, JobState
from sp.domain.pieces import EcPieceKey, SegmentKey
from sp.domain.segments import segment_count
from spdb.models.deletions import deletions
from spdb.models.jobs import KEPT, TO_COLLECT, history, jobs, secondaries
from spdb.models.objects import objects
from spdb.models.received import received
from spdb.models.swap_ins import swap_ins
from spdb.statements.rows import split_checksums
from tests.sim.making import PARAMS, SEGMENT_BYTES
from tests.sim.provider import SimProvider
from tests.sim.workload import Name, read, shown
from tests.sim.world import World

K, M = PARAMS.data_chunks, PARAMS.parity_chunks


@dataclass(eq=False)
class Checker:
    """states: how the jobs ended"""

    world: World
    names: list[Name]
    states: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    async def until_quiet(self, limit_s: float) -> list[str]:
        """Wait until nothing is left to do; what still is, when the time is over."""
        deadline_s = self.world.loop.time() + limit_s
        while left := [text for provider in self.world.providers for text in unfinished(provider)]:
            if self.world.loop.time() > deadline_s:
                return [f"stuck: {text}" for text in left]
            await asyncio.sleep(20.0)
        return []

    async def scrub(self) -> None:
        """As `sp repair` does at every provider: afterwards nothing is damaged any more."""
        order = ScrubOrder(repair=True)
        for provider in self.world.providers:
            for service in ("downloader", "receiver"):
                await self._within(provider, partial(_exhausted, provider.services[service].scrub(order)))

    async def check(self) -> list[str]:
        self.wrong = []
        for name in self.names:
            await self._reads_back(name)
        for provider in self.world.providers:
            self._histories(provider)
            self._orphans(provider)
            self._agrees_with_chain(provider)
        for found in list(self.world.node.state.objects.values()):
            self._redundant(found)
        return self.wrong

    # --- acknowledged means kept

    async def _reads_back(self, name: Name) -> None:
        """Through the primary, which may mend what is damaged."""
        try:
            content = await self._within(name.primary, lambda: read(name))
        except SpError as error:
            self.wrong.append(f"{name} cannot be read: {error!r}, acknowledged was {shown(name.acknowledged)}")
            return
        if name.deleted_on_chain:
            name.possible, name.acknowledged = {None}, None
        if content not in name.possible:
            expected = ", ".join(sorted(map(shown, name.possible)))
            self.wrong.append(f"{name} reads {shown(content)}, not {expected}")
        name.possible = {content}

    async def _within(self, provider: SimProvider, work: Callable[[], Any]) -> Any:
        assert provider.process is not None

        async def run() -> Any:
            return await work()

        return await self.world.loop.spawn(provider.process, run(), "check")

    # --- sealed means redundant

    def _redundant(self, found: ChainObject) -> None:
        """The pieces on the secondaries' disks are those of what the primary keeps, so that any four rebuild it; and
        without any two of them the others do."""
        if found.status is not ObjectStatus.SEALED or not found.payload_size:
            return
        name = next((n for n in self.names if (n.bucket, n.name) == (found.bucket, found.name)), None)
        payload = None if name is None or len(name.possible) != 1 else next(iter(name.possible))
        if payload is None or len(payload) != found.payload_size:
            return  # deleted, or about to be replaced: `_agrees_with_chain` has an eye on it
        kernel = best_kernel()
        for segment in map(SegmentIndex, range(segment_count(found.payload_size, SEGMENT_BYTES))):
            part = payload[segment * SEGMENT_BYTES : (segment + 1) * SEGMENT_BYTES]
            true = encode_segment(part, K, M, kernel)
            pieces = {}
            for column, operator in enumerate(found.secondaries):
                provider = self.world.provider_of(operator)
                key = EcPieceKey(found.id, found.version, segment, RedundancyIndex(column))
                piece = provider.disk.pieces.get(key)
                if piece == bytes(true[column]):
                    pieces[RedundancyIndex(column)] = piece
                else:
                    state = "lost" if piece is None else "wrong"
                    self.wrong.append(f"{found.bucket}/{found.name}: {key} is {state} at {provider.name}")
            for lost in combinations(sorted(pieces), len(pieces) - K):
                left = {column: piece for column, piece in pieces.items() if column not in lost}
                if rebuild_segment(left, len(part), K, M, kernel) != part:
                    self.wrong.append(f"{found.bucket}/{found.name} is not rebuilt without columns {lost}")

    # --- the chain and SPDB tell the same

    def _agrees_with_chain(self, provider: SimProvider) -> None:
        state = self.world.node.state
        with provider.reading() as connection:
            rows = connection.execute(
                select(jobs, objects.c.object_name.label("linked")).outerjoin(objects, objects.c.job_id == jobs.c.id)
            ).all()
            held = self._done_secondaries(connection)
        linked = {(row.bucket, row.linked): row for row in rows if row.linked is not None}
        for (bucket, name), row in linked.items():
            where = f"{bucket}/{name} at {provider.name}"
            self._segments_are_well(provider, where, row)
            found = next((o for o in state.objects.values() if (o.bucket, o.name) == (bucket, name)), None)
            if row.state == JobState.SEAL_OBJECT_DONE:
                if found is None or found.status is not ObjectStatus.SEALED:
                    self.wrong.append(f"{where}: its job is sealed, on chain it is {found and found.status.name}")
                elif (found.id, found.version) != (row.object_id, row.version):
                    self.wrong.append(f"{where}: sealed here is version {row.version} of {row.object_id}, "
                                      f"on chain version {found.version} of {found.id}")  # fmt: skip
                elif row.payload_size and list(found.secondaries) != held.get(row.id):
                    self.wrong.append(f"{where}: the secondaries are not those on chain")
        for found in state.objects.values():
            if state.buckets[found.bucket].primary_sp == provider.operator:
                self._known_here(found, linked.get((found.bucket, found.name)))

    def _segments_are_well(self, provider: SimProvider, where: str, row: Any) -> None:
        stored = provider.pieces()
        for index, checksum in enumerate(split_checksums(row.segment_checksums)):
            piece = stored.get(SegmentKey(row.id, SegmentIndex(index)))
            if piece is None or piece_checksum(piece) != checksum:
                self.wrong.append(f"{where}: segment {index} is {'lost' if piece is None else 'damaged'}")

    def _known_here(self, found: ChainObject, row: Any) -> None:
        what = f"{found.bucket}/{found.name}: {found.status.name} on chain"
        if row is None:
            by_user = found.status is ObjectStatus.CREATED and found.checksums
            if not by_user:  # who has created it, and may still put it
                self.wrong.append(f"{what}, unknown at its primary")
        elif found.status is not ObjectStatus.SEALED and not row.given_up:
            self.wrong.append(f"{what} though all is done")

    def _done_secondaries(self, connection: Connection) -> dict[int, list[str]]:
        rows = connection.execute(
            select(secondaries.c.job_id, secondaries.c.provider)
            .where(secondaries.c.state == SecondaryState.DONE)
            .order_by(secondaries.c.job_id, secondaries.c.redundancy_index)
        )
        found: dict[int, list[str]] = {}
        for row in rows:
            found.setdefault(row.job_id, []).append(row.provider)
        return found

    # --- every job has ended, and its history says how

    def _histories(self, provider: SimProvider) -> None:
        with provider.reading() as connection:
            ended = {row.id: row for row in connection.execute(select(jobs))}
            rows = connection.execute(select(history).order_by(history.c.job_id, history.c.seq)).all()
        told: dict[int, list[Any]] = {job_id: [] for job_id in ended}
        for row in rows:
            told.setdefault(row.job_id, []).append(row)
        for job_id, steps in told.items():
            where = f"job {job_id} at {provider.name}"
            if job_id not in ended:
                self.wrong.append(f"{where}: a history without its job")
                continue
            self._history(where, ended[job_id], steps)

    def _history(self, where: str, job: Any, steps: list[Any]) -> None:
        at = JobState.INIT_UNSPECIFIED
        known = {str(event) for event in JobEvent}
        for number, step in enumerate(steps):
            if step.from_state != at:
                self.wrong.append(f"{where}: history goes on from {step.from_state} where it was {at.name}")
            if step.seq - steps[0].seq != number:
                self.wrong.append(f"{where}: history lacks a row before {step.seq}")
            to = JobState(step.state)
            if to is not at and (step.event not in known or TABLE.get((at, JobEvent(step.event))) is not to):
                self.wrong.append(f"{where}: {at.name} -> {to.name} by {step.event!r} is not in the table")
            at = to
        state = JobState(job.state)
        self.states[f"{state.name}{' (given up)' if job.given_up else ''}"] += 1
        if at is not state:
            self.wrong.append(f"{where}: is {state.name}, its history ends with {at.name}")
        if state not in FINAL and not (job.given_up and job.error):
            self.wrong.append(f"{where}: ended in {state.name} without an explanation")
        if state is JobState.UPLOAD_OBJECT_ERROR and not job.error:
            self.wrong.append(f"{where}: failed without an explanation")

    # --- nothing is left over

    def _orphans(self, provider: SimProvider) -> None:
        with provider.reading() as connection:
            kept = {
                row.id: segment_count(row.payload_size or 0, SEGMENT_BYTES)
                for row in connection.execute(select(jobs).where(jobs.c.collect == KEPT))
            }
            groups = {
                (row.object_id, row.version, row.redundancy_index) for row in connection.execute(select(received))
            }
        for key in provider.pieces():
            match key:
                case SegmentKey(job_id, segment):
                    known = segment < kept.get(job_id, 0)
                case EcPieceKey(object_id, version, _, column):
                    known = (object_id, version, column) in groups and self._named(provider, key)
                case _:
                    known = False
            if not known:
                self.wrong.append(f"{key} at {provider.name} is nobody's")
        if provider.disk.temporary_bytes:
            self.wrong.append(f"{provider.disk.temporary_bytes} bytes of temporary files at {provider.name}")

    def _named(self, provider: SimProvider, key: EcPieceKey) -> bool:
        found = self.world.node.state.objects.get(key.object_id)
        return (
            found is not None
            and found.status is ObjectStatus.SEALED
            and found.version == key.version
            and found.secondaries[key.column] == provider.operator
        )


async def _exhausted(findings: AsyncIterator[Any]) -> None:
    async for _ in findings:
        pass


def unfinished(provider: SimProvider) -> list[str]:
    """What this provider still has to do."""
    with provider.reading() as connection:
        open_jobs = connection.execute(
            select(jobs.c.id, jobs.c.state, jobs.c.error).where(
                jobs.c.state.not_in([int(state) for state in FINAL]), jobs.c.given_up.is_(False)
            )
        ).all()
        garbage = connection.execute(
            select(func.count()).select_from(jobs).where(jobs.c.collect == TO_COLLECT)
        ).scalar_one()
        removals = connection.execute(select(deletions)).all()
        vacancies = connection.execute(select(swap_ins)).all()
    return [
        *(f"job {row.id} at {provider.name} in {JobState(row.state).name}: {row.error}" for row in open_jobs),
        *(f"deletion of {row.object_name} at {provider.name}: {row.error}" for row in removals),
        *([f"{garbage} jobs to collect at {provider.name}"] if garbage else []),
        *(f"column {row.redundancy_index} of job {row.job_id} at {provider.name}: {row.error}" for row in vacancies),
        *_short_of(provider),
    ]


def _short_of(provider: SimProvider) -> list[str]:
    """Sealed objects of this primary that are still with a provider that leaves."""
    state = provider.world.node.state
    leaving = {operator for operator, each in state.providers.items() if each.exiting}
    return [
        f"{found.bucket}/{found.name} is still with one that leaves"
        for found in state.objects.values()
        if leaving.intersection(found.secondaries) and state.buckets[found.bucket].primary_sp == provider.operator
    ]
