"""A node of the development chain as a process: stopped in every way, found again by its clients, slowed on purpose."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chain.client import Chain
from chain.dev.app import running
from chain.dev.client import DevChainClient
from chain.dev.faults import Faults
from chain.dev.local import LocalChain
from chain.dev.news import News
from chain.dev.node import RESERVED_AHEAD, Node
from chain.dev.store import open_store
from chain.open import open_chain
from chain.tx import hash_of, signer_of
from sp.domain.errors import InvalidRequest, ServiceUnavailable
from sp.domain.ledger import ChainEvent, ObjectStatus
from sp.domain.messages import TxMessage
from sp.runtime.clock import ManualClock, SystemClock
from sp.runtime.parts import Parts
from tests.chain_world import ALICE, GENESIS, SPS, create_bucket, create_object, seal, signed

LISTEN = "unix:chain.sock"
NEVER = 10**9


@pytest.fixture(autouse=True)
def genesis_file(tmp_path: Path) -> None:
    (tmp_path / "genesis.json").write_text(GENESIS.to_json())


@asynccontextmanager
async def a_node(folder: Path, clock: ManualClock | None = None, **config: object) -> AsyncIterator[Node]:
    table = {"listen": LISTEN, "production": "when_pending", **config}
    async with Parts.for_test(folder, {"chain_node": table}, clock=clock) as parts, running(parts) as node:
        yield node


@asynccontextmanager
async def a_client(folder: Path, **config: object) -> AsyncIterator[DevChainClient]:
    sections = {"chain": {"address": LISTEN, **config}}
    async with Parts.for_test(folder, sections, clock=SystemClock()) as parts:
        chain = await open_chain(parts)
        assert isinstance(chain, DevChainClient)
        yield chain


async def do(chain: Chain, *messages: TxMessage) -> None:
    for message in messages:
        nonce = (await chain.account(signer_of(message))).nonce
        result = await chain.wait_tx(await chain.broadcast(signed(message, nonce)), NEVER)
        assert result.code == 0, result


async def all_events(chain: Chain) -> list[ChainEvent]:
    newest, height, events = (await chain.latest_block()).height, 0, list[ChainEvent]()
    while height < newest:
        height, more = await chain.events(height, 1000)
        events += more
    return events


async def asleep(clock: ManualClock) -> None:
    """Until somebody sleeps by this clock."""
    while not clock.sleeping:
        await clock.sleep(0)


# --- a client and its node ----------------------------------------------------------------------------------------


async def test_a_wait_that_began_before_a_restart_of_the_node_ends_after_it(tmp_path: Path) -> None:
    raw = signed(create_bucket(), 0)
    async with a_client(tmp_path) as chain:
        async with a_node(tmp_path) as node:
            await node.advance(1)
            assert (await chain.next_block(0)).height == 1
            block = asyncio.create_task(chain.next_block(1))
            result = asyncio.create_task(chain.wait_tx(hash_of(raw), NEVER))
            await do(LocalChain(node), create_bucket("other", owner=SPS[3].operator))
            assert (await block).height == 2
        block = asyncio.create_task(chain.next_block(2))
        async with a_node(tmp_path) as node:
            assert await LocalChain(node).broadcast(raw) == hash_of(raw)
            assert (await result).code == 0
            assert (await block).height == 3


async def test_a_transaction_that_came_into_a_block_unseen_is_found_after_the_gap(tmp_path: Path) -> None:
    raw = signed(create_bucket(), 0)
    async with a_client(tmp_path) as chain:
        async with a_node(tmp_path) as node:
            await node.advance(1)
            await chain.next_block(0)
            result = asyncio.create_task(chain.wait_tx(hash_of(raw), NEVER))
        async with a_node(tmp_path, listen="unix:elsewhere.sock") as node:
            await do(LocalChain(node), create_bucket())
        async with a_node(tmp_path):
            assert (await result).code == 0


async def test_a_result_is_told_only_when_its_block_was_heard_of_so_that_no_memory_is_older(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_node(tmp_path) as node, a_client(tmp_path) as chain:
        await chain.next_block(-1)
        held: list[News] = []
        hear = chain._follower._hear
        monkeypatch.setattr(chain._follower, "_hear", held.append)
        await do(LocalChain(node), create_bucket())
        waiting = asyncio.create_task(chain.wait_tx(hash_of(signed(create_bucket(), 0)), NEVER))
        for _ in range(3):  # answers come in the order of the questions
            await chain.account(ALICE)
        assert not waiting.done()
        monkeypatch.undo()
        for told in held:
            hear(told)
        assert (await waiting).height == (await chain.latest_block()).height


async def test_without_a_node_a_wait_ends_when_patience_does(tmp_path: Path) -> None:
    async with a_client(tmp_path, patience_s=0.05) as chain:
        with pytest.raises(ServiceUnavailable):
            await chain.next_block(0)
        with pytest.raises(ServiceUnavailable):
            await chain.wait_tx(hash_of(b""), NEVER)
        with pytest.raises(ServiceUnavailable):
            await chain.head_bucket("photos")


async def test_without_a_node_what_cannot_have_changed_is_still_known(tmp_path: Path) -> None:
    async with a_client(tmp_path) as chain:
        async with a_node(tmp_path) as node:
            made = await node.advance(1)
            await chain.next_block(0)
            known = await chain.storage_providers(), await chain.chain_id(), await chain.params_at(made.time_s)
        assert (await chain.storage_providers(), await chain.chain_id(), await chain.params_at(made.time_s)) == known


async def test_a_stopped_node_tells_those_who_wait_within_its_process(tmp_path: Path) -> None:
    async with a_node(tmp_path) as node:
        waiting = asyncio.create_task(LocalChain(node).next_block(5))
        await node.advance(1)
    with pytest.raises(ServiceUnavailable):
        await waiting
    assert await node.advance(1) == node.newest
    assert node.newest.height == 1


# --- blocks -------------------------------------------------------------------------------------------------------


async def test_at_intervals_there_is_a_block_with_or_without_transactions(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_node(tmp_path, clock, production="interval", block_interval_ms=500) as node:
        for height in (1, 2):
            await asleep(clock)
            clock.advance(0.5)
            assert (await node.wait_above(height - 1)).height == height
        node.broadcast(signed(create_bucket(), 0))
        await asleep(clock)
        clock.advance(0.5)
        block = await node.wait_above(2)
        assert (block.height, len(block.tx_hashes), block.time_s) == (3, 1, clock.now_ms() // 1000)


async def test_more_than_fits_into_a_block_goes_into_the_next_at_once(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_node(tmp_path, clock, production="interval", max_txs_per_block=2) as node:
        await asleep(clock)
        for nonce in range(5):
            node.broadcast(signed(create_bucket(f"bucket{nonce}"), nonce))
        clock.advance(1)
        await node.wait_above(1)
        assert [len(block.tx_hashes) for block in node.history.blocks] == [2, 2]
        assert node.pool.waiting(ALICE) == 1


async def test_the_time_of_blocks_never_goes_back(tmp_path: Path) -> None:
    async with a_node(tmp_path, ManualClock(2_000_000_000_000)) as node:
        assert (await node.advance(1)).time_s == 2_000_000_000
    async with a_node(tmp_path, ManualClock(1_000_000_000_000)) as node:
        assert node.newest.time_s == 2_000_000_000
        assert (await node.advance(1)).time_s == 2_000_000_000


async def test_a_delay_holds_the_next_block_back(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_node(tmp_path, clock) as node:
        node.set_faults(Faults(block_delay_ms=700))
        node.broadcast(signed(create_bucket(), 0))
        waiting = asyncio.create_task(node.wait_above(0))
        await asleep(clock)
        clock.advance(0.69)
        assert clock.sleeping
        clock.advance(0.02)
        assert (await waiting).height == 1


async def test_faults_are_set_from_outside_only_where_the_node_allows_it(tmp_path: Path) -> None:
    async with a_client(tmp_path) as chain:
        async with a_node(tmp_path):
            await chain.next_block(-1)
            with pytest.raises(InvalidRequest):
                await chain.set_faults(Faults(pause_blocks=True))
        async with a_node(tmp_path, faults=True) as node:
            await chain.next_block(-1)
            await chain.set_faults(Faults(pause_blocks=True, drop_next_txs=2, fail_next_broadcasts=3, block_delay_ms=4))
            assert node.faults == Faults(True, 2, 3, 4)


async def test_a_node_takes_snapshots_as_it_goes_and_starts_from_them(tmp_path: Path) -> None:
    async with a_node(tmp_path, snapshot_every=5) as node:
        await do(LocalChain(node), create_bucket(), *(create_object(f"{n}", size=1) for n in range(20)))
    assert (tmp_path / "chain" / "snapshot").exists()
    assert len(list((tmp_path / "chain").glob("blocks-*.log"))) <= 2
    async with a_node(tmp_path) as restarted:
        assert restarted.state == node.state
        assert restarted.history == node.history


async def test_heights_of_empty_blocks_are_kept_though_they_are_not_written(tmp_path: Path) -> None:
    async with a_node(tmp_path) as node:
        await do(LocalChain(node), create_bucket())
        for number in (1, 20, RESERVED_AHEAD + 1):
            told = await node.advance(number)
            as_killed_now = tmp_path / f"copy{number}"
            shutil.copytree(tmp_path / "chain", as_killed_now)
            store, state, _ = open_store(as_killed_now, GENESIS, 100)
            store.release()
            assert told.height <= state.height <= told.height + RESERVED_AHEAD
            assert state.buckets == node.state.buckets


async def test_a_node_whose_disk_fails_stops_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, sections = ManualClock(), {"chain_node": {"listen": LISTEN}}

    async def until_it_stops() -> None:
        async with Parts.for_test(tmp_path, sections, clock=clock) as parts, running(parts) as node:
            monkeypatch.setattr("chain.dev.store.os.fdatasync", _no_space)
            node.broadcast(signed(create_bucket(), 0))
            with pytest.raises(OSError, match="no space"):
                await node.produce()
            assert node.newest.height == 0
            assert node.pool.waiting(ALICE) == 1
            await asleep(clock)
            clock.advance(1)
            await parts.stopping.wait()

    with pytest.raises(OSError, match="no space"):
        await until_it_stops()
    monkeypatch.undo()
    async with a_node(tmp_path) as node:
        await do(LocalChain(node), create_bucket("other", owner=SPS[0].operator))


def _no_space(_: int) -> None:
    raise OSError(28, "no space left on device")


async def test_a_block_full_of_seals_is_executed_like_single_ones(tmp_path: Path) -> None:
    async with a_node(tmp_path) as node:
        chain = LocalChain(node)
        await do(chain, create_bucket(), *(create_object(f"{n}", size=1) for n in range(8)))
        node.set_faults(Faults(pause_blocks=True))
        for n in range(8):
            node.broadcast(signed(seal(n + 1, f"{n}"), n))
        await node.advance(1)
        assert {stored.status for stored in node.state.objects.values()} == {ObjectStatus.SEALED}
        assert len(node.newest.tx_hashes) == 8


# --- a real process -----------------------------------------------------------------------------------------------


@dataclass
class Process:
    """`python -m chain.dev`, with a block every 20 ms."""

    folder: Path
    running: asyncio.subprocess.Process | None = field(default=None)

    async def start(self) -> None:
        config = self.folder / "chain.toml"
        config.write_text(
            f'[log]\nlevel = "warning"\n'
            f'[chain_node]\nlisten = "{LISTEN}"\nblock_interval_ms = 20\nsnapshot_every = 40\n'
        )
        self.running = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "chain.dev", "--config", str(config), cwd=os.fspath(Path(__file__).parents[2])
        )

    async def stop(self, number: signal.Signals) -> int:
        assert self.running is not None
        self.running.send_signal(number)
        code = await self.running.wait()
        self.running = None
        return code


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    started = Process(tmp_path)
    async with AsyncExitStack() as stack:
        yield started
        if started.running is not None:
            stack.push_async_callback(started.stop, signal.SIGKILL)


async def test_a_killed_node_comes_back_with_everything_it_told_and_no_lower_height(
    process: Process, tmp_path: Path
) -> None:
    async with a_client(tmp_path) as chain:
        await process.start()
        await chain.next_block(-1)
        await do(chain, create_bucket())
        for life in range(2):
            names = [f"{life}/{n}" for n in range(6)]
            await do(chain, *(create_object(name, size=1) for name in names))
            await do(chain, *(seal(life * 6 + n + 1, name) for n, name in enumerate(names)))
            busy = asyncio.create_task(_keep_busy(chain, life))
            before = [await chain.head_object("photos", name) for name in names]
            events, told = await all_events(chain), await chain.next_block((await chain.latest_block()).height + 2)
            assert await process.stop(signal.SIGKILL) == -signal.SIGKILL
            busy.cancel()
            await asyncio.wait([busy])
            await process.start()
            again = await chain.next_block(told.height)
            assert again.height > told.height
            assert again.time_s >= told.time_s
            assert [await chain.head_object("photos", name) for name in names] == before
            assert {stored.status for stored in before} == {ObjectStatus.SEALED}
            assert (await all_events(chain))[: len(events)] == events


async def _keep_busy(chain: Chain, life: int) -> None:
    """Transactions on their way when the node is killed: each landed or did not, both are right."""
    for n in range(1000):
        await do(chain, create_bucket(f"busy-{life}-{n}", owner=SPS[life].operator))


async def test_a_node_told_to_stop_ends_well_and_keeps_its_height(process: Process, tmp_path: Path) -> None:
    async with a_client(tmp_path) as chain:
        await process.start()
        await chain.next_block(-1)
        await do(chain, create_bucket())
        told = await chain.next_block(30)
        assert await process.stop(signal.SIGTERM) == 0
    async with a_node(tmp_path) as node:
        assert told.height <= node.newest.height < told.height + RESERVED_AHEAD
        assert await LocalChain(node).head_bucket("photos")
