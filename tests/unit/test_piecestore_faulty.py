"""The store that fails on purpose does so as told; the memory store knows its limit; configuration is checked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from piecestore.config import PieceStoreConfig
from piecestore.disk import DiskStore
from piecestore.faulty import FaultyStore, Op
from piecestore.memory import MemoryStore
from piecestore.open import open_piece_store
from sp.domain.errors import ConfigError, PieceExists, PieceNotFound, StoreFailed, StoreFull
from sp.domain.ids import JobId, SegmentIndex
from sp.domain.pieces import SegmentKey

KEYS = [SegmentKey(JobId(n), SegmentIndex(0)) for n in range(40)]
KEY = KEYS[0]


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore(MemoryStore())


async def test_after_so_many_puts_every_put_fails_until_healed(store: FaultyStore) -> None:
    store.fail_after(puts=2)
    await store.put(KEYS[0], b"x")
    await store.put(KEYS[1], b"x")
    for _ in range(2):
        with pytest.raises(StoreFailed):
            await store.put(KEYS[2], b"x")
    assert await store.get(KEYS[1]) == b"x"
    with pytest.raises(PieceNotFound):
        await store.get(KEYS[2])
    store.heal()
    await store.put(KEYS[2], b"x")


@pytest.mark.parametrize("op", ["write", "commit", "get", "size", "delete", "keys", "free_bytes"])
async def test_fail_next_hits_that_operation_once_and_no_other(store: FaultyStore, op: Op) -> None:
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "put": lambda: store.put(KEY, b"x"),
        "get": lambda: store.get(KEY),
        "size": lambda: store.size(KEY),
        "keys": lambda: anext(store.keys()),
        "free_bytes": store.free_bytes,
        "delete": lambda: store.delete(KEY),
    }

    async def use_everything() -> list[str]:
        failed = []
        for name, call in calls.items():
            try:
                await call()
            except StoreFull:
                failed.append(name)
                await store.put(KEY, b"x")
        return failed

    store.fail_next(op, StoreFull("disk"))
    assert await use_everything() == ["put" if op in ("write", "commit") else op]
    assert await use_everything() == []


async def test_a_commit_whose_answer_is_lost_has_landed(store: FaultyStore) -> None:
    store.fail_next("commit", StoreFailed("disk", "EIO"), landed=True)
    with pytest.raises(StoreFailed):
        await store.put(KEY, b"abc")
    assert await store.get(KEY) == b"abc"


async def test_random_failures_are_the_same_for_the_same_seed() -> None:
    async def outcomes(seed: int) -> list[bool]:
        store = FaultyStore(MemoryStore(), seed=seed)
        store.fail_randomly(0.5, ["commit"])
        results = [await asyncio.gather(store.put(key, b"x"), return_exceptions=True) for key in KEYS]
        return [isinstance(result, StoreFailed) for [result] in results]

    first = await outcomes(1)
    assert first == await outcomes(1)
    assert first != await outcomes(2)
    assert {True, False} == set(first)


async def test_rot_changes_one_bit_of_every_read_that_covers_it_until_the_piece_is_deleted(store: FaultyStore) -> None:
    await store.put(KEY, b"abcdef")
    store.corrupt(KEY, at=2)
    assert await store.get(KEY) == b"abbdef"
    assert await store.get(KEY, 2, 4) == b"bd"
    assert await store.get(KEY, 3, 6) == b"def"
    with pytest.raises(PieceExists):
        await store.put(KEY, b"abcdef")
    await store.delete(KEY)
    await store.put(KEY, b"abcdef")
    assert await store.get(KEY) == b"abcdef"


async def test_a_dropped_piece_is_not_found(store: FaultyStore) -> None:
    await store.put(KEY, b"abc")
    await store.drop(KEY)
    with pytest.raises(PieceNotFound):
        await store.get(KEY)


async def test_a_hanging_call_goes_on_when_it_is_released(store: FaultyStore) -> None:
    hang = store.hang("commit")
    put = asyncio.create_task(store.put(KEY, b"abc"))
    await asyncio.wait_for(hang.reached.wait(), 5)
    assert not put.done()
    with pytest.raises(PieceNotFound):
        await store.get(KEY)
    hang.release()
    await asyncio.wait_for(put, 5)
    assert await store.get(KEY) == b"abc"


async def test_a_hanging_call_can_be_cancelled_and_leaves_nothing(store: FaultyStore) -> None:
    store.hang("write")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(store.put(KEY, b"abc"), 0.01)
    store.heal()
    assert [key async for key in store.keys()] == []  # noqa: SIM118 - a store is no dict


async def test_memory_that_is_full_refuses_and_deleting_makes_room() -> None:
    store = MemoryStore(capacity_bytes=10)
    await store.put(KEYS[0], b"12345678")
    with pytest.raises(StoreFull):
        await store.put(KEYS[1], b"123")
    assert await store.free_bytes() == 2
    await store.put(KEYS[1], b"12")
    await store.delete(KEYS[0])
    assert await store.free_bytes() == 8


async def test_a_put_that_changes_nothing_takes_no_room() -> None:
    store = MemoryStore(capacity_bytes=10)
    await store.put(KEY, b"12345")
    await store.put(KEY, b"12345")
    assert await store.free_bytes() == 5


async def test_the_configured_backend_is_opened(tmp_path: Path) -> None:
    async with open_piece_store(PieceStoreConfig(path=str(tmp_path / "new" / "pieces"))) as store:
        assert isinstance(store, DiskStore)
        await store.put(KEY, b"abc")
    async with open_piece_store(PieceStoreConfig(path=str(tmp_path / "new" / "pieces"), direct_io=False)) as store:
        assert await store.get(KEY) == b"abc"
    async with open_piece_store(PieceStoreConfig(backend="memory")) as store:
        assert isinstance(store, MemoryStore)


@pytest.mark.parametrize(("backend", "path", "where"), [("tape", "x", "backend"), ("disk", "", "path")])
def test_a_wrong_configuration_is_refused(backend: str, path: str, where: str) -> None:
    with pytest.raises(ConfigError) as refused:
        PieceStoreConfig(backend=backend, path=path)
    assert refused.value.where == f"piecestore.{where}"
