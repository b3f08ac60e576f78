"""The network between simulated providers: delays, losses, cuts, repetitions, partitions, and hosts that lie."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, Final

import grpc

from tests.sim.loop import Owner, SimLoop, context_of, owner
from tests.sim.trace import Trace
from tests.sim.transport import Exchange, Server, Status

KEEPALIVE_S: Final = 25.0
"""How long after the last sign of life both ends take a connection for broken (sp.runtime.rpc.SHARED_OPTIONS)."""

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@dataclass(slots=True)
class Rates:
    """How often something happens to a call, 0 to 1."""

    lost: float = 0.0
    reply_lost: float = 0.0
    cut: float = 0.0
    repeated: float = 0.0
    slow: float = 0.0


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens to one call. cut_after: the connection breaks at this message, counting both directions
    delay_s: of each message, at most; repeat_after_s: the requests arrive once more"""

    lost: bool = False
    reply_lost: bool = False
    cut_after: int | None = None
    repeat_after_s: float | None = None
    delay_s: float = 0.005


@dataclass(eq=False)
class SimNetwork:
    loop: SimLoop
    chance: Random
    trace: Trace
    rates: Rates = field(default_factory=Rates)
    cuts: set[frozenset[str]] = field(default_factory=set)
    slow_hosts: dict[str, float] = field(default_factory=dict)
    liars: set[str] = field(default_factory=set)
    faults: Counter[str] = field(default_factory=Counter)
    carried: int = 0
    _servers: dict[str, Server] = field(default_factory=dict)
    _hosts: dict[str, str] = field(default_factory=dict)
    _open: dict[int, Exchange] = field(default_factory=dict)
    _numbers: int = 0
    _earlier: dict[str, deque[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.process = Owner("network")
        self._context = context_of(self.process)

    # --- where things are

    def listen(self, address: str, server: Server) -> None:
        self._servers[address] = server
        self._hosts[address] = server.process.name

    def silence(self, address: str, server: Server) -> None:
        if self._servers.get(address) is server:
            del self._servers[address]

    def died(self, process: Owner, *, power_lost: bool) -> None:
        """Its connections break: at once when the process was killed, after the keep-alive when the machine went."""
        for address in [a for a, server in self._servers.items() if server.process is process]:
            del self._servers[address]
        for exchange in list(self._open.values()):
            if process in (exchange.caller, exchange.server):
                wait_s = KEEPALIVE_S if power_lost else self._delay(exchange)
                self.after(wait_s, partial(self.break_, exchange, "the other process has gone"))

    def after(self, seconds: float, callback: Callable[[], object]) -> None:
        self.loop.call_later(seconds, callback, context=self._context)

    def parted(self, one: str, other: str) -> bool:
        return frozenset((one, other)) in self.cuts

    # --- calls

    def begin(self, method: str, target: str, metadata: Any) -> Exchange:
        self._numbers += 1
        caller = owner()
        exchange = Exchange(self, self._numbers, method, caller, target, self._fate(caller.name, target), metadata)
        self._open[exchange.number] = exchange
        return exchange

    def _fate(self, caller: str, target: str) -> Fate:
        chance, rates = self.chance, self.rates
        lost = self._happens(rates.lost, "call lost")
        reply_lost = self._happens(rates.reply_lost, "answer lost after the work was done")
        cut_after = chance.randrange(0, 12) if self._happens(rates.cut, "connection cut half-way") else None
        repeat_after_s = chance.uniform(0.01, 90.0) if self._happens(rates.repeated, "call repeated") else None
        delay_s = chance.choice((1.0, 5.0, 20.0)) if self._happens(rates.slow, "call delayed and overtaken") else 0.005
        slow_s = max(self.slow_hosts.get(caller, 0.0), self.slow_hosts.get(self._hosts.get(target, ""), 0.0))
        return Fate(lost, reply_lost, cut_after, repeat_after_s, max(delay_s, slow_s))

    def _happens(self, rate: float, kind: str) -> bool:
        if not rate or self.chance.random() >= rate:
            return False
        self.faults[kind] += 1
        return True

    def _delay(self, exchange: Exchange) -> float:
        return self.chance.uniform(0.0005, exchange.fate.delay_s)

    def send_request(self, exchange: Exchange, message: bytes) -> None:
        exchange.recorded.append(message)
        exchange.requests.sent()
        self._carry(exchange, "request", lambda: self._arrive(exchange, message))

    def send_end(self, exchange: Exchange) -> None:
        self._carry(exchange, "request", lambda: self._arrive(exchange, None))

    def send_reply(self, exchange: Exchange, message: bytes) -> None:
        if exchange.server is not None and exchange.server.name in self.liars:
            message = self._lie(exchange, message)
        exchange.replies.sent()
        self._carry(exchange, "reply", lambda: exchange.replies.put(message), message)

    def send_status(self, exchange: Exchange, status: Status) -> None:
        if exchange.fate.reply_lost:
            self.after(KEEPALIVE_S, lambda: self.break_(exchange, "no answer came"))
            return
        self._carry(exchange, "reply", lambda: exchange.finish(status), status.code.name.encode())

    def hang_up(self, exchange: Exchange) -> None:
        """The caller has cancelled, or its deadline has passed: the serving side learns of it."""
        self.after(self._delay(exchange), lambda: self._stop_serving(exchange))

    def break_(self, exchange: Exchange, why: str) -> None:
        """Both ends learn that the connection is gone."""
        self._stop_serving(exchange)
        exchange.finish(Status(UNAVAILABLE, why))

    def over(self, exchange: Exchange) -> None:
        self._open.pop(exchange.number, None)
        if exchange.fate.repeat_after_s is not None and exchange.recorded:
            self.after(exchange.fate.repeat_after_s, lambda: self._repeat(exchange))

    def _carry(self, exchange: Exchange, way: str, arrive: Callable[[], object], content: bytes = b"") -> None:
        """One message on its way, after those sent before it in its direction."""
        count = exchange._carried["messages"] = exchange._carried.get("messages", 0) + 1
        if exchange.fate.cut_after is not None and count > exchange.fate.cut_after:
            self.after(self._delay(exchange), lambda: self.break_(exchange, "connection reset"))
            return
        at = max(self.loop.time() + self._delay(exchange), exchange._last_at.get(way, 0.0))
        exchange._last_at[way] = at

        def deliver() -> None:
            host = self._hosts.get(exchange.callee, exchange.callee)
            if self.parted(exchange.caller.name, host) or (way == "request" and exchange.fate.lost):
                if exchange._carried.setdefault("broken", 0) == 0:
                    exchange._carried["broken"] = 1
                    self.after(KEEPALIVE_S, lambda: self.break_(exchange, "no sign of life"))
                return
            self.carried += 1
            self.trace.note(way, exchange.number, exchange.method, exchange.caller.name, host, content)
            arrive()

        self.loop.call_at(at, deliver, context=self._context)

    def _arrive(self, exchange: Exchange, message: bytes | None) -> None:
        if exchange.server is None and exchange.status is None:
            server = self._servers.get(exchange.callee)
            if server is None:
                self.after(self._delay(exchange), lambda: exchange.finish(Status(UNAVAILABLE, "connection refused")))
                return
            exchange.server = server.process
            exchange.serving = self.loop.spawn(server.process, server.serve(exchange), f"serve {exchange.method}")
            exchange.serving.add_done_callback(_retrieved)
        if message is None:
            exchange.requests.end()
        else:
            exchange.requests.put(message)

    def _stop_serving(self, exchange: Exchange) -> None:
        if exchange.serving is not None and not exchange.serving.done():
            exchange.serving.cancel()

    def _repeat(self, first: Exchange) -> None:
        """The same messages once more, from nowhere: the answers go nowhere."""
        if first.callee not in self._servers:
            return
        self._numbers += 1
        ghost = Owner("replay")
        exchange = Exchange(self, self._numbers, first.method, ghost, first.callee, Fate(), first.metadata)
        for message in first.recorded:
            exchange.requests.sent()
            self._carry(exchange, "request", partial(self._arrive, exchange, message))
        self.send_end(exchange)
        self.after(60.0, lambda: self.break_(exchange, "the replay is over"))

    def _lie(self, exchange: Exchange, message: bytes) -> bytes:
        """Other bytes than the honest service gave: a bit turned, an answer given earlier, or a part of it."""
        earlier = self._earlier.setdefault(exchange.method, deque(maxlen=32))
        earlier.append(message)
        if not message or self.chance.random() < 0.5:
            return message
        match self.chance.randrange(3):
            case 0:
                self.faults["lie: a bit turned"] += 1
                at = self.chance.randrange(len(message))
                return message[:at] + bytes([message[at] ^ 1 << self.chance.randrange(8)]) + message[at + 1 :]
            case 1:
                self.faults["lie: an answer given earlier"] += 1
                return self.chance.choice(list(earlier))
            case _:
                self.faults["lie: half an answer"] += 1
                return message[: self.chance.randrange(len(message))]


def _retrieved(task: asyncio.Task[None]) -> None:
    """What a serving task raises has been told to its caller, or logged by the guard."""
    if not task.cancelled():
        task.exception()
