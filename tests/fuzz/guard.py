"""What every target needs: a request out of raw bytes, and coroutines that have nothing to wait for."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

from gateway.errors_http import greenfield_answer, s3_answer
from gateway.request import RequestHead
from gateway.s3_xml import greenfield_error, s3_error
from sp.domain.errors import InternalError, SpError
from sp.runtime.errors import detail_of

T = TypeVar("T")

Run = Callable[[bytes], None]
"""A target: whatever it raises is a crash. It swallows the typed refusals that its parsers document."""

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_NOT_IN_A_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NOT_IN_A_TARGET = re.compile(r"[\x00-\x20\x7f]")


class refusing:
    """Typed refusals are what a parser may raise, and each can be told in every dialect. An InternalError is none: it
    stands for a mistake of ours."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, SpError) or isinstance(error, InternalError):
            return False
        s3, greenfield = s3_answer(error), greenfield_answer(error)
        s3_error(s3.code, s3.message, "", "", s3.extra)
        greenfield_error(int(greenfield.code), greenfield.message)
        detail_of(error)
        return True


def attempt(call: Callable[[], T]) -> T | None:
    """What it returns; None when it refuses."""
    with refusing():
        return call()
    return None


def finished(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        coroutine.close()
    raise AssertionError("it waits for something")


def request_of(raw: bytes) -> tuple[RequestHead, bytes] | None:
    """Head and body of a request written as HTTP/1.1 has it; None for what the HTTP parser would not let through."""
    text, _, body = raw.partition(b"\n\n")
    lines = text.decode("utf-8", "surrogateescape").split("\n")
    method, blank, target = lines[0].partition(" ")
    if not (blank and _TOKEN.fullmatch(method)) or _NOT_IN_A_TARGET.search(target):
        return None
    headers = []
    for line in lines[1:]:
        name, _, value = line.partition(":")
        if _TOKEN.fullmatch(name) and not _NOT_IN_A_VALUE.search(value):
            headers.append((name, value.strip(" \t")))
    head = attempt(lambda: RequestHead.of_target(method, target, headers))
    return None if head is None else (head, body)
