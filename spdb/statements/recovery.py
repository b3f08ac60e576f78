"""A sealed object is here again that this database knew nothing of: its job, its secondaries and its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from sp.domain.errors import JobMoved, ObjectNotCreated
from sp.domain.jobs import Job, Secondary, StoredPayload
from sp.domain.lifecycle import JobEvent, JobState, advance
from spdb.models.jobs import jobs, secondaries
from spdb.models.objects import objects
from spdb.statements import moves, names
from spdb.statements.rows import join_checksums, secondary_values


def finish(
    connection: Connection,
    job: Job,
    stored: StoredPayload,
    holders: Sequence[Secondary],
    put_at_ms: int,
    actor: str,
    now_ms: int,
) -> None:
    """From an upload to SEAL_OBJECT_DONE at once, in its place among the puts of its name: behind contents before it
    (of a database from a backup), which are garbage now, and before what was acknowledged since, which keeps the name.
    JobMoved; ObjectNotCreated when one of the latter is sealed."""
    state = advance(job.state, JobEvent.RECOVERED)
    names.lock(connection, "name", job.bucket, job.object_name)
    earlier, later = _others(connection, job)
    if any(row.state == JobState.SEAL_OBJECT_DONE for row in later):
        raise ObjectNotCreated(job.bucket, job.object_name, "sealed anew meanwhile")
    stored_at_ms = max([put_at_ms, *(row.stored_at_ms + 1 for row in earlier)])
    stored_at_ms = min([stored_at_ms, *(row.stored_at_ms - 1 for row in later)])
    _store(connection, job, stored, state, stored_at_ms, actor, now_ms)
    if holders:
        rows = [secondary_values(holder, ordinal) for ordinal, holder in enumerate(holders)]
        connection.execute(insert(secondaries), rows)
    _link(connection, job, stored_at_ms, [row.id for row in earlier])
    moves.mark_replaced(connection, job, stored_at_ms, now_ms)


def _others(connection: Connection, job: Job) -> tuple[list[Row[Any]], list[Row[Any]]]:
    """Acknowledged puts of the name: with contents that the chain had before this one, and all others."""
    rows = connection.execute(
        select(jobs).where(
            jobs.c.bucket == job.bucket,
            jobs.c.object_name == job.object_name,
            jobs.c.stored_at_ms.is_not(None),
            moves.IS_KEPT,
        )
    ).all()
    mine = (job.object_id or 0, job.version)
    earlier = [row for row in rows if row.object_id is not None and (row.object_id, row.version) < mine]
    known = {row.id for row in earlier}
    return earlier, [row for row in rows if row.id not in known]


def _link(connection: Connection, job: Job, stored_at_ms: int, earlier: Sequence[int]) -> None:
    """The name means this job, if it meant nothing or one of the earlier ones."""
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(objects).values(
        bucket=job.bucket, object_name=job.object_name, job_id=job.id, updated_at_ms=stored_at_ms
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[objects.c.bucket, objects.c.object_name],
            set_={"job_id": statement.excluded.job_id, "updated_at_ms": statement.excluded.updated_at_ms},
            where=objects.c.job_id.in_(earlier),
        )
    )


def _store(
    connection: Connection,
    job: Job,
    stored: StoredPayload,
    state: JobState,
    stored_at_ms: int,
    actor: str,
    now_ms: int,
) -> None:
    row = connection.execute(
        update(jobs)
        .where(
            jobs.c.id == job.id,
            jobs.c.state == int(job.state),
            jobs.c.row_version == job.row_version,
            jobs.c.lease_owner == job.lease_owner,
            moves.IS_KEPT,
        )
        .values(
            state=int(state),
            row_version=jobs.c.row_version + 1,
            history_seq=jobs.c.history_seq + 1,
            payload_size=stored.payload_size,
            root=bytes(stored.root),
            segment_checksums=join_checksums(stored.segment_checksums),
            stored_at_ms=stored_at_ms,
            lease_owner="",
            lease_until_ms=0,
            updated_at_ms=now_ms,
        )
        .returning(jobs.c.history_seq)
    ).first()
    if row is None:
        raise JobMoved(job.id)
    line = moves.Line(job.state, state, JobEvent.RECOVERED, 0, "from the chain and its secondaries", "", actor)
    moves.add_history(connection, job.id, row.history_seq, now_ms, [line])
