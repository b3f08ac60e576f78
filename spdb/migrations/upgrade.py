"""Bring a database's schema up to date, on a connection whose transaction and lock the caller holds."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, inspect, text

from sp.domain.errors import ConfigError

if TYPE_CHECKING:
    from alembic.config import Config

HEAD: Final = "0006"
"""The newest revision. Known here so that a start that migrates nothing need not load Alembic: 11 MB a process."""

_ALONE: Final = threading.Lock()
"""Alembic keeps its context in module globals: one migration at a time in one process."""


def upgrade(connection: Connection) -> None:
    """Run what the database lacks. ConfigError when its schema is of a revision that this program does not know."""
    current = revisions(connection)
    if current == {HEAD}:
        return
    from alembic import command
    from alembic.script import ScriptDirectory

    config = alembic_config()
    scripts = ScriptDirectory.from_config(config)
    unknown = current - {script.revision for script in scripts.walk_revisions()}
    if unknown:
        raise ConfigError("spdb", f"schema {sorted(unknown)[0]} is newer than this program")
    config.attributes["connection"] = connection
    with _ALONE:
        command.upgrade(config, "head")


def revisions(connection: Connection) -> set[str]:
    """What Alembic has noted in this database; nothing in an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return set()
    return set(connection.execute(text("SELECT version_num FROM alembic_version")).scalars())


def alembic_config() -> Config:
    """Alembic's settings: where the revisions lie."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
