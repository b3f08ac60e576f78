"""The one stream of blocks that a process keeps open to its node, and those who wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from random import Random
from typing import Final

from chain.dev.news import News
from sp.domain.errors import ServiceUnavailable, SpError
from sp.domain.ids import TxHash
from sp.domain.ledger import Block, TxResult
from sp.runtime.clock import Clock
from sp.runtime.log import get_logger

FIRST_RETRY_S: Final = 0.05
LAST_RETRY_S: Final = 0.8

log = get_logger(__name__)


@dataclass(eq=False, slots=True)
class Watch:
    """seen: the transaction was in a block since this was set to False; result: as far as the block's news said it"""

    seen: bool = False
    result: TxResult | None = None


class Follower:
    """stream:      opens a stream that begins with the newest block and goes on without end; it waits for the node
    on_news:     told of every block, before anyone who waits; and, with None, that a new stream begins: what happened
                 since the old one ended is not known
    patience_s:  how long a wait goes on without a stream

    connected:   whether the newest block is known
    connections: streams so far that brought a block
    newest:      the newest block heard of, height 0 before the first
    """

    def __init__(
        self,
        stream: Callable[[], AsyncIterator[News]],
        on_news: Callable[[News | None], None],
        clock: Clock,
        random: Random,
        patience_s: float,
    ) -> None:
        self.connected = False
        self.connections = 0
        self.newest = Block(0, 0)
        self._stream = stream
        self._on_news = on_news
        self._clock = clock
        self._random = random
        self._patience_s = patience_s
        self._alone_since_s = clock.monotonic_s()
        self._changed = asyncio.Event()
        self._watches: dict[TxHash, set[Watch]] = {}

    async def run(self) -> None:
        """Keep a stream open, until cancelled."""
        retry_s = FIRST_RETRY_S
        while True:
            before = self.connections
            try:
                async with aclosing(self._stream()) as blocks:  # type: ignore[type-var]  # a generator, as all are
                    async for news in blocks:
                        self._hear(news)
                log.info("chain stream ended")
            except SpError as error:
                log.warning("chain stream lost", error=type(error).__name__, reason=str(error))
            finally:
                self._lose()
            if self.connections > before:
                retry_s = FIRST_RETRY_S
            else:
                await self._clock.sleep(retry_s * self._random.uniform(0.75, 1.25))
                retry_s = min(2 * retry_s, LAST_RETRY_S)

    async def until(self, ready: Callable[[], bool]) -> None:
        """Wait until `ready()`, which is asked again after every block and every change of the connection.

        ServiceUnavailable once there has been no stream for `patience_s`.
        """
        while not ready():
            changed = self._changed
            try:
                async with asyncio.timeout(None if self.connected else self._patience_left_s()):
                    await changed.wait()
            except TimeoutError as error:
                raise ServiceUnavailable("chain", f"no block stream for {self._patience_s} s") from error

    @contextmanager
    def watch(self, tx_hash: TxHash) -> Iterator[Watch]:
        """Inside, `seen` becomes true when a block has this transaction."""
        watch = Watch()
        watches = self._watches.setdefault(tx_hash, set())
        watches.add(watch)
        try:
            yield watch
        finally:
            watches.discard(watch)
            if not watches:
                del self._watches[tx_hash]

    def _hear(self, news: News) -> None:
        if not self.connected:
            self.connected = True
            self.connections += 1
            self._on_news(None)
        self.newest = news.block
        self._on_news(news)
        for tx_hash in news.block.tx_hashes:
            for watch in self._watches.get(tx_hash, ()):
                watch.seen, watch.result = True, news.results.get(tx_hash)
        self._tell()

    def _lose(self) -> None:
        if self.connected:
            self.connected = False
            self._alone_since_s = self._clock.monotonic_s()
            self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _patience_left_s(self) -> float:
        return max(0.0, self._alone_since_s + self._patience_s - self._clock.monotonic_s())
