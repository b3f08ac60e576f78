"""Reads one HTTP/1.1 answer after the other from a connection, and keeps nothing of their bodies but their length."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_HEAD_MAX: Final = 64 * 1024
_KEPT_OF_ERROR: Final = 300
_LAST_CHUNK: Final = b"0\r\n\r\n"


class NotHttp(Exception):
    """What arrived is no answer of HTTP/1.1."""


@dataclass(slots=True)
class Answer:
    """status 0: its head has not come yet. left: bytes of the body still to come, None: until the last chunk.
    start: the first bytes of the body, for an error's words."""

    has_body: bool = True
    status: int = 0
    body_bytes: int = 0
    left: int | None = 0
    closes: bool = False
    head: bytes = b""
    start: bytes = b""
    _tail: bytes = field(default=b"", repr=False)

    @property
    def complete(self) -> bool:
        return self.status >= 200 and self.left == 0

    def feed(self, received: memoryview) -> None:
        """Take in what was received. NotHttp. Nothing may follow the answer: the next request is not sent before."""
        if self.status < 200:
            received = self._feed_head(received)
        if self.status < 200 or not received.nbytes:
            return
        self.body_bytes += received.nbytes
        if len(self.start) < _KEPT_OF_ERROR:
            self.start += bytes(received[:_KEPT_OF_ERROR])
        if self.left is not None:
            self.left -= received.nbytes
            if self.left < 0:
                raise NotHttp("more than Content-Length says")
        else:
            self._tail = (self._tail + bytes(received[-len(_LAST_CHUNK) :]))[-len(_LAST_CHUNK) :]
            self.left = 0 if self._tail == _LAST_CHUNK else None

    def _feed_head(self, received: memoryview) -> memoryview:
        """Parse the head when it is complete; what follows it."""
        self.head += bytes(received)
        end = self.head.find(b"\r\n\r\n")
        if end < 0:
            if len(self.head) > _HEAD_MAX:
                raise NotHttp("a head without an end")
            return memoryview(b"")
        head, rest = self.head[: end + 2], memoryview(self.head)[end + 4 :]
        try:
            self.status = int(head[9:12])
        except ValueError as error:
            raise NotHttp(f"no status in {head[:40]!r}") from error
        if self.status < 200:  # 100 Continue: the answer itself follows
            self.head = b""
            return self._feed_head(rest) if rest.nbytes else rest
        self.closes = _CLOSE.search(head) is not None
        if not self.has_body or self.status in (204, 304):
            self.left = 0
        elif _CHUNKED.search(head):
            self.left = None
        else:
            length = _LENGTH.search(head)
            self.left = int(length.group(1)) if length else 0
        self.head = head
        return rest

    def header(self, name: str) -> str:
        """The value of a header; "" when there is none."""
        found = re.search(rb"\r\n" + re.escape(name.encode()) + rb": *([^\r]*)", self.head, re.IGNORECASE)
        return found.group(1).decode("latin-1") if found else ""
