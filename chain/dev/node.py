"""One chain node: takes transactions, makes blocks, answers from the newest finished one.

A block's way: taken from the pool, written to the log and synced, executed, told to those who wait. So nobody sees what
a crash could take back. Everything but the log and the seals' signatures happens on the event loop, between two awaits;
a query therefore never sees half a block.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from chain.dev.apply import Tx, check, execute, read_tx
from chain.dev.codes import Code
from chain.dev.config import ChainNodeConfig, Production
from chain.dev.faults import Faults
from chain.dev.genesis import Genesis
from chain.dev.history import History
from chain.dev.pool import Pool
from chain.dev.sealing import receipts_of, recovered
from chain.dev.state import State
from chain.dev.store import LoggedBlock, Store, open_store
from sp.domain.errors import ServiceUnavailable
from sp.domain.ids import Signature, TxHash
from sp.domain.ledger import Block
from sp.domain.messages import MsgSealObject
from sp.runtime.clock import Clock
from sp.runtime.log import get_logger
from sp.runtime.metrics import counter, gauge
from sp.runtime.pool import CpuPool

P = ParamSpec("P")
T = TypeVar("T")
Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]

MAX_TX_BYTES: Final = 256 * 1024
RESERVED_AHEAD: Final = 16
"""Heights reserved by one sync while blocks are empty; at most this many are skipped after a crash."""
BLOCKS_PER_STEP: Final = 64
FEW_SIGNATURES: Final = 12
"""Up to this many (about 1 ms), asking a thread to recover the signers of receipts costs more than it spares."""

HEIGHT: Final = gauge("sp_chain_height", "Height of the newest block")
POOLED: Final = gauge("sp_chain_pool_txs", "Transactions that wait for a block")
EXECUTED: Final = counter("sp_chain_txs_total", "Transactions executed, by result", ["codespace", "code"])

log = get_logger(__name__)


class Node:
    """state, history, newest: to be read only, between two awaits. `open_node` makes one and closes it.

    newest: the newest block. Heights above the one before without a block of their own were empty, or skipped.
    """

    def __init__(
        self, config: ChainNodeConfig, store: Store, state: State, history: History, clock: Clock, threads: CpuPool
    ) -> None:
        self.config = config
        self.state = state
        self.history = history
        self.pool = Pool(config.max_pool_txs)
        self.faults = Faults()
        self.newest = Block(state.height, max(state.earliest_next_time, clock.now_ms() // 1000))
        self.stopping = asyncio.Event()
        self._store = store
        self._clock = clock
        self._threads = threads
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="chain-log")
        self._turn = asyncio.Lock()
        self._grown = asyncio.Event()
        self._faults_changed = asyncio.Event()
        self._producing: set[asyncio.Task[Block]] = set()
        self._snapshotting: asyncio.Task[None] | None = None

    # --- transactions

    def broadcast(self, raw: bytes) -> TxHash:
        """Check a serialised SignedTx and let it wait for a block.

        TxRefused: it is not its signer's next transaction, counting those that wait. What its message asks is decided
        in the block, as on Cosmos: see the TxResult. Overloaded: the pool is full. The signature is recovered here, on
        the event loop: a tenth of a millisecond, less than the call that brought it.
        """
        if len(raw) > MAX_TX_BYTES:
            raise Code.TX_TOO_LARGE.refusal(f"{len(raw)} of at most {MAX_TX_BYTES} bytes")
        tx = read_tx(raw)
        if tx.hash in self.pool:
            raise Code.TX_IN_POOL.refusal(tx.hash)
        check(self.state, tx, self.pool.waiting(tx.signer))
        if self.faults.drop():
            return tx.hash
        self.pool.add(tx)
        POOLED.set(len(self.pool))
        if self.faults.fail():
            raise ServiceUnavailable("chain", "told to fail this broadcast")
        return tx.hash

    def set_faults(self, faults: Faults) -> None:
        self.faults = faults
        self._faults_changed.set()

    # --- waiting

    async def wait_above(self, height: int) -> Block:
        """The newest block once it is above `height`. ServiceUnavailable when the node stops before."""
        while self.newest.height <= height:
            if self.stopping.is_set():
                raise ServiceUnavailable("chain", "the node stops")
            await self._grown.wait()
        return self.newest

    async def follow(self, after_height: int) -> AsyncIterator[Block]:
        """Blocks above `after_height` (0: from the newest on) as they come, until the node stops, or has forgotten
        some that were not told yet.

        In order. Those without transactions are left out where a newer one exists already.
        """
        seen = after_height or self.newest.height - 1
        if seen > self.newest.height:  # asked by someone who knew another chain
            seen = self.newest.height - 1
        while not self.stopping.is_set() and seen >= min(self.history.forgotten, self.newest.height - 1):
            blocks = self.history.blocks_after(seen, BLOCKS_PER_STEP)
            if not blocks and seen < self.newest.height:
                blocks = [self.newest]
            for block in blocks:
                yield block
                seen = block.height
            if not blocks:
                await self._grown.wait()

    # --- blocks

    async def run(self) -> None:
        """Make blocks until the node stops."""
        while not self.stopping.is_set():
            if await self._before(self._due()):
                await self.produce()

    async def produce(self) -> Block:
        """Make one block of what waits now; the newest block. Not hindered by `pause_blocks`, so a test can step; a
        node that stops makes none."""
        making = asyncio.create_task(self._produce(), name="make block")
        self._producing.add(making)
        making.add_done_callback(self._producing.discard)
        return await asyncio.shield(making)  # half-way, the log would know of a block that the state does not

    async def advance(self, blocks: int) -> Block:
        """Make so many blocks at once."""
        assert blocks >= 1
        for _ in range(blocks):
            made = await self.produce()
        return made

    async def close(self) -> None:
        """Stop making blocks and telling of them; after the one being made. Then let go of the folder."""
        self.stop()
        async with self._turn:
            if self._snapshotting is not None:
                await self._snapshotting
            await self._write(self._store.close, self.newest.height, self.newest.time_s)
        await asyncio.to_thread(self._writer.shutdown)

    def stop(self) -> None:
        """No new blocks; streams and waiters end."""
        self.stopping.set()
        self._tell()

    async def _due(self) -> None:
        """Until it is time for the next block: at once when there is more than fits into one."""
        at_intervals = self.config.production is Production.INTERVAL
        if at_intervals and len(self.pool) < self.config.max_txs_per_block:
            await self._clock.sleep(self.config.block_interval_ms / 1000)
        while True:
            if not at_intervals:
                await self.pool.filled.wait()
            await self._clock.sleep(self.faults.block_delay_ms / 1000)
            await self._unpaused()
            if at_intervals or len(self.pool):
                return

    async def _unpaused(self) -> None:
        while self.faults.pause_blocks:
            self._faults_changed.clear()
            await self._faults_changed.wait()

    async def _before(self, waiting: Coroutine[Any, Any, None]) -> bool:
        """Whether `waiting` ended before the node was told to stop."""
        tasks = [asyncio.create_task(waiting), asyncio.create_task(self.stopping.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if not tasks[0].cancelled():
            tasks[0].result()
        return not self.stopping.is_set()

    async def _produce(self) -> Block:
        async with self._turn:
            if self.stopping.is_set():
                return self.newest
            txs = self.pool.oldest(self.config.max_txs_per_block)
            height = self.state.height + 1
            time_s = max(self._clock.now_ms() // 1000, self.state.earliest_next_time)
            if txs:
                await self._write(self._store.append, LoggedBlock(height, time_s, tuple(tx.raw for tx in txs)))
                await self._recover_signers(txs)
            elif height > self._store.reserved:
                await self._write(self._store.reserve, height + RESERVED_AHEAD, time_s)
            self._execute(height, time_s, txs)
            await self._maybe_snapshot()
            return self.newest

    def _execute(self, height: int, time_s: int, txs: Sequence[Tx]) -> None:
        executed = execute(self.state, height, time_s, txs)
        self.history.add(executed, txs)
        self.pool.settle(txs)
        self.newest = executed.block
        HEIGHT.set(height)
        POOLED.set(len(self.pool))
        for result in executed.results:
            EXECUTED.labels(result.codespace, str(result.code)).inc()
            if result.code:
                log.info("transaction refused", tx_hash=result.tx_hash, code=result.code, reason=result.log)
        self._tell()

    def _tell(self) -> None:
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    async def _recover_signers(self, txs: Sequence[Tx]) -> None:
        """Have the signers of the seals' receipts at hand when `execute` asks for them, without holding up the loop."""
        receipts = [
            receipt
            for tx in txs
            if isinstance(tx.message, MsgSealObject)
            for receipt in receipts_of(self.state, tx.message)
        ]
        if len(receipts) > FEW_SIGNATURES:
            await self._threads.run(_recover, receipts)

    async def _maybe_snapshot(self) -> None:
        weight = self._store.replay_weight
        if weight < max(self.config.snapshot_every, len(self.state.objects) // 10):
            return
        if self._snapshotting is not None and not self._snapshotting.done():
            return
        await self._write(self._store.start_segment, self.state.height + 1, self.state.time_s)
        state, history = self.state.copy(), self.history.copy()
        self._snapshotting = asyncio.create_task(self._snapshot(state, history), name="chain snapshot")

    async def _snapshot(self, state: State, history: History) -> None:
        try:
            await self._threads.run(self._store.write_snapshot, state, history)
        except OSError:
            log.exception("snapshot failed; the log has everything it would have held")

    async def _write(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """In the one thread that touches the log."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, lambda: call(*args, **kwargs))


def _recover(receipts: Sequence[tuple[bytes, Signature]]) -> None:
    for digest, signature in receipts:
        recovered(digest, signature)


@asynccontextmanager
async def open_node(
    config: ChainNodeConfig, genesis: Genesis, dir: Path, clock: Clock, threads: CpuPool, spawn: Spawn
) -> AsyncIterator[Node]:
    """A node that makes blocks until exit. StoreFailed as `open_store`.

    spawn: runs the block-making task; told of it when that fails, for example because the disk is full
    """
    store, state, history = await threads.run(open_store, dir, genesis, config.history_txs)
    node = Node(config, store, state, history, clock, threads)
    log.info("chain opened", chain_id=genesis.chain_id, height=state.height, objects=len(state.objects))
    making = spawn(node.run(), "chain blocks")
    try:
        yield node
    finally:
        await node.close()
        await asyncio.wait([making])
