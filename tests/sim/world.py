"""One simulated network: the chain, the providers, what connects them, and the loop that carries all of it."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, MutableMapping
from contextlib import contextmanager
from random import Random
from typing import Any, TypeVar

import structlog

import sp.runtime.rpc
from chain.dev.config import ChainNodeConfig
from chain.dev.local import LocalChain
from chain.tx import sign_tx
from sp.crypto.private import PrivateKey
from sp.domain.errors import TxNotSeen, TxRefused
from sp.domain.ids import Address
from sp.domain.ledger import TxResult
from sp.domain.messages import TxMessage
from sp.runtime.errors import sp_error_in
from tests.sim import database, transport
from tests.sim.chain import memory_node
from tests.sim.clock import SimClock, WallClock
from tests.sim.loop import OWNER, Owner, SimLoop, context_of
from tests.sim.making import BLOCK_INTERVAL_MS, plan
from tests.sim.network import SimNetwork
from tests.sim.parts import InlinePool
from tests.sim.provider import SimProvider
from tests.sim.trace import Trace

T = TypeVar("T")

BLOCKS = 10
"""A transaction of the simulation's own users may take so many."""


class World:
    """Use `simulated_world`. chance(name): a stream of chance of its own for each use, all from the one seed.

    mishaps: what must never happen, however bad the faults: exceptions that are no SpErrors, tasks that died unseen,
      live pieces deleted; deletions: of pieces
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.loop = SimLoop()
        self.wall = WallClock(self.loop)
        self.trace = Trace(self.loop)
        self.faults: Counter[str] = Counter()
        self.mishaps: list[str] = []
        self.processes: list[Owner] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.restarting = True
        self.deletions = 0
        self.providers: list[SimProvider] = []
        self.plan = plan()
        self._executing: dict[str, asyncio.Lock] = {}
        self._pausing = self.chance("pause")
        self._restarts = self.chance("restarts")
        self.process = self.new_process("world")

    def build(self) -> None:
        """Within the loop: what makes futures and locks."""
        self.network = SimNetwork(self.loop, self.chance("network"), self.trace, faults=self.faults)
        config = ChainNodeConfig(block_interval_ms=BLOCK_INTERVAL_MS)
        self.node = memory_node(config, self.plan.genesis, SimClock(self.wall), InlinePool(self.chance("node")))
        self.chain = LocalChain(self.node)
        self.providers = [SimProvider(self, site, self.chance(site.name)) for site in self.plan.sites]
        self.tasks.append(self.loop.spawn(self.new_process("chain"), self.node.run(), "blocks"))

    def chance(self, name: str) -> Random:
        return Random(f"{self.seed} {name}")

    def new_process(self, name: str) -> Owner:
        process = Owner(name)
        self.processes.append(process)
        return process

    def count(self, kind: str) -> None:
        self.faults[kind] += 1
        self.trace.note("fault", kind)

    def later(self, seconds: float, callback: Callable[[], object]) -> None:
        """In the world's own context: whoever asks may die meanwhile."""
        self.loop.call_later(seconds, callback, context=context_of(self.process))

    async def pause(self) -> None:
        """Around every operation on disk and database: mostly nothing, now and then others run, or time passes."""
        chance = self._pausing.random()
        if chance < 0.4:
            return
        await asyncio.sleep(0 if chance < 0.85 else self._pausing.uniform(0.0001, 0.02))

    def process_died(self, process: Owner) -> None:
        provider = next((p for p in self.providers if p.process is process), None)
        if provider is not None and self.restarting:
            self.later(self._restarts.choice((0.2, 3.0, 30.0)), lambda: self.restart(provider))

    def restart(self, provider: SimProvider) -> None:
        if self.restarting and (provider.process is None or not provider.process.alive):
            provider.start()

    def provider_of(self, operator: Address) -> SimProvider:
        return next(provider for provider in self.providers if provider.operator == operator)

    async def execute(self, key: PrivateKey, message: TxMessage) -> TxResult:
        """A user's own transaction, straight to the chain's node; again when it was evicted there. One at a time of
        each user, or their nonces would meet."""
        lock = self._executing.setdefault(key.address, asyncio.Lock())
        async with lock:
            while True:
                account = await self.chain.account(Address(key.address))
                raw, _ = sign_tx(message, key.sign, account.nonce, await self.chain.chain_id())
                height = self.node.newest.height
                try:
                    return await self.chain.wait_tx(await self.chain.broadcast(raw), height + BLOCKS)
                except TxNotSeen:
                    continue
                except TxRefused:  # the account's providers have one waiting: its nonce is taken
                    await self.chain.next_block(height)

    # --- running

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Until `work` ends; then everything is wound down, the dead too."""
        try:
            return self.loop.run_until_complete(self.loop.spawn(self.process, work, "simulation"))
        finally:
            self._wind_down()
            self.loop.close()
            for provider in self.providers:
                database.end(provider.spdb)

    def _wind_down(self) -> None:
        """Cancel all that is left, in a world where nothing counts any more, so that no coroutine is left half-way."""
        self.loop.draining, self.restarting = True, False
        self.mishaps.extend(self.loop.failures)
        for process in self.processes:
            self.loop.revive(process)
        self.loop.run_until_complete(self.loop.spawn(Owner("end"), _cancel_all(self.loop), "the end"))


async def _cancel_all(loop: SimLoop) -> None:
    me = asyncio.current_task()
    for _ in range(100):
        left = [task for task in sorted(asyncio.all_tasks(loop), key=hash) if task is not me and not task.done()]
        if not left:
            return
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=60.0)
    for task in left:
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # it will not end: there is nobody to tell


# --- what of production is replaced for the length of a simulation


@contextmanager
def simulated_edges(world: World) -> Iterator[None]:
    """sp.runtime.rpc.serving and dial under every name that a service imported them by; logs that tell the world of
    what must not happen."""
    replaced = [
        (module, name, original)
        for original, name in ((sp.runtime.rpc.serving, "serving"), (sp.runtime.rpc.dial, "dial"))
        for module in list(sys.modules.values())
        if getattr(module, name, None) is original
    ]
    for module, name, _ in replaced:
        setattr(module, name, getattr(transport, name))
    try:
        with _telling_logs(world):
            yield
    finally:
        for module, name, original in replaced:
            setattr(module, name, original)


@contextmanager
def collected_at_its_end() -> Iterator[None]:
    """No collection of cycles meanwhile, whose moment depends on the memory, and one at the end: of what was made
    meanwhile, so that its cost does not grow with all else that is there. It decorates what holds the world, which is
    garbage only when that has returned."""
    collecting = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()
        if collecting:
            gc.enable()


@contextmanager
def _telling_logs(world: World) -> Iterator[None]:
    def tell(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        error = event.get("exc_info")
        if error is True:
            error = sys.exc_info()[1]
        mistake = isinstance(error, BaseException) and sp_error_in(error) is None
        if mistake and not world.loop.draining:
            process = OWNER.get()
            world.mishaps.append(f"{process} at {world.loop.now_s:.3f}: {event.get('event')}: {_told(error)}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        processors=[tell],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def _told(error: Any) -> str:
    return "".join(traceback.format_exception(error))
