"""A relay between a client and the gateway that remembers what was asked, and can spoil two large bodies.

It passes every byte on as it came: Host and signature stay the client's.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

BLOCK_BYTES: Final = 256 * 1024
LARGE_BYTES: Final = 1024 * 1024
SPOIL_AFTER_BYTES: Final = 40 * LARGE_BYTES
SOCKET_TIMEOUT_S: Final = 120
MAX_HEAD_BYTES: Final = 64 * 1024
RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: a close is a reset, not an orderly end."""

SLOW_DOWN: Final = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
_SIZES = re.compile(rb"\r\n(?:content-length|x-amz-decoded-content-length):\s*(\d+)", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect:\s*100-continue", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:\s*chunked", re.IGNORECASE)


class _Ended(Exception):
    """One side closed its connection."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request line."""

    method: str
    target: str

    @property
    def path(self) -> bytes:
        """Percent-decoded."""
        return unquote_to_bytes(self.target.partition("?")[0])


@dataclass(slots=True)
class Log:
    """What a proxy saw. cut: the PUT whose connection it reset half-way through the body; refused: the PUT that it
    answered 503 itself. Each is of another target, and None until it happened. cut_unseen: of
    HTTPS it sees no requests, and reset the connection that brought the SPOIL_AFTER_BYTES-th byte."""

    asked: list[Asked] = field(default_factory=list)
    cut: Asked | None = None
    cut_unseen: bool = False
    refused: Asked | None = None
    _passed_bytes: int = 0
    _large: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, asked: Asked, length: int, *, faulty: bool) -> str:
        """What to do with a request: "pass", "cut" or "refuse"."""
        with self._lock:
            self.asked.append(asked)
            if not faulty or asked.method != "PUT" or length < LARGE_BYTES or asked.target in self._large:
                return "pass"
            self._large.append(asked.target)
            if len(self._large) == 2:
                self.cut = asked
                return "cut"
            if len(self._large) == 3:
                self.refused = asked
                return "refuse"
            return "pass"

    def passed(self, size_bytes: int, *, faulty: bool) -> str:
        """The same for a block of a connection that cannot be read."""
        with self._lock:
            self._passed_bytes += size_bytes
            if faulty and not self.cut_unseen and self._passed_bytes > SPOIL_AFTER_BYTES:
                self.cut_unseen = True
                return "cut"
            return "pass"

    def times(self, of: Asked) -> int:
        return self.asked.count(of)


class Proxy:
    """`with Proxy(endpoint, faulty=True) as proxy`: give `proxy.endpoint` to the client, then look at `proxy.log`.

    endpoint: http://host:port, or https, which it does not look into
    faulty: cut the second large PUT and refuse the third, once each
    """

    def __init__(self, endpoint: str, *, faulty: bool) -> None:
        found = urlsplit(endpoint)
        assert found.hostname
        assert found.port
        self._scheme = found.scheme
        self._upstream = (found.hostname, found.port)
        self._faulty = faulty
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self.log = Log()

    @property
    def endpoint(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for opened in list(self._open):
            _close(opened)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._upstream, SOCKET_TIMEOUT_S)
        except OSError:
            client.close()
            return
        for one in (client, server):
            one.settimeout(SOCKET_TIMEOUT_S)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open |= {client, server}
        threading.Thread(target=_pump, args=(server, client), daemon=True).start()
        try:
            relay = _Relay(client, server, self.log, faulty=self._faulty)
            relay.run() if self._scheme == "http" else relay.run_unseen()
        except (OSError, _Ended):
            _close(server)  # which ends the other direction, and that closes the client's
        finally:
            self._open -= {client, server}


class _Relay:
    """One connection's requests."""

    def __init__(self, client: socket.socket, server: socket.socket, log: Log, *, faulty: bool) -> None:
        self._client, self._server, self._log, self._faulty = client, server, log, faulty
        self._read = b""

    def run(self) -> None:
        """Until an end of it: OSError or _Ended."""
        while True:
            head = self._until(b"\r\n\r\n")
            method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
            size = max((int(found) for found in _SIZES.findall(head)), default=0)
            match self._log.note(Asked(method, target), size, faulty=self._faulty):
                case "refuse":
                    self._refuse(head)
                case what:
                    self._server.sendall(head)
                    left = size // 2 if what == "cut" else None
                    for block in self._body(head):
                        self._server.sendall(block)
                        left = None if left is None else left - len(block)
                        if left is not None and left <= 0:
                            self._reset()

    def run_unseen(self) -> None:
        """The same, without a look at what passes."""
        while True:
            block = self._received()
            if self._log.passed(len(block), faulty=self._faulty) == "cut":
                self._server.sendall(block[: len(block) // 2])
                self._reset()
            self._server.sendall(block)

    def _body(self, head: bytes) -> Iterator[bytes]:
        """As it comes, chunks and all."""
        if not _CHUNKED.search(head):
            found = _LENGTH.search(head)
            yield from self._exactly(int(found[1]) if found else 0)
            return
        size = -1
        while size:
            line = self._until(b"\r\n")
            size = int(line.partition(b";")[0], 16)
            yield line
            yield from self._exactly(size + 2 if size else 0)
        line = b""
        while line != b"\r\n":
            line = self._until(b"\r\n")
            yield line

    def _exactly(self, length: int) -> Iterator[bytes]:
        while length:
            if not self._read:
                self._read = self._received()
            block, self._read = self._read[:length], self._read[length:]
            length -= len(block)
            yield block

    def _until(self, end: bytes) -> bytes:
        """With that end."""
        while end not in self._read:
            assert len(self._read) < MAX_HEAD_BYTES + BLOCK_BYTES
            self._read += self._received()
        line, found, self._read = self._read.partition(end)
        return line + found

    def _received(self) -> bytes:
        block = self._client.recv(BLOCK_BYTES)
        if not block:
            raise _Ended
        return block

    def _refuse(self, head: bytes) -> None:
        if not _EXPECTS.search(head):
            for _ in self._body(head):
                pass
        lines = ("HTTP/1.1 503 Slow Down", "Content-Type: application/xml", f"Content-Length: {len(SLOW_DOWN)}")
        self._client.sendall("\r\n".join((*lines, "Connection: close", "", "")).encode() + SLOW_DOWN)
        self._client.shutdown(socket.SHUT_WR)
        raise _Ended

    def _reset(self) -> None:
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._client.close()
        raise _Ended


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Until either end."""
    with contextlib.suppress(OSError):  # an end of either side, in any manner, is the end of both
        while block := source.recv(BLOCK_BYTES):
            sink.sendall(block)
    _close(source)
    _close(sink)


def _close(opened: socket.socket) -> None:
    with contextlib.suppress(OSError):  # already closed by the other side
        opened.shutdown(socket.SHUT_RDWR)
    opened.close()
