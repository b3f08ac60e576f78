"""Segments too small for a file each: the payload of an object of one small segment, beside the row of its job."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, LargeBinary, Table

from spdb.models.columns import BIG, METADATA
from spdb.models.jobs import jobs

# Job ids ascend with time and are the row's own number on SQLite: new rows go to the table's end, into pages that
# puts of the same moment share, and there is no second index to write.
small_segments = Table(
    "small_segments",
    METADATA,
    Column("job_id", BIG, ForeignKey(jobs.c.id), primary_key=True, autoincrement=False),
    Column("payload", LargeBinary, nullable=False),
)
