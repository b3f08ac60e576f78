"""The database of an SP, opened once per process and shared by its services."""

from __future__ import annotations

from sp.runtime.parts import Parts
from spdb.database import Database, open_database

SQLITE = "sqlite:///"


async def shared_database(parts: Parts) -> Database:
    """By `[spdb] url`; a relative SQLite path is below the SP's directory."""
    url = parts.common.spdb.url
    if url.startswith(SQLITE):
        path = parts.file.path_of(url.removeprefix(SQLITE))
        path.parent.mkdir(parents=True, exist_ok=True)
        url = f"{SQLITE}{path}"
    return await parts.once("spdb", lambda: open_database(url))
