"""What the drivers raise, as errors a caller can act on. Our own mistakes (wrong SQL, broken constraints) stay."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from sp.domain.errors import Overloaded, ServiceUnavailable, SpError

_UNAVAILABLE: Final = (
    OperationalError,
    InterfaceError,
    InternalError,
    sqlite3.OperationalError,
    sqlite3.InterfaceError,
    sqlite3.InternalError,
)
"""SQLAlchemy's, and sqlite3's own, which `Prepared` lets through."""

RETRYABLE_STATES = frozenset({"40001", "40P01"})
"""PostgreSQL: serialization_failure and deadlock_detected. It left no trace: the same again may succeed."""

_SERVERS_OWN_CLASSES = ("08", "53", "57", "58")
"""PostgreSQL's classes of states that tell of the server and not of the statement: no connection, no resources,
intervention (starting up and shutting down, an operator's cancelling, a statement's time being over), system errors."""

_SERVERS_OWN_STATES = frozenset({"25P03", "55P03"})
"""idle_in_transaction_session_timeout, lock_not_available."""


def is_retryable(error: BaseException) -> bool:
    return isinstance(error, DBAPIError) and _state(error) in RETRYABLE_STATES


def meaning(error: Exception) -> Exception:
    """ServiceUnavailable or Overloaded for what an operator, not a programmer, must mend; else `error` itself."""
    if isinstance(error, SpError):
        return error
    if isinstance(error, PoolTimeout):
        return Overloaded("spdb connections")
    if isinstance(error, IntegrityError):
        return error
    if isinstance(error, _UNAVAILABLE) or _unavailable(error):
        return ServiceUnavailable("spdb", _first_line(error))
    if isinstance(error, (OSError, TimeoutError)):
        return ServiceUnavailable("spdb", _first_line(error) or "no answer in time")
    return error


@contextmanager
def translated() -> Iterator[None]:
    """Raise the meaning of what is raised inside."""
    try:
        yield
    except Exception as error:
        known = meaning(error)
        if known is error:
            raise
        raise known from error


def _unavailable(error: Exception) -> bool:
    if not isinstance(error, DBAPIError):
        return False
    state = _state(error)
    of_the_server = state.startswith(_SERVERS_OWN_CLASSES) or state in _SERVERS_OWN_STATES
    return error.connection_invalidated or is_retryable(error) or of_the_server


def _state(error: DBAPIError) -> str:
    """The five characters that PostgreSQL says; "" where there are none."""
    return getattr(error.orig, "sqlstate", None) or ""


def _first_line(error: Exception) -> str:
    """The driver's own words, without the statement and its parameters (they may hold what is not for a log)."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = str(cause).splitlines()
    return lines[0][:200] if lines else ""
