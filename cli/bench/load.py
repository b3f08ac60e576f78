"""The load generator: one thread, plain sockets, requests that were made ready before.

A small request costs it some 20 us and a byte is copied once, by the kernel, so that it is not what is measured; boto3
costs 50 times as much.
"""

from __future__ import annotations

import select
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from cli.bench.answers import Answer, NotHttp
from cli.bench.requests import Request

READ_BYTES: Final = 1024 * 1024
SEND_BYTES: Final = 1024 * 1024
_JOINED_BYTES: Final = 64 * 1024
"""A body up to this size goes out in one call with its head."""

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Sample:
    """One request that was answered as it should. ended_s: since the start of the run; waited_s: from its first byte
    sent (or, at a fixed rate, from when it was due) to the last byte of its answer; moved_bytes: both bodies"""

    kind: str
    ended_s: float
    waited_s: float
    moved_bytes: int


@dataclass(slots=True)
class Outcome:
    """What a run gave. failures: how many of each kind of bad answer"""

    samples: list[Sample] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    elapsed_s: float = 0.0

    @property
    def moved_bytes(self) -> int:
        return sum(sample.moved_bytes for sample in self.samples)

    @property
    def bytes_per_s(self) -> float:
        return self.moved_bytes / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def per_s(self) -> float:
        return len(self.samples) / self.elapsed_s if self.elapsed_s else 0.0

    def waits_s(self, kind: str = "") -> list[float]:
        """Sorted; of one kind, or all."""
        return sorted(sample.waited_s for sample in self.samples if kind in ("", sample.kind))


@dataclass(slots=True)
class _Connection:
    address: Address
    file: socket.socket | None = None
    request: Request | None = None
    began_s: float = 0.0
    unsent: deque[memoryview] = field(default_factory=deque)
    answer: Answer = field(default_factory=Answer)

    def open(self) -> socket.socket:
        if self.file is None:
            self.file = socket.create_connection(self.address, timeout=10.0)
            self.file.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.file.setblocking(False)
        return self.file

    def begin(self, request: Request, began_s: float) -> None:
        self.request, self.began_s = request, began_s
        self.answer = Answer(has_body=request.has_answer_body)
        if request.body_bytes <= _JOINED_BYTES:
            self.unsent.append(memoryview(request.head + b"".join((request.body, *request.rest))))
        else:
            self.unsent.extend((memoryview(request.head), request.body, *request.rest))

    def send(self) -> bool:
        """What the socket takes now; whether all is sent."""
        assert self.file is not None
        while self.unsent:
            part = self.unsent[0]
            try:
                sent = self.file.send(part[:SEND_BYTES])
            except BlockingIOError:
                return False
            if sent == len(part):
                self.unsent.popleft()
            else:
                self.unsent[0] = part[sent:]
        return True

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None
        self.unsent.clear()
        self.request = None


class Load:
    """Sends requests to one address over so many connections at once, each the next one as soon as it has its answer.

    on_answer: told the kind of each request that was answered as it should
    """

    def __init__(self, address: Address, clients: int, on_answer: Callable[[str], None] | None = None) -> None:
        self._on_answer = on_answer
        self._connections = [_Connection(address) for _ in range(clients)]
        self._by_fd: dict[int, _Connection] = {}
        self._read = memoryview(bytearray(READ_BYTES))
        self._epoll = select.epoll()
        self._idle: deque[_Connection] = deque(self._connections)
        self._outcome = Outcome()
        self._started_s = 0.0
        self.last_answer = Answer()

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        self._by_fd.clear()
        self._epoll.close()

    def run(
        self, requests: Iterator[Request], *, seconds: float | None = None, rate_per_s: float | None = None
    ) -> Outcome:
        """All requests, or those that begin within `seconds`; at a fixed rate if one is given (then a request that
        finds no free connection waits, and its wait counts). Requests under way at the end are completed and count."""
        self._outcome = Outcome()
        self._started_s = time.perf_counter()
        ends_s = None if seconds is None else self._started_s + seconds
        begun, waiting = 0, True
        while waiting or len(self._idle) < len(self._connections):
            now = time.perf_counter()
            due_s: float | None = None
            while waiting and self._idle:
                due_s = now if rate_per_s is None else self._started_s + begun / rate_per_s
                if ends_s is not None and max(now, due_s) >= ends_s:
                    waiting = False
                elif due_s > now:
                    break
                elif (request := next(requests, None)) is None:
                    waiting = False
                else:
                    begun += 1
                    self._begin(request, due_s if rate_per_s is not None else time.perf_counter())
            pause_s = max(0.0, due_s - now) if waiting and self._idle and due_s is not None else 30.0
            if waiting or len(self._idle) < len(self._connections):
                self._turn(pause_s)
        self._outcome.elapsed_s = time.perf_counter() - self._started_s
        return self._outcome

    def one(self, request: Request) -> Outcome:
        return self.run(iter((request,)))

    def _begin(self, request: Request, began_s: float) -> None:
        connection = self._idle.popleft()
        fresh = connection.file is None
        file = connection.open()
        connection.begin(request, began_s)
        if fresh:
            self._by_fd[file.fileno()] = connection
            self._epoll.register(file.fileno(), select.EPOLLIN)
        self._send(connection)

    def _send(self, connection: _Connection) -> None:
        assert connection.file is not None
        pending = bool(connection.unsent)
        try:
            done = connection.send()
        except (BrokenPipeError, ConnectionResetError):
            done = True  # the answer that says why may still be there to read
            connection.unsent.clear()
        if pending:
            self._epoll.modify(connection.file.fileno(), select.EPOLLIN | (0 if done else select.EPOLLOUT))

    def _turn(self, timeout_s: float) -> None:
        ready = self._epoll.poll(timeout_s)
        if not ready and timeout_s >= 30.0:
            raise TimeoutError("no answer for 30 s")
        for fd, events in ready:
            connection = self._by_fd[fd]
            if events & select.EPOLLOUT:
                self._send(connection)
            if events & ~select.EPOLLOUT:
                self._receive(connection)

    def _receive(self, connection: _Connection) -> None:
        assert connection.file is not None
        while True:
            try:
                count = connection.file.recv_into(self._read)
                if count:
                    connection.answer.feed(self._read[:count])
            except BlockingIOError:
                return
            except (ConnectionError, NotHttp) as error:
                self._end(connection, type(error).__name__)
                return
            if not count:
                self._end(connection, "connection closed")
                return
            if connection.answer.complete:
                self._end(connection, "")
                return
            if count < READ_BYTES:
                return

    def _end(self, connection: _Connection, broken: str) -> None:
        """The answer is complete, or will never be (`broken` says why)."""
        now = time.perf_counter()
        request, answer = connection.request, connection.answer
        unsent = bool(connection.unsent)
        self.last_answer = answer
        failure = broken
        if request is not None:
            if not broken:
                failure = _failure(request, answer)
            if failure:
                self._outcome.failures[failure] += 1
            else:
                moved = request.body_bytes + answer.body_bytes
                waited_s = now - connection.began_s
                self._outcome.samples.append(Sample(request.kind, now - self._started_s, waited_s, moved))
                if self._on_answer is not None:
                    self._on_answer(request.kind)
            connection.request = None
            self._idle.append(connection)
        if broken or answer.closes or unsent:
            assert connection.file is not None
            del self._by_fd[connection.file.fileno()]
            connection.close()


def _failure(request: Request, answer: Answer) -> str:
    """What is wrong with a complete answer; "" when nothing is."""
    if not 200 <= answer.status < 300:
        words = answer.start.partition(b"<Code>")[2].partition(b"</Code>")[0].decode("latin-1")
        return f"{answer.status} {words}".strip()
    if request.answer_bytes is not None and answer.body_bytes != request.answer_bytes:
        return f"{answer.body_bytes} bytes instead of {request.answer_bytes}"
    return ""
