"""Fill SPDB with many jobs by copying one inside the database."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, text

from sp.domain.jobs import Job
from spdb.models import jobs
from spdb.models.received import received

FIRST_ID = 10_000_000


def copies(template: Job, count: int, first_id: int, name_prefix: str) -> Callable[[Connection], None]:
    """An operation that adds `count` jobs like `template` under names of their own, each what its name means."""

    def copy(connection: Connection) -> None:
        own = {"id": ":first + n", "object_name": "CAST(:prefix AS TEXT) || CAST(n AS TEXT)"}
        names = [column.name for column in jobs.columns]
        columns = ", ".join(names)
        values = ", ".join(own.get(name, name) for name in names)
        numbers = "WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :count)"
        facts = {"first": first_id, "prefix": name_prefix, "count": count, "template": int(template.id)}
        connection.execute(
            text(f"INSERT INTO jobs ({columns}) {numbers} SELECT {values} FROM jobs, numbers WHERE id = :template"),
            facts,
        )
        connection.execute(
            text(
                "INSERT INTO objects (bucket, object_name, job_id, updated_at_ms) SELECT bucket, object_name, id, 0"
                " FROM jobs WHERE id >= :first AND id < :first + :count"
            ),
            {"first": first_id, "count": count},
        )
        connection.execute(
            text(
                "INSERT INTO history SELECT jobs.id, seq, at_ms, from_state, history.state, event, attempt, reason,"
                " provider, actor FROM jobs, history WHERE history.job_id = :template AND jobs.id >= :first"
                " AND jobs.id < :first + :count AND seq = 1"
            ),
            {"first": first_id, "count": count, "template": int(template.id)},
        )

        if connection.dialect.name == "postgresql":
            connection.execute(text("ANALYZE"))  # as its autovacuum does within a minute; else it plans for few rows

    return copy


def group_copies(template: int, count: int) -> Callable[[Connection], None]:
    """An operation that adds `count` received groups like those of object `template`, of the objects behind it."""

    def copy(connection: Connection) -> None:
        names = [column.name for column in received.columns]
        values = ", ".join({"object_id": "object_id + n"}.get(name, name) for name in names)
        numbers = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)"
        connection.execute(
            text(
                f"INSERT INTO received ({', '.join(names)}) {numbers}"
                f" SELECT {values} FROM received, numbers WHERE object_id = :template"
            ),
            {"template": template, "count": count},
        )
        if connection.dialect.name == "postgresql":
            connection.execute(text("ANALYZE"))

    return copy
