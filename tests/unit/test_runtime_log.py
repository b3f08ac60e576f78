from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from sp.runtime import log
from sp.runtime.config import LogConfig

JSON = LogConfig(format="json")


@pytest.fixture
def configured(capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """Configures logging as a process would, and puts everything back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    chatty = {name: logging.getLogger(name).level for name in log.CHATTY}

    def configure(config: LogConfig) -> Any:
        log.configure(config, "uploader")
        return lambda: capsys.readouterr().err

    yield configure
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, old in chatty.items():
        logging.getLogger(name).setLevel(old)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_has_its_event_facts_service_level_and_ids(configured: Any) -> None:
    written = configured(JSON)
    with log.bound(request_id="r", job_id=7):
        log.get_logger("a.module").info("piece stored", key="k", size_bytes=3)
    log.get_logger("a.module").info("after")
    first, second = lines(written())
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "event": "piece stored",
        "key": "k",
        "size_bytes": 3,
        "request_id": "r",
        "job_id": 7,
        "level": "info",
        "service": "uploader",
        "logger": "a.module",
    }
    assert "request_id" not in second


def test_libraries_write_the_same_lines(configured: Any) -> None:
    written = configured(JSON)
    with log.bound(request_id="r"):
        logging.getLogger("some.library").warning("%s failed", "it")
    (line,) = lines(written())
    expected = {"event": "it failed", "request_id": "r", "level": "warning", "logger": "some.library"}
    assert line.items() >= expected.items()


@pytest.mark.parametrize("format", ["json", "console"])
def test_a_trace_is_written_without_the_values_of_variables(configured: Any, format: Any) -> None:
    written = configured(LogConfig(format=format))
    private = "the-private-" + "value"
    try:
        raise ValueError("reason")
    except ValueError:
        log.get_logger("m").exception("it broke")
    text = written()
    assert "Traceback" in text
    assert "ValueError: reason" in text
    assert private not in text


@pytest.mark.parametrize("format", ["json", "console"])
def test_secrets_and_payloads_are_never_written(configured: Any, format: Any) -> None:
    written = configured(LogConfig(format=format))
    log.get_logger("m").warning(
        "x",
        secret_key="S1",
        dbPassword="S2",
        private_key="S3",
        approval_signature="S4",
        request={"headers": [{"Authorization": "S5"}, {"X-Amz-Security-Token": "S6"}], "mnemonic": "S7"},
        payload=b"S8",
        key="visible",
    )
    text = written()
    assert not [f"S{n}" for n in range(1, 9) if f"S{n}" in text]
    assert "visible" in text
    assert "<2 bytes>" in text


def test_levels_below_the_configured_one_and_chatty_libraries_are_silent(configured: Any) -> None:
    written = configured(LogConfig(level="warning", format="json"))
    log.get_logger("m").info("no")
    logging.getLogger("lib").info("no")
    logging.getLogger("sqlalchemy.engine").info("no")
    log.get_logger("m").warning("yes")
    assert [line["event"] for line in lines(written())] == ["yes"]


def test_a_long_text_is_clipped(configured: Any) -> None:
    written = configured(JSON)
    log.get_logger("m").warning("x", text="t" * 100_000)
    (line,) = lines(written())
    assert len(line["text"]) < 5000


def test_logs_go_to_stderr_only() -> None:
    program = (
        "from sp.runtime import log; from sp.runtime.config import LogConfig;"
        "log.configure(LogConfig(), 'x'); log.get_logger('m').info('hello')"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout == ""
    assert "hello" in answer.stderr


def test_a_plain_line_stays_one_line_whatever_is_in_it(configured: Any) -> None:
    written = configured(LogConfig())
    log.get_logger("a.module").info("piece stored", key="two words", path="/a\nfake [error  ] forged", size_bytes=3)
    (line,) = written().splitlines()
    assert line.endswith(
        "piece stored [a.module] key='two words' path='/a\\nfake [error  ] forged' size_bytes=3 service=uploader"
    )
