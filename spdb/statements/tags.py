"""The tag set of an object: one row beside the job that brought its content, none for an empty set."""

from __future__ import annotations

import json
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, select

from sp.domain.errors import NoSuchJob
from sp.domain.ids import JobId
from spdb.models.jobs import jobs
from spdb.models.objects import object_tags
from spdb.prepared import Prepared, for_dialects


def _upsert(dialect: Any) -> Any:
    statement = dialect.insert(object_tags)
    return statement.on_conflict_do_update(
        index_elements=[object_tags.c.job_id], set_={"tags": statement.excluded.tags}
    )


_PUT: Final = for_dialects(_upsert)
_JOB: Final = Prepared(select(jobs.c.id).where(jobs.c.id == bindparam("b_id")).with_for_update(key_share=True))


def of(column: str | None) -> dict[str, str]:
    """From the column of an outer join."""
    found: dict[str, str] = {} if column is None else json.loads(column)
    return found


def put(connection: Connection, job_id: JobId, tags: dict[str, str]) -> None:
    """Of a job that is there."""
    values = {"job_id": job_id, "tags": json.dumps(tags, separators=(",", ":"), ensure_ascii=True)}
    _PUT.run(connection, values)


def replace(connection: Connection, job_id: JobId, tags: dict[str, str]) -> None:
    """NoSuchJob."""
    if _JOB.first(connection, {"b_id": job_id}) is None:
        raise NoSuchJob(job_id)
    if tags:
        put(connection, job_id, tags)
    else:
        connection.execute(delete(object_tags).where(object_tags.c.job_id == job_id))
