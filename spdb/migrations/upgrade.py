"""Bring a database's schema up to date, on a connection whose transaction and lock the caller holds."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from sp.domain.errors import ConfigError

_ALONE: Final = threading.Lock()
"""Alembic keeps its context in module globals: one migration at a time in one process."""


def upgrade(connection: Connection) -> None:
    """Run what the database lacks. ConfigError when its schema is of a revision that this program does not know."""
    config = alembic_config()
    scripts = ScriptDirectory.from_config(config)
    current = set(MigrationContext.configure(connection).get_current_heads())
    unknown = current - {script.revision for script in scripts.walk_revisions()}
    if unknown:
        raise ConfigError("spdb", f"schema {sorted(unknown)[0]} is newer than this program")
    if current == set(scripts.get_heads()):
        return
    config.attributes["connection"] = connection
    with _ALONE:
        command.upgrade(config, "head")


def alembic_config() -> Config:
    """Alembic's settings: where the revisions lie."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
