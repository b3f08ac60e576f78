"""Structured logs on stderr, ours and the libraries', for people ("console") or machines ("json").

`get_logger(__name__).info("piece stored", key=..., size_bytes=...)`: the event is a constant phrase, the facts are
keywords. Every line carries the request id and job id of the work it belongs to; these travel with calls between
services and SPs. Values under telling names (secrets, passwords, signatures, ...) and bytes are never written.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, Final

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


@contextmanager
def bound(**facts: object) -> Iterator[None]:
    """Every line logged inside, also by tasks started inside, carries these facts. `bound(job_id=...)`."""
    with structlog.contextvars.bound_contextvars(**facts):
        yield


def current(name: str) -> str | None:
    """A bound fact, for example current("request_id")."""
    value = structlog.contextvars.get_contextvars().get(name)
    return None if value is None else str(value)


def configure(config: LogConfig, service: str) -> None:
    """Send all logs of this process to stderr. `service` stands in every line. May be called again."""
    level = LEVELS[config.level]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.stdlib.add_logger_name,
        _named(service),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # so that configuring again, and capturing in tests, reaches every logger
    )
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(config.format)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [output]
    root.setLevel(level)
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)


def _rendering(format: str) -> list[Processor]:
    if format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    # Not the default rich traceback: it prints local variables, keys and payloads among them.
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]


def _named(service: str) -> Processor:
    def add_service(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("service", service)
        return event

    return add_service


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: hides values under secret names, at any depth, and payloads; clips long texts."""
    return {name: _shown(name, value, NESTING_MAX) for name, value in event.items()}


def _shown(name: object, value: object, depth: int) -> object:
    if SECRET_NAMES.search(str(name)):
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
