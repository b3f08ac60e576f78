"""Structured logs on stderr, ours and the libraries', for people ("console") or machines ("json").

`get_logger(__name__).info("piece stored", key=..., size_bytes=...)`: the event is a constant phrase, the facts are
keywords. Every line carries the request id and job id of the work it belongs to; these travel with calls between
services and SPs. Values under telling names (secrets, passwords, signatures, ...) and bytes are never written.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, TextIO

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from sp.runtime.config import LogConfig

REDACTED: Final = "[redacted]"
TEXT_MAX_CHARS: Final = 4000
NESTING_MAX: Final = 4

SECRET_NAMES: Final = re.compile(
    r"secret|passw(or)?d|private_?key|mnemonic|signature|authorization|credential|(session|security|access)[-_]?token",
    re.IGNORECASE,
)

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

CHATTY: Final = ("asyncio", "aiosqlite", "sqlalchemy", "aiohttp.access", "grpc", "alembic", "botocore", "urllib3")
"""Libraries whose lines below WARNING say nothing about us."""


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger that names this module. May be called at import: it is configured when first used."""
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


_facts: Final[ContextVar[Mapping[str, object]]] = ContextVar("sp_log_facts", default=MappingProxyType({}))
"""One variable for all facts: structlog's own, one for each, are found by looking through the whole context."""


class bound:
    """Every line logged inside, also by tasks started inside, carries these facts. `bound(job_id=...)`."""

    __slots__ = ("_facts", "_token")

    def __init__(self, **facts: object) -> None:
        self._facts = facts
        self._token: Token[Mapping[str, object]] | None = None

    def __enter__(self) -> None:
        self._token = _facts.set({**_facts.get(), **self._facts})

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        _facts.reset(self._token)


def current(name: str) -> str | None:
    """A bound fact, for example current("request_id")."""
    value = _facts.get().get(name)
    return None if value is None else str(value)


def merge_bound(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: adds the bound facts."""
    for name, value in _facts.get().items():
        event.setdefault(name, value)
    return event


def configure(config: LogConfig, service: str) -> None:
    """Send all logs of this process to stderr. `service` stands in every line. May be called again."""
    level, rendering = LEVELS[config.level], _rendering(config.format)
    shared: list[Processor] = [merge_bound, structlog.processors.add_log_level, _said_by(service)]
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_Lines(sys.stderr),
        cache_logger_on_first_use=False,  # so that configuring again, and capturing in tests, reaches every logger
    )
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [output]
    root.setLevel(level)
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)


class _Lines:
    """Makes the loggers of our own lines. They do not go through `logging`: its record of where each line was logged
    from takes longer than all the rest, and there is a line for every request."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def __call__(self, name: str = "") -> _Line:
        return _Line(name, self._write)

    def _write(self, line: str) -> None:
        with self._lock:
            self._stream.write(f"{line}\n")
            self._stream.flush()


class _Line:
    """What structlog calls with a rendered line."""

    def __init__(self, name: str, write: Callable[[str], None]) -> None:
        self.name = name
        self.debug = self.info = self.warning = self.error = self.critical = write


def _rendering(format: str) -> list[Processor]:
    """Nothing that is secret, or a payload, gets past it."""
    if format == "json":
        return [redact, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    if not sys.stderr.isatty():
        return [structlog.processors.format_exc_info, _plain]
    # Not the default rich traceback: it prints local variables, keys and payloads among them.
    return [redact, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]


def _plain(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """For people who read a file: no colours and no columns, which cost more than the rest of the line. Redacts as it
    goes: one look at each fact."""
    time, level, what, logger = (event.pop(name, "") for name in ("timestamp", "level", "event", "logger"))
    trace = event.pop("exception", "")
    facts = "".join([f" {name}={_worded(name, value)}" for name, value in event.items()])
    line = f"{time} [{level:<7}] {_one_line(str(_safe('event', what)))} [{logger}]{facts}"
    return f"{line}\n{trace}" if trace else line


def _worded(name: str, value: object) -> str:
    """So that a value ends where it ends, and a line too, whatever a stranger has put into them."""
    shown = _safe(name, value)
    text = shown if isinstance(shown, str) else repr(shown)
    return text if text.isprintable() and " " not in text and text else repr(text)


def _one_line(text: str) -> str:
    return text if text.isprintable() else repr(text)


def _said_by(service: str) -> Processor:
    """Which logger of which service, and when."""

    def add(logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        record = event.get("_record")  # of a library that uses `logging`
        event["logger"] = logger.name if record is None else record.name
        event.setdefault("service", service)
        event["timestamp"] = f"{datetime.now(UTC).isoformat().removesuffix('+00:00')}Z"
        return event

    return add


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: hides values under secret names, at any depth, and payloads; clips long texts."""
    return {name: _safe(name, value) for name, value in event.items()}


def _safe(name: str, value: object) -> object:
    """The value of a fact as it may be shown. Nearly all are plain."""
    if _is_plain(value):
        return REDACTED if _is_secret(name) else value
    return _shown(name, value, NESTING_MAX)


def _is_plain(value: object) -> bool:
    kind = type(value)
    return len(value) <= TEXT_MAX_CHARS if kind is str else kind in _AS_THEY_ARE  # type: ignore[arg-type]


_AS_THEY_ARE: Final = frozenset({int, float, bool, type(None)})
"""Types of values that are shown as they are."""


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    return SECRET_NAMES.search(name) is not None


def _shown(name: object, value: object, depth: int) -> object:
    if _is_secret(str(name)):
        return REDACTED
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{memoryview(value).nbytes} bytes>"
    if isinstance(value, str):
        return value if len(value) <= TEXT_MAX_CHARS else value[:TEXT_MAX_CHARS] + "…"
    if isinstance(value, Mapping):
        return {str(k): _shown(k, v, depth - 1) for k, v in value.items()} if depth else "…"
    if isinstance(value, list | tuple | set | frozenset) and name != "exc_info":
        return [_shown("", item, depth - 1) for item in value] if depth else "…"
    return value
